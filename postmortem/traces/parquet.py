"""Parquet files, batch by batch. No Django here."""

import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, BinaryIO

from postmortem.lib.errors import UserError
from postmortem.traces.entries import MAX_COLUMNS, Entry, not_finite
from postmortem.traces.streams import BrokenOff, too_large
from postmortem.traces.values import MAX_DEPTH, clean

_MAGIC = b"PAR1"
_BATCH = 500
_BUFFER = 1024 * 1024  # of each column: whole row groups may be larger than memory


def is_parquet(file: BinaryIO) -> bool:
    """Whether this is a Parquet file; it stands at its beginning afterwards."""
    file.seek(0)
    head = file.read(len(_MAGIC))
    file.seek(0)
    return head == _MAGIC


class ParquetEntries:
    """The rows of a Parquet file; pages of them are JSON Lines. As `Entries`, but rows count instead of lines."""

    def __init__(self, file: BinaryIO, what: str, *, max_bytes: int) -> None:
        self._file, self._what, self._max_bytes = file, what, max_bytes

    def page(self, raws: list[bytes]) -> bytes:
        """Some rows as bytes that can be read back by themselves."""
        return b"".join(raws)

    def __iter__(self) -> Iterator[Entry]:
        for place, row in parquet_rows(self._file, self._what, max_bytes=self._max_bytes):
            where = f"{self._what}, entry {place}"
            try:
                raw = json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
                yield Entry(0, where, raw, row, table="parquet")
            except ValueError:
                column = next((name for name, value in row.items() if not _is_finite(value)), "")
                yield Entry(0, where, b"", fault=not_finite(where, column))


def parquet_rows(file: BinaryIO, what: str, *, max_bytes: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """(entry, row) of a Parquet file, in batches; moments as RFC 3339, bytes as text, empty cells left out.

    Raises UserError for a file that is none or unpacks to more than `max_bytes`, BrokenOff at a damaged place.
    """
    import pyarrow as pa  # noqa: PLC0415 (slow to load, and few files need it)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        opened = pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
        meta = opened.metadata
        if sum(meta.row_group(place).total_byte_size for place in range(meta.num_row_groups)) > max_bytes:
            raise UserError(too_large(what, max_bytes))
        if len(opened.schema_arrow.names) > MAX_COLUMNS:
            raise UserError(f"{what} has more than {MAX_COLUMNS} columns; that is no table of traces.")
        place = 0
        for batch in opened.iter_batches(batch_size=_BATCH, use_threads=False):
            for row in batch.to_pylist():
                place += 1
                yield place, {str(name): _plain(value) for name, value in row.items() if value is not None}
    except UserError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise BrokenOff(f"{what} is a damaged Parquet file; export it again.") from error


def _is_finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _plain(value: Any, depth: int = 0) -> Any:
    if isinstance(value, dict | list) and depth < MAX_DEPTH:
        # An Arrow map comes as a list of pairs.
        pairs = isinstance(value, list) and value and all(isinstance(item, tuple) and len(item) == 2 for item in value)
        if isinstance(value, dict) or pairs:
            return {str(key): _plain(item, depth + 1) for key, item in dict(value).items()}
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, int | float | bool | None):
        return value
    return clean(value.isoformat() if isinstance(value, date) else str(value))
