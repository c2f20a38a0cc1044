"""Hostile JSON values made into bounded, storable Python values. No Django here."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError

MAX_DEPTH = 100
MAX_ID = 800
MAX_NAME = 200
MAX_IO = 200_000
MAX_METADATA_KEYS = 300
_LARGEST_INTEGER = 2_147_483_647  # what both databases hold in an integer column
_BLANKS = re.compile(r"\s+")


def load_json(data: bytes | str, what: str) -> Any:
    """JSON of `data`, nested at most 100 deep; `what` begins the sentence of the UserError otherwise."""
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise UserError(f"{what} is nested more than {MAX_DEPTH} levels deep; that is no trace.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{what} is not UTF-8 text; export it again as UTF-8.") from error
    except ValueError as error:
        reason = "a number is too long"
        if isinstance(error, json.JSONDecodeError):
            reason = f"{error.msg}{f', line {error.lineno}' if error.lineno > 1 else ''}, column {error.colno}"
        raise UserError(f"{what} is not valid JSON ({reason[:120]}).") from error
    check_depth(value, what)
    return value


def check_depth(value: Any, what: str) -> None:
    """Raise UserError when `value` is nested more than 100 levels deep."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH + 1:
            raise UserError(f"{what} is nested more than {MAX_DEPTH} levels deep; that is no trace.")
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(child for child in item.values() if isinstance(child, dict | list))
            elif isinstance(item, list):
                below.extend(child for child in item if isinstance(child, dict | list))
        level = below


def clean(text: str) -> str:
    """`text` without what a database refuses: NUL and halves of surrogate pairs."""
    if "\x00" in text:
        text = text.replace("\x00", "�")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def short_text(value: Any, limit: int = MAX_NAME) -> str:
    """A string or number as text of at most `limit` characters; anything else gives an empty text."""
    if value is None:
        return ""
    if isinstance(value, str):
        value = value[:limit]
        return value if value.isascii() and "\x00" not in value else clean(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        try:
            return str(value)[:limit]
        except ValueError:  # an integer of thousands of digits
            return ""
    return ""


def long_text(value: Any, limit: int = MAX_IO) -> str:
    """Input or output as text: strings as they are, other JSON written out; cut after `limit` with a word on it."""
    if value is None:
        return ""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, indent=1)
    if len(value) > limit:
        value = f"{value[:limit]}\n(cut after {limit:,} characters; the stored bytes hold all)"
    return clean(value)


def preview(text: str, limit: int = 300) -> str:
    """The beginning of `text` on one line."""
    line = _BLANKS.sub(" ", text[: limit * 2]).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def number(value: Any) -> float | None:
    """A finite number, from JSON numbers, booleans and numeric text; else None."""
    if value is None or value == "":
        return None
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def measure(value: Any) -> float | None:
    """A number that cannot be negative (seconds, USD). Langfuse writes -1 for what it left out."""
    result = number(value)
    return None if result is None or result < 0 else result


def whole(value: Any) -> int | None:
    """A count from 0 to 2,147,483,647; else None."""
    result = number(value)
    return int(result) if result is not None and 0 <= result <= _LARGEST_INTEGER else None


def moment(value: Any) -> datetime | None:
    """RFC 3339 text, or milliseconds or seconds since 1970, as UTC; None for anything else."""
    try:
        if isinstance(value, str):
            return parse_moment(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return parse_moment(datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC).isoformat())
    except (ValueError, OverflowError, OSError):
        return None
    return None


def mapping(value: Any) -> dict[str, Any]:
    """An object with at most 300 keys, also from text that holds one; else an empty one."""
    if value is None:
        return {}
    if isinstance(value, str) and value.startswith("{") and len(value) <= MAX_IO:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    if not isinstance(value, Mapping):
        return {}
    items = value.items() if len(value) <= MAX_METADATA_KEYS else islice(value.items(), MAX_METADATA_KEYS)
    return {clean(str(key)[:MAX_NAME]): item for key, item in items}
