"""What people type, checked before it is kept: length, blanks, control characters, links."""

import unicodedata
from urllib.parse import urlsplit

from postmortem.lib.errors import UserError

SHORT = 300  # characters of a factor or a claim
LONG = 4_000  # characters of a note or a reason
_LINK = 1_000


def clean_text(value: object, *, what: str, limit: int = LONG, needed: bool = True, one_line: bool = False) -> str:
    """`value` without outer blanks and control characters (PostgreSQL refuses NUL).

    `what` opens the sentence of the UserError that is raised when the text is missing but
    `needed`, longer than `limit` characters, or no text at all. `one_line` joins lines by blanks.
    """
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise UserError(f"{what} must be text.")
    kept = "".join(c for c in value.replace("\r\n", "\n") if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))
    text = " ".join(kept.split()) if one_line else kept.strip()
    if needed and not text:
        raise UserError(f"{what} is missing; write it and save again.")
    if len(text) > limit:
        raise UserError(f"{what} has {len(text):,} characters; shorten it to at most {limit:,}.")
    return text


def clean_link(value: object, *, what: str = "The link") -> str:
    """An http or https address, or "" when there is none. Raises UserError for anything else."""
    text = clean_text(value, what=what, limit=_LINK, needed=False, one_line=True)
    if not text:
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in text:
        raise UserError(f"{what} “{text[:60]}” is not a web address; start it with https://.")
    return text
