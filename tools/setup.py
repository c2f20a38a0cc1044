"""Makes .venv ready: packages, and the system libraries that the PDF needs. A second run does nothing.

Runs with any Python 3.11+, before anything is installed: standard library only.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"

# What WeasyPrint loads at run time, by the name of each system's package manager.
PDF_LIBRARIES = {
    "apt-get": ["libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0"],
    "dnf": ["pango", "harfbuzz"],
    "apk": ["pango", "harfbuzz", "fontconfig"],
    "brew": ["pango"],
}
_PDF_CHECK = (
    "import sys, weasyprint; from weasyprint.text.ffi import harfbuzz_subset; sys.exit(harfbuzz_subset is None)"
)


def main() -> int:
    """Make the environment; exit code 0 when everything that was asked for is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", action="store_true", help="also install tests/requirements.txt")
    parser.add_argument("--strict", action="store_true", help="fail when a system library cannot be installed")
    options = parser.parse_args()
    if not _venv_runs() and not _make_venv():
        return 1
    wanted = [ROOT / "requirements.txt", *([ROOT / "tests" / "requirements.txt"] if options.tests else [])]
    if not _install_packages("tests" if options.tests else "runtime", wanted):
        return 1
    return 0 if _provide_pdf_libraries() or not options.strict else 1


def say(text: str) -> None:
    """One line to the person who waits."""
    print(text, flush=True)


def install_system_packages(packages_by_manager: dict[str, list[str]], what_for: str) -> bool:
    """Install with the machine's package manager where that needs no password; else print the one line to run."""
    manager = next((name for name in packages_by_manager if shutil.which(name)), None)
    if manager is None:
        names = ", ".join(packages_by_manager["apt-get"])
        say(f"{what_for} needs system packages that this script cannot install here; on Debian they are {names}.")
        return False
    packages = packages_by_manager[manager]
    install = {
        "apt-get": ["apt-get", "install", "--yes", "--no-install-recommends", *packages],
        "dnf": ["dnf", "install", "--assumeyes", *packages],
        "apk": ["apk", "add", *packages],
        "brew": ["brew", "install", *packages],
    }[manager]
    as_root = _prefix_for_root(manager)
    if as_root is None:
        say(f"{what_for} needs system packages. Run this line, then try again:\n    sudo {' '.join(install)}")
        return False
    say(f"Installing {' '.join(packages)} for {what_for} …")
    if manager == "apt-get":
        install[1:1] = ["-o", "DPkg::Lock::Timeout=120"]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run([*as_root, *install], env=environment, **quiet)
    if done.returncode and manager == "apt-get":  # a fresh image has no package lists yet
        subprocess.run([*as_root, "apt-get", "update"], env=environment, **quiet)
        done = subprocess.run([*as_root, *install], env=environment, **quiet)
    if done.returncode:
        say(done.stdout[-2000:])
        say(f"The packages for {what_for} could not be installed. Run this line, then try again:")
        say(f"    {' '.join([*as_root, *install])}")
    return done.returncode == 0


def _prefix_for_root(manager: str) -> list[str] | None:
    """What to put before a command that needs root: nothing, sudo, or None where a password would be asked."""
    if manager == "brew" or os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    return None


def _venv_runs() -> bool:
    if not VENV_PYTHON.exists():
        return False
    check = [VENV_PYTHON, "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
    return subprocess.run(check, capture_output=True).returncode == 0


def _make_venv() -> bool:
    say(f"Making .venv with Python {sys.version.split()[0]} …")
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and shutil.which("apt-get"):
        # Debian splits the venv module's pip into a package of its own.
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        if not install_system_packages({"apt-get": [package]}, "Python's venv module"):
            return False
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        say(done.stdout + done.stderr)
        say("Python could not make .venv; the lines above say why.")
    return done.returncode == 0


def _install_packages(name: str, requirement_files: list[Path]) -> bool:
    """pip install, unless the stamp says that exactly these files were installed."""
    stamp = VENV / f".installed-{name}"
    content = hashlib.sha256(b"".join(path.read_bytes() for path in requirement_files)).hexdigest()
    if stamp.exists() and stamp.read_text() == content:
        return True
    say(f"Installing {' and '.join(str(path.relative_to(ROOT)) for path in requirement_files)} into .venv …")
    command = [
        VENV_PYTHON,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        requirement_files[-1],
    ]
    if subprocess.run(command, cwd=ROOT).returncode:
        say("pip could not install the packages; the lines above say why.")
        return False
    stamp.write_text(content)
    return True


def _provide_pdf_libraries() -> bool:
    stamp = VENV / ".pdf-libraries-load"
    if stamp.exists():
        return True
    if not _pdf_libraries_load():
        if not install_system_packages(PDF_LIBRARIES, "the PDF"):
            return False
        if not _pdf_libraries_load():
            say("WeasyPrint cannot load its system libraries: `.venv/bin/python -c 'import weasyprint'` says which.")
            return False
    stamp.touch()
    return True


def _pdf_libraries_load() -> bool:
    return subprocess.run([VENV_PYTHON, "-c", _PDF_CHECK], capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
