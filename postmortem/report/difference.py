"""What a correction changed: two records compared, in the words of the report. Pure.

Lists are compared by what names their rows (an action's number, a layer, a factor's id), so that a row that only
moved is no difference. Times and hashes of the making of a version are not content and are left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import takewhile
from math import isclose
from typing import Any

from postmortem.report import article73
from postmortem.report.present import when

MOST = 300
_MOST_TEXT = 600
# Of longer texts only what differs is told, with so many words around it.
_WHOLE_TEXT, _WORDS_AROUND = 160, 8
_MOST_LABEL = 70
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
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
    "imports": ("kind", "origin", "at"), "hypotheses": ("title",), "dissents": ("by",),
}  # fmt: skip
# Made anew with every version or every run: no content of their own.
_IGNORED = frozenset({"schema", "code_version", "publication", "clocks", "audience", "rules", "revision", "edited_at"})
# A new run of the attribution is told by what it says, not by every number in it.
_OF_RESULT = frozenset({"headline", "lede", "method"})
_OF_VALUES = {
    "verdict": {"in": "IN", "out": "OUT", "insufficient": "INSUFFICIENT"},
    "status": {"done": "done, not verified"},
}
_OF_VALUES["proposed"] = _OF_VALUES["verdict"]
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
        if name == "annex":
            found += _annex(section, old.get(name) or {}, new.get(name) or {})
        elif name not in _IGNORED:
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
            yield Difference(section, _join(what.removesuffix("sign off").rstrip(", "), "signature"), before, after)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        names = [name for name in {**old, **new} if key != "result" or name in _OF_RESULT]
        for name in names:
            yield from _compare(section, _join(what, _words(name)), name, old.get(name), new.get(name))
    elif key in _KEYS and isinstance(old or [], list) and isinstance(new or [], list):
        yield from _rows(section, what, key, old or [], new or [])
    else:
        yield Difference(section, what or section, *_told(_OF_VALUES.get(key, {}), old, new))


def _annex(section: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    """Field by field, under the labels of the rules that each version was written under."""
    before, after = (one.get("values") or {} for one in (old, new))
    fields = {
        field["name"]: field for one in (old, new) if one.get("rules") for field in article73.fields_of(one["rules"])
    }
    for name in [*fields, *({**before, **after}.keys() - fields.keys())]:
        if before.get(name) != after.get(name):
            field = fields.get(name, {"label": _words(name), "kind": "line"})
            pair = (article73.in_words(field, one.get(name)) for one in (before, after))
            yield Difference(section, field["label"], *_told({}, *pair))


def _told(words: Mapping[str, str], old: Any, new: Any) -> tuple[str, str]:
    """Both values as people read them; of two long texts only what differs, with a few words around it."""
    if not (isinstance(old, str) and isinstance(new, str)):
        return _text(old), _text(new)
    if min(len(old), len(new)) <= _WHOLE_TEXT:
        return _text(words.get(old, old)), _text(words.get(new, new))
    before, after = old.split(), new.split()
    same = _equal(before, after)
    least = min(len(before), len(after)) - same
    ends = min(_equal(before[::-1], after[::-1]), least)
    first, last = max(0, same - _WORDS_AROUND), max(0, ends - _WORDS_AROUND)
    return _part(before, first, last), _part(after, first, last)


def _equal(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _part(words: Sequence[str], first: int, last: int) -> str:
    kept = " ".join(words[first : len(words) - last])
    return ("…\u00a0" if first else "") + _text(kept) + ("\u00a0…" if last else "")


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
        return _short(str(one.get("text", row[0])))
    if key == "layers":
        return row[0].capitalize()
    if key == "timeline":
        return ", ".join(part for part in (_text(row[0]), row[1]) if part)
    if key in ("evidence_for", "evidence_against"):
        return _words(key)
    return _short(" ".join(part for part in row if part))


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LABEL else f"{text[:_MOST_LABEL].rsplit(' ', 1)[0].rstrip(',;:')} …"


def _summary(one: Mapping[str, Any]) -> str:
    if "reason" in one and "value" in one:
        return _text(f"{str(one['value']).upper()}: {one['reason']}")
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
    if _MOMENT.fullmatch(text):
        return when(text)
    if _DAY.fullmatch(text):
        day = date.fromisoformat(text)
        return f"{day.day} {day:%b %Y}"
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…"


def _join(first: str, second: str) -> str:
    return f"{first}, {second}" if first else second[:1].upper() + second[1:]


def _words(name: str) -> str:
    return name.replace("_", " ")
