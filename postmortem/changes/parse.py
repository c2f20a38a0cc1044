"""One change in the open format: its fields checked, and written again. Files of them are read by `log_files`."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import canonical_json
from postmortem.lib.layers import LAYERS, Layer

MAX_SCOPE_FACETS = 20
MAX_DETAILS_CHARACTERS = 20_000
MAX_SCOPE_VALUES = 500
ROLLOUTS = ("instant", "canary", "ramp", "staged")
_LONGEST = {
    "id": 200, "facet": 80, "to_version": 200, "from_version": 200, "summary": 300, "actor": 200, "link": 1000,
    "layer": 40, "rollout": 40, "at": 60, "until": 60,
}  # fmt: skip
COLUMNS = (*_LONGEST, "scope", "stages", "canary_share", "is_rollback")
_LONGEST_VALUE = 200


def read_change(fields: Mapping[str, Any]) -> ChangeRecord:
    """Check the fields of one change (names as in the open format) and make the record.

    Fields that the format does not know are left alone. Raises UserError with a sentence naming the field.
    """
    id_ = _text(fields, "id")
    if not id_:
        raise UserError("the field “id” is missing; give each change an id of its own.")
    at = _moment(fields, "at")
    if at is None:
        raise UserError("the field “at” is missing; write when the change began, like 2026-03-09T09:40:00Z.")
    until = _moment(fields, "until") or at
    if until < at:
        raise UserError("“until” is before “at”; a rollout ends after it begins.")
    rollout = _text(fields, "rollout").lower() or "instant"
    if rollout not in ROLLOUTS:
        raise UserError(f"the rollout “{rollout}” is unknown; write one of {', '.join(ROLLOUTS)}.")
    facet, to_version = _text(fields, "facet") or None, _text(fields, "to_version") or None
    if facet and not to_version:
        raise UserError(f"the facet “{facet}” has no “to_version”; name the version that the change brought.")
    stage_facet, stage_order = _stages(fields) if rollout == "staged" else (None, ())
    from_version = _text(fields, "from_version") or None
    scope = _scope(fields)
    return ChangeRecord(
        id=id_, layer=_layer(fields), at=at, until=until, rollout=rollout, scope=scope,
        facet=facet, to_version=to_version, from_version=from_version,
        canary_share=_canary_share(fields) if rollout == "canary" else None,
        stage_facet=stage_facet, stage_order=stage_order,
        summary=_text(fields, "summary") or describe(id_, facet, from_version, to_version, scope),
        actor=_text(fields, "actor"), link=_link(fields), is_rollback=_flag(fields, "is_rollback"),
        details=_details(fields),
    )  # fmt: skip


def describe(
    id_: str, facet: str | None, from_version: str | None, to_version: str | None, scope: Mapping[str, tuple[str, ...]]
) -> str:
    """A summary for a change whose log has none: "answer prompt_version 1 → 2", else its id. At most 300 characters."""
    if not to_version:
        return id_[:300]
    target = " ".join([*(value for values in scope.values() for value in values[:3]), facet or "version"])
    moved = f"{from_version} → {to_version}" if from_version else f"→ {to_version}"
    return f"{target} {moved}"[:300]


def refuse_constant(name: str) -> None:
    """NaN and infinities are no JSON."""
    raise ValueError(name)


def _text(fields: Mapping[str, Any], name: str) -> str:
    """A short text; numbers are taken as written. Empty when missing or null."""
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, str) and not _storable(value):
        raise UserError(f"the field “{name}” holds a NUL character or half of a character; write it without.")
    text = _plain(value)
    if text is None:
        raise UserError(f"the field “{name}” must be text.")
    if len(text) > _LONGEST[name]:
        raise UserError(f"the field “{name}” is longer than {_LONGEST[name]} characters; shorten it.")
    return text


def _plain(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    return text if _storable(text) else None


def _storable(text: str) -> bool:
    """Whether both databases hold it: no NUL, no half of a surrogate pair."""
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False


def _layer(fields: Mapping[str, Any]) -> Layer:
    name = _text(fields, "layer").lower()
    try:
        return Layer(name)
    except ValueError as error:
        what = f"the layer “{name}” is unknown" if name else "the field “layer” is missing"
        raise UserError(f"{what}; write one of {', '.join(LAYERS)}.") from error


def _moment(fields: Mapping[str, Any], name: str) -> datetime | None:
    text = _text(fields, name)
    try:
        return parse_moment(text) if text else None
    except (ValueError, OverflowError) as error:
        raise UserError(f"“{name}”: {error}") from error


def _link(fields: Mapping[str, Any]) -> str:
    link = _text(fields, "link")
    if link and not link.lower().startswith(("https://", "http://")):
        raise UserError("the link must begin with https:// or http://.")
    return link


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    text = str(value).strip().lower()
    if text in ("true", "yes", "1"):
        return True
    if text in ("false", "no", "0", ""):
        return False
    raise UserError(f"the field “{name}” must be true or false.")


def _canary_share(fields: Mapping[str, Any]) -> float:
    value = fields.get("canary_share")
    try:
        share = float(value) if value is not None and not isinstance(value, bool) else -1.0
    except (TypeError, ValueError, OverflowError):
        share = -1.0
    if not 0.0 < share <= 1.0:
        raise UserError("a canary needs “canary_share”, its part of the traffic as a fraction like 0.15.")
    return share


def _scope(fields: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    value = _structure(fields, "scope")
    if len(value) > MAX_SCOPE_FACETS:
        raise UserError(f"the scope names more than {MAX_SCOPE_FACETS} facets.")
    return {_facet_name(name): _values(name, values, "scope") for name, values in value.items()}


def _stages(fields: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    value = _structure(fields, "stages")
    if set(value) == {"facet", "order"} and isinstance(value["facet"], str):
        return _facet_name(value["facet"]), _values(value["facet"], value["order"], "stages")
    if len(value) == 1:
        ((facet, order),) = value.items()
        return _facet_name(facet), _values(facet, order, "stages")
    raise UserError(
        "a staged rollout needs “stages”, a facet and the order of its values, "
        'like {"facet": "region", "order": ["us", "eu"]}.'
    )


def _structure(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A JSON object, or in CSV its text, or "facet=value;facet=value" where a facet may repeat."""
    value = fields.get(name)
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        value = _from_text(name, value)
    if not isinstance(value, dict):
        raise UserError(f"the field “{name}” must be an object of facets and values.")
    return value


