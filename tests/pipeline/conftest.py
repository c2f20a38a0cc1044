"""A database that processes of their own share with the test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(tmp_path):
    """A database that other processes see: the test database of PostgreSQL, a file of SQLite's."""
    variables = os.environ | {"POSTMORTEM_DATA_DIR": str(tmp_path), "SECRET_KEY": "test"}
    if connection.vendor == "sqlite":
        variables["DATABASE_URL"] = f"sqlite:///{tmp_path / 'killed.sqlite3'}"
        command = [sys.executable, "manage.py", "migrate", "--skip-checks", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=variables, check=True, timeout=120)
        return variables
    settings = connection.settings_dict
    host = settings["HOST"].replace("/", "%2F")
    login = settings["USER"] + (f":{settings['PASSWORD']}" if settings["PASSWORD"] else "")
    port = f":{settings['PORT']}" if settings["PORT"] else ""
    variables["DATABASE_URL"] = f"postgres://{login}@{host}{port}/{settings['NAME']}"
    return variables
