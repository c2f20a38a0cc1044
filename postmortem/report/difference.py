"""What a correction changed: two records compared, in the words of the report. Pure.

Lists are compared by what names their rows (an action's number, a layer, a factor's id), so that a row that only
moved is no difference. Times and hashes of the making of a version are not content and are left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import isclose
from typing import Any

MOST = 300
_MOST_TEXT = 600
_SECTIONS = {
    "incident": "Incident", "text": "Text", "participants": "Participants", "finding": "Attribution",
    "changes": "Change ledger", "timeline": "Timeline", "layers": "Verdict", "factors": "Contributing factor",
    "edges": "Causal graph", "actions": "Action", "evidence": "Evidence", "annex": "Article 73 annex",
    "facilitator_sign_off": "Facilitator's signature", "organisation": "Organisation",
}  # fmt: skip
_KEYS = {
    "participants": ("name", "role", "layer"), "changes": ("id",), "timeline": ("at", "source", "text"),
    "layers": ("layer",), "factors": ("id",), "edges": ("cause", "effect"), "actions": ("number",),
    "answers": ("question",), "evidence_for": ("text", "by"), "evidence_against": ("text", "by"),
    "imports": ("kind", "origin", "at"), "hypotheses": ("title",),
}  # fmt: skip
# Made anew with every version or every run: no content of their own.
_IGNORED = frozenset({"schema", "code_version", "publication", "clocks", "audience", "rules", "revision", "edited_at"})
# A new run of the attribution is told by what it says, not by every number in it.
_OF_RESULT = frozenset({"headline", "lede", "method"})
_VERSION_KEYS = frozenset({"content_sha256", "at", "by"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: "" means that it was not there, before or after."""

    section: str
    what: str
    before: str
    after: str


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """What differs from `old` to `new`, in the order of the report."""
    found: list[Difference] = []
    for name, section in _SECTIONS.items():
        if name not in _IGNORED:
            found += _compare(section, "", name, old.get(name), new.get(name))
    return found


def difference_section(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The differences as the record of a correction freezes them; 300 rows at most, and how many there are."""
    found = differences(old, new)
    return {"count": len(found), "rows": [asdict(one) for one in found[:MOST]]}


def _compare(section: str, what: str, key: str, old: Any, new: Any) -> Iterator[Difference]:
    if old == new or key in _IGNORED or _is_rounding(old, new):
        return
    if key in {"sign_off", "facilitator_sign_off"}:
        before, after = (f"signed by {one['name']}" if one else "not signed" for one in (old, new))
        if before != after:
            yield Difference(section, _join(what, "signature"), before, after)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        names = [name for name in {**old, **new} if key != "result" or name in _OF_RESULT]
        for name in names:
            yield from _compare(section, _join(what, _words(name)), name, old.get(name), new.get(name))
    elif key in _KEYS and isinstance(old, list) and isinstance(new, list):
        yield from _rows(section, what, key, old, new)
    else:
        yield Difference(section, what or section, _text(old), _text(new))


def _is_rounding(old: Any, new: Any) -> bool:
    """Sums in another order differ in their last digits; nobody changed anything."""
    return isinstance(old, float) and isinstance(new, float) and isclose(old, new, rel_tol=1e-9)


def _rows(section: str, what: str, key: str, old: list[Any], new: list[Any]) -> Iterator[Difference]:
    names = _KEYS[key]
    before = {tuple(str(one.get(name, "")) for name in names): one for one in old}
    after = {tuple(str(one.get(name, "")) for name in names): one for one in new}
    for row in {**before, **after}:
        label = _join(what, _label(key, row, after.get(row) or before[row]))
        if row not in after:
            yield Difference(section, label, _summary(before[row]), "")
        elif row not in before:
            yield Difference(section, label, "", _summary(after[row]))
        else:
            for name in {**before[row], **after[row]}:
                if name in _VERSION_KEYS and key != "timeline":
                    continue
                pair = before[row].get(name), after[row].get(name)
                yield from _compare(section, _join(label, _words(name)), name, *pair)


def _label(key: str, row: tuple[str, ...], one: Mapping[str, Any]) -> str:
    if key == "actions":
        return f"A-{row[0]}"
    if key == "factors":
        return str(one.get("text", row[0]))[:80]
    if key == "layers":
        return row[0].capitalize()
    if key == "timeline":
        return " ".join(part for part in (row[0][:16].replace("T", " "), row[1]) if part)
    if key in ("evidence_for", "evidence_against"):
        return _words(key)
    return " ".join(part for part in row if part)[:120]


def _summary(one: Mapping[str, Any]) -> str:
    for name in ("title", "text", "summary", "question", "name", "claim"):
        if one.get(name):
            return _text(one[name])
    return "present"


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, Mapping):
        return _text("; ".join(f"{_words(str(name))} {_text(one)}" for name, one in value.items() if one))
    if isinstance(value, list):
        return _text(", ".join(_text(one) for one in value))
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…"


def _join(first: str, second: str) -> str:
    return f"{first}, {second}" if first else second[:1].upper() + second[1:]


def _words(name: str) -> str:
    return name.replace("_", " ")