def _from_text(name: str, text: str) -> object:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"the field “{name}” is not JSON.") from error
    pairs: dict[str, list[str]] = {}
    for part in text.split(";"):
        facet, equals, value = part.partition("=")
        if not equals or not facet.strip() or not value.strip():
            raise UserError(f"the field “{name}” must be JSON or like region=eu;region=us.")
        pairs.setdefault(facet.strip(), []).append(value.strip())
    return pairs


def _details(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest or a feed tells besides: an object of bounded size, kept as it is."""
    value = fields.get("details")
    if value is None or value == "":
        return {}
    try:
        found = json.loads(value, parse_constant=refuse_constant) if isinstance(value, str) else value
        written = json.dumps(found, allow_nan=False, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError("the field “details” is not JSON.") from error
    if not isinstance(found, dict) or len(written) > MAX_DETAILS_CHARACTERS:
        raise UserError(f"the field “details” must be a JSON object of up to {MAX_DETAILS_CHARACTERS:,} characters.")
    if not _storable(written) or "\\u0000" in written:
        raise UserError("the field “details” holds a character that no text has.")
    return found


def _facet_name(name: str) -> str:
    if not name.strip() or len(name) > _LONGEST["facet"] or not _storable(name):
        raise UserError("a facet's name must have 1 to 80 characters.")
    return name.strip()


def _values(facet: str, value: object, field: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    texts = [_plain(item) for item in values]
    if not texts or len(texts) > MAX_SCOPE_VALUES or any(not text or len(text) > _LONGEST_VALUE for text in texts):
        raise UserError(
            f"the {field} of “{facet[:80]}” must be a value or a list of up to {MAX_SCOPE_VALUES} values "
            f"of up to {_LONGEST_VALUE} characters."
        )
    return tuple(dict.fromkeys(text for text in texts if text))


def content_of(record: ChangeRecord) -> bytes:
    """Canonical bytes of what a change says: equal changes have equal bytes, however they were written."""
    return canonical_json(to_open_format(record))


def to_open_format(record: ChangeRecord) -> dict[str, Any]:
    """The record as one line of the open JSONL format."""
    line: dict[str, Any] = {
        "id": record.id, "layer": record.layer.value, "at": record.at.isoformat(), "until": record.until.isoformat(),
        "rollout": record.rollout, "scope": {facet: list(values) for facet, values in record.scope.items()},
        "facet": record.facet, "to_version": record.to_version, "from_version": record.from_version,
        "canary_share": record.canary_share, "summary": record.summary, "actor": record.actor, "link": record.link,
        "is_rollback": record.is_rollback,
    }  # fmt: skip
    if record.details:
        line["details"] = dict(record.details)
    if record.stage_facet:
        line["stages"] = {"facet": record.stage_facet, "order": list(record.stage_order)}
    return line
