#!/bin/sh
# Prints a Python 3.11 or newer: the one in .venv if it still runs, else the newest on PATH.
# A name on PATH proves little (version managers leave names that start nothing), so each is run.
for python in .venv/bin/python python3.13 python3.12 python3.11 python3 python3.14; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        command -v "$python"
        exit 0
    fi
done
echo "Python 3.11 or newer is needed and none was found on PATH; install it, then run this again." >&2
exit 1
