"""Several threads at once on one database."""

import sqlite3
import threading
from contextlib import closing

import pytest
from django.db import DatabaseError, IntegrityError, connection

from postmortem.lib.errors import UserError


@pytest.fixture
def shared_by_threads(transactional_db, tmp_path):
    """On SQLite, the test database as a file: one in memory does not let threads wait for its lock."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    in_memory, name = connection.connection, connection.settings_dict["NAME"]
    with closing(sqlite3.connect(tmp_path / "race.sqlite3")) as copy:
        in_memory.backup(copy)
    connection.connection, connection.settings_dict["NAME"] = None, str(tmp_path / "race.sqlite3")
    yield
    connection.close()
    connection.connection, connection.settings_dict["NAME"] = in_memory, name


def race(*jobs):
    """Run the jobs at once in threads; "done" or "refused" for each, other database errors as they are."""
    outcomes = [""] * len(jobs)
    start = threading.Barrier(len(jobs))

    def run(index, job):
        try:
            start.wait(60)
            job()
            outcomes[index] = "done"
        except (UserError, IntegrityError):
            outcomes[index] = "refused"
        except DatabaseError as error:
            outcomes[index] = repr(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes
