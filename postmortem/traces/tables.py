"""Tables of any make as rows of named cells: CSV, JSON Lines, a JSON list, Parquet. No Django here.

Every fault is one sentence that names the file and, where there is one, the line.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from postmortem.lib.errors import UserError
from postmortem.traces.values import MAX_DEPTH, check_depth, load_json

MAX_COLUMNS = 300
_MAX_CELL = 5_000_000  # characters: an input may be long
_DEEPEST_PATH = 4
_BATCH = 2_000
_PARQUET = b"PAR1"
Cells = Mapping[str, Any]


def is_parquet(data: bytes) -> bool:
    """Whether these bytes are a Parquet file."""
    return data[:4] == _PARQUET


def decoded(data: bytes, what: str) -> str:
    """The text of a file in UTF-8 or UTF-16 with its mark. Raises UserError naming the line that is neither."""
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{what}, line {line}: this is not UTF-8 text; export it again as UTF-8.") from error


def table_rows(data: bytes, what: str, *, max_bytes: int) -> Iterator[tuple[int, Cells]]:
    """(line, cells) of every row; objects inside objects become dotted names, four deep.

    Lines count from 1 as an editor shows them; of a JSON list and of Parquet the entries count.
    """
    if is_parquet(data):
        for place, row in parquet_rows(data, what, max_bytes=max_bytes):
            yield place, _flat(row)
        return
    text = decoded(data, what)
    head = text.lstrip()[:1]
    if not head:
        raise UserError(f"{what} is empty.")
    if head == "[":
        value = load_json(text, what)
        for place, item in enumerate(value, start=1):
            yield place, _flat(_object(item, f"{what}, entry {place}"))
    elif head == "{":
        for line, piece in enumerate(text.split("\n"), start=1):
            if piece.strip():
                where = f"{what}, line {line}"
                yield line, _flat(_object(load_json(piece, where), where))
    else:
        yield from _csv(text, what)


def parquet_rows(data: bytes, what: str, *, max_bytes: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """(entry, row) of a Parquet file, in batches; moments as RFC 3339, bytes as text.

    Raises UserError for a damaged file, or one that unpacks to more than `max_bytes`.
    """
    import pyarrow as pa  # noqa: PLC0415 (slow to load, and few files need it)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        meta = file.metadata
        if sum(meta.row_group(place).total_byte_size for place in range(meta.num_row_groups)) > max_bytes:
            raise UserError(f"{what} unpacks to more than {max_bytes // 1024 // 1024:,} MB; export a shorter time.")
        if len(file.schema_arrow.names) > MAX_COLUMNS:
            raise UserError(f"{what} has more than {MAX_COLUMNS} columns; that is no table of traces.")
        place = 0
        for batch in file.iter_batches(batch_size=_BATCH):
            for row in batch.to_pylist():
                place += 1
                yield place, {str(name): _plain(value) for name, value in row.items() if value is not None}
    except UserError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{what} is a damaged Parquet file; export it again.") from error


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
    if isinstance(value, str | int | float | bool | None):
        return value
    return value.isoformat() if isinstance(value, date) else str(value)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: a row must be a JSON object in braces.")
    check_depth(value, where)
    return value


def _flat(row: Mapping[str, Any], prefix: str = "", depth: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in row.items():
        name = f"{prefix}{key}"[:200]
        if isinstance(value, Mapping) and depth < _DEEPEST_PATH:
            found |= _flat(value, f"{name}.", depth + 1)
        elif isinstance(value, Mapping | list):
            found[name] = json.dumps(value, ensure_ascii=False)
        elif value is not None and value != "":
            found[name] = value
        if len(found) > MAX_COLUMNS:
            break
    return found


def _csv(text: str, what: str) -> Iterator[tuple[int, Cells]]:
    first = text.split("\n", 1)[0]
    names, rows = csv_table(text, what, delimiter=max(",;\t", key=first.count))
    if len(names) < 2:
        raise UserError(f"{what} has one column; a table of traces names at least an id and a time in its first line.")
    if len(names) > MAX_COLUMNS:
        raise UserError(f"{what} has more than {MAX_COLUMNS} columns; that is no table of traces.")
    if len(set(names)) != len(names):
        raise UserError(f"{what}, line 1: a column is named twice; give each column its own name.")
    yield from rows


def csv_table(text: str, what: str, *, delimiter: str = ",") -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """The column names of a CSV, and (line, filled cells) of its rows. Raises UserError naming the line."""
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip()[:200] for name in next(reader, [])]
    except csv.Error as error:
        raise UserError(f"{what}, line {reader.line_num}: this is not valid CSV ({error}).") from error

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        try:
            for cells in reader:
                if not any(cells):
                    continue
                if len(cells) != len(names):
                    raise UserError(
                        f"{what}, line {reader.line_num}: {len(cells)} cells, "
                        f"but the header names {len(names)} columns."
                    )
                filled = {name: cell for name, cell in zip(names, cells, strict=True) if name and cell != ""}
                yield reader.line_num, filled
        except csv.Error as error:
            raise UserError(f"{what}, line {reader.line_num}: this is not valid CSV ({error}).") from error

    return names, rows()
