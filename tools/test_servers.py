"""Installs the real trace servers into an environment of their own, starts them and tests the sources against them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "var" / "servers"
REQUIREMENTS = ROOT / "tests" / "servers" / "requirements.txt"


def main() -> int:
    """Exit code 0 when every test passed. `--record` writes the recorded answers anew instead."""
    python = HOME / "bin" / "python"
    stamp, content = HOME / ".installed", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != content:
        print("Installing the trace servers into var/servers (about 1.5 GB) …", flush=True)
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(HOME)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)],
        ):
            if subprocess.run(command).returncode:
                return 1
        stamp.write_text(content)
    environment = {**os.environ, "SERVERS_PYTHON": str(python)}
    record = [sys.executable, "-m", "tests.servers.recorded"]
    test = [sys.executable, "-m", "pytest", "-q", "tests/servers/live_servers.py"]
    return subprocess.run(record if "--record" in sys.argv[1:] else test, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
