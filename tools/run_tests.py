"""Every check and test, fast ones first. Any failure makes the exit code non-zero; nothing is skipped in silence."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from postgres import running_postgres
from setup import install_system_packages

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PYTEST = [sys.executable, "-m", "pytest", "-q"]
ALL_CORES = ["-n", "auto", "--dist", "worksteal"]  # each worker has a database of its own


def main() -> int:
    """Run the steps; return 0 when all of them passed."""
    browser = find_browser()
    if browser is None:
        return 1
    failed = []
    with tempfile.TemporaryDirectory(prefix="postmortem-tests-") as folder:
        environment = {**os.environ, "POSTMORTEM_DATA_DIR": folder, "POSTMORTEM_TEST_BROWSER": browser}
        environment.pop("DATABASE_URL", None)
        for name, command in checks():
            if not step(name, command, environment):
                failed.append(name)
        if not step("tests on SQLite", [*PYTEST, *ALL_CORES, "-m", "not browser"], environment):
            failed.append("tests on SQLite")
        try:
            with running_postgres() as url:
                on_postgresql = {**environment, "DATABASE_URL": url}
                command = [*PYTEST, *ALL_CORES, "-m", "not browser", "--database-only"]
                if not step("tests on PostgreSQL", command, on_postgresql):
                    failed.append("tests on PostgreSQL")
        except RuntimeError as error:
            print(error, flush=True)
            failed.append("tests on PostgreSQL")
        if not step("browser tests", [*PYTEST, "-m", "browser"], environment):
            failed.append("browser tests")
    print("Failed: " + ", ".join(failed) if failed else "Everything passed.", flush=True)
    return 1 if failed else 0


def checks() -> list[tuple[str, list[str]]]:
    """Static checks: name and command."""
    manage = [sys.executable, "manage.py"]
    return [
        ("ruff check", [str(BIN / "ruff"), "check", "--quiet", "."]),
        ("ruff format", [str(BIN / "ruff"), "format", "--check", "--quiet", "."]),
        ("mypy", [str(BIN / "mypy"), "--no-error-summary"]),
        ("import contracts", [str(BIN / "lint-imports"), "--no-cache"]),
        ("Django check", [*manage, "check", "--fail-level", "WARNING"]),
        ("migrations check", [*manage, "makemigrations", "--check", "--dry-run", "--verbosity", "0"]),
        ("OpenAPI schema", [*manage, "spectacular", "--validate", "--fail-on-warn", "--file", os.devnull]),
    ]


def step(name: str, command: list[str], environment: dict[str, str]) -> bool:
    """Run one command from the project's folder; checks stay silent unless they fail."""
    began = time.monotonic()
    loud = "pytest" in command
    print(f"-- {name}", flush=True)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=not loud, text=True)
    if done.returncode and not loud:
        print(done.stdout, done.stderr, sep="\n")
    print(f"   {'ok' if done.returncode == 0 else 'FAILED'}, {time.monotonic() - began:.1f} s", flush=True)
    return done.returncode == 0


def find_browser() -> str | None:
    """A Chromium for the browser tests: the one named, the system's, one from its packages, or playwright's."""
    if given := os.environ.get("POSTMORTEM_TEST_BROWSER"):
        return given
    if browser := _system_browser():
        return browser
    packages = {"apt-get": ["chromium"], "dnf": ["chromium"], "apk": ["chromium"]}
    if any(shutil.which(name) for name in packages) and install_system_packages(packages, "the browser tests"):
        return _system_browser()
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], capture_output=True)
    code = "from playwright.sync_api import sync_playwright as p\nwith p() as x: print(x.chromium.executable_path)"
    path = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    if path and Path(path).exists():
        return path
    print("The browser tests need Chromium or Chrome; install one, or name it in POSTMORTEM_TEST_BROWSER.")
    return None


def _system_browser() -> str | None:
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    return found or (str(mac) if mac.exists() else None)


if __name__ == "__main__":
    sys.exit(main())
