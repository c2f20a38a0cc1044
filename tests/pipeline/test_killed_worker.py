"""A worker is killed in the middle of an import, and another one finishes it: nothing lost, nothing doubled."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(request, tmp_path):
    """A database that other processes see: the test database of PostgreSQL, a file of SQLite's."""
    variables = os.environ | {"POSTMORTEM_DATA_DIR": str(tmp_path), "SECRET_KEY": "test"}
    if connection.vendor == "sqlite":
        variables["DATABASE_URL"] = f"sqlite:///{tmp_path / 'killed.sqlite3'}"
        command = [sys.executable, "manage.py", "migrate", "--skip-checks", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=variables, check=True, timeout=120)
        return variables
    request.getfixturevalue("transactional_db")
    settings = connection.settings_dict
    host = settings["HOST"].replace("/", "%2F")
    login = settings["USER"] + (f":{settings['PASSWORD']}" if settings["PASSWORD"] else "")
    port = f":{settings['PORT']}" if settings["PORT"] else ""
    variables["DATABASE_URL"] = f"postgres://{login}@{host}{port}/{settings['NAME']}"
    return variables


def start(what, environment):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.pipeline.slow_worker", what],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(what, environment):
    process = start(what, environment)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output


def test_killed_in_the_middle_and_finished_by_another(environment):
    run("setup", environment)
    first = start("work", environment)
    try:
        while first.stdout.readline().strip() != "page 2":
            assert first.poll() is None
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.communicate(timeout=10)
    left = json.loads(run("state", environment))
    assert left["state"] == "running"  # the dead worker's claim is still there
    assert 30 <= left["traces"] < 100

    run("work", environment)
    assert json.loads(run("state", environment)) == {
        "state": "done", "attempts": 2, "done": 100, "message": "All pages are here.",
        "traces": 100, "blobs": 10, "imports": 1,
    }  # fmt: skip
