"""Migrates the database, builds the static files and serves the pages: `make run`, and the web half of the demo.

HOST and PORT choose the address, WEB_THREADS how many requests are answered at the
same time: every page open on an incident keeps one (LIVE_STREAMS_PER_PROCESS bounds them), so it is well above that.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = ROOT / "staticfiles" / ".built-from"


def prepare(environment: dict[str, str]) -> None:
    """Bring database and static files up to date. Raises CalledProcessError when one of them cannot be."""
    _manage(environment, "migrate", "--verbosity", "0")
    state = _state_of_static_files()
    if not STAMP.exists() or STAMP.read_text() != state:
        _manage(environment, "collectstatic", "--noinput", "--clear", "--verbosity", "0")
        STAMP.write_text(state)


def web_command(host: str, port: int) -> list[str]:
    """The command of the web server; several may run beside each other behind one proxy."""
    threads = os.environ.get("WEB_THREADS", "80")
    return [
        sys.executable, "-m", "gunicorn", "postmortem.wsgi", "--bind", f"{host}:{port}", "--workers", "1",
        "--worker-class", "gthread", "--threads", threads, "--timeout", "120", "--graceful-timeout", "3",
        "--keep-alive", "75", "--log-level", "warning",
    ]  # fmt: skip


def _manage(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, check=True)


def _state_of_static_files() -> str:
    """Changes whenever a static file of ours or a pinned package does."""
    files = [ROOT / "requirements.txt", *(path for path in sorted((ROOT / "static").rglob("*")) if path.is_file())]
    return "\n".join(f"{path.relative_to(ROOT)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files)


def main() -> None:
    """Prepare, then become the web server."""
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    prepare(dict(os.environ))
    print(f"Serving on http://{host}:{port} (make worker, in a second terminal, does the imports).", flush=True)
    os.chdir(ROOT)
    os.execv(sys.executable, web_command(host, port))  # noqa: S606


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
