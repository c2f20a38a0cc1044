"""Many rows into a table at once: COPY on PostgreSQL, one prepared statement on SQLite. The ORM makes each an object.

Fields that are not named get the defaults of their model, as `bulk_create` would give them.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from django.db import connection, models

_CHUNK = 2_000
Row = Sequence[Any]
_Item = TypeVar("_Item")


def insert_rows(
    model: type[models.Model], columns: Sequence[str], rows: Iterable[Row], *, unique: Sequence[str] = ()
) -> None:
    """Insert rows, whose values stand in the order of `columns` (names of fields); rows that are there already stay.

    With `unique` such a row is brought up to date instead; then no two of `rows` may be the same one. Runs in the
    caller's transaction.
    """
    fields = [model._meta.get_field(name) for name in columns]
    others = [field for field in model._meta.concrete_fields if field not in fields and field.has_default()]
    filled = [field.get_default() for field in others]
    fields += others
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    conflict = "DO NOTHING"
    if unique:
        changed = [field for field in fields if field.name not in unique and field.column not in unique]
        quoted = [connection.ops.quote_name(field.column) for field in changed]
        same = ", ".join(connection.ops.quote_name(model._meta.get_field(name).column) for name in unique)
        conflict = f"({same}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in quoted)}"
    prepare = [_preparing(field) for field in fields]
    for chunk in in_chunks(rows, _CHUNK):
        ready = [
            [value if change is None else change(value) for change, value in zip(prepare, [*row, *filled], strict=True)]
            for row in chunk
        ]
        if connection.vendor == "postgresql":
            _copy(table, names, ready, conflict)
        else:
            marks = ", ".join(["%s"] * len(fields))
            with connection.cursor() as cursor:
                cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT {conflict}", ready)  # noqa: S608


def in_chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Lists of at most `size` items."""
    waiting = iter(items)
    while chunk := list(islice(waiting, size)):
        yield chunk


def _copy(table: str, names: str, rows: list[list[Any]], conflict: str) -> None:
    """By way of a table of the transaction's own: COPY itself knows no conflicts."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.incoming")
        cursor.execute(f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA")  # noqa: S608
        with cursor.copy(f"COPY incoming ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM incoming ON CONFLICT {conflict}")  # noqa: S608


def _preparing(field: Any) -> Any:
    """How a value of this field is written; None where it is written as it is."""
    if isinstance(field, models.DateTimeField):
        return connection.ops.adapt_datetimefield_value if connection.vendor != "postgresql" else None
    if isinstance(field, models.JSONField):
        return _json
    if isinstance(field, models.BinaryField) and connection.vendor == "postgresql":
        return bytes
    return None


def _json(value: Any) -> str:
    return json.dumps(value)
