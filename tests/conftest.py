"""Shared set-up of the tests."""

import os

import pytest

# Playwright's loop and Django's ORM share a thread in the browser tests.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def pytest_addoption(parser):
    parser.addoption("--database-only", action="store_true", help="only tests that use the database")


def pytest_collection_modifyitems(config, items):
    """With --database-only leave out the tests that would only say the same again on another database."""
    if not config.getoption("--database-only"):
        return
    chosen = [item for item in items if _uses_database(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _uses_database(item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or bool(
        fixtures & {"db", "transactional_db", "live_server"}
    )


@pytest.fixture(autouse=True)
def quick_settings(settings):
    """Cheap password hashes, and static files straight from their folders instead of a built manifest."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }


def _lift_triggers_while_flushing() -> None:
    """Transactional tests empty every table, on SQLite by DELETE, which the immutability triggers refuse.

    PostgreSQL truncates, and row triggers do not see that.
    """
    # By way of `base`: the other way round the two modules import each other in a circle.
    from django.db.backends.sqlite3.base import DatabaseOperations

    plain = DatabaseOperations.sql_flush

    def sql_flush(self, style, tables, *, reset_sequences=False, allow_cascade=False):
        with self.connection.cursor() as cursor:
            triggers = cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        return [
            *(f'DROP TRIGGER "{name}"' for name, _ in triggers),
            *plain(self, style, tables, reset_sequences=reset_sequences, allow_cascade=allow_cascade),
            *(sql for _, sql in triggers),
        ]

    DatabaseOperations.sql_flush = sql_flush


_lift_triggers_while_flushing()
