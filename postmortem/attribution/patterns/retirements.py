"""The calendar of model retirements: a data file of our own, and one that an administrator may add. Pure."""

import json
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError

_OWN = Path(__file__).parent / "retirements.json"


@lru_cache(maxsize=4)
def model_retirements(extra: str = "") -> dict[str, datetime]:
    """Model id → when its provider stops to serve it (UTC); entries of the file `extra` win.

    Raises UserError when a file cannot be read.
    """
    found = _read(_OWN)
    if extra:
        found |= _read(Path(extra))
    return found


def _read(path: Path) -> dict[str, datetime]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["models"]
        return {
            str(entry["model"]): parse_moment(f"{entry['retires_on']}T00:00:00Z").astimezone(UTC) for entry in entries
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"The calendar of model retirements {path.name} cannot be read; it is an object with “models”, "
            "a list of objects with “model” and “retires_on” (a date)."
        ) from error
