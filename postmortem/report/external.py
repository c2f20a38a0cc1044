"""A record for readers outside: names, trace text and links are dropped by rule, and the copy says what is gone. Pure.

The rules, in this order: people become their part in the review; e-mail addresses and links go; what cites a trace
goes with the trace's id; notes of the checklist, where evidence came from, who made a change and the values of
tenant and user facets go. Numbers, verdicts, changes, actions and hashes stay.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import re2

AUDIENCES = {"internal": "Internal", "external": "External"}
# Texts may be megabytes of brackets: these are searched in one pass, whatever stands in them.
_ANY_CASE = re2.Options()
_ANY_CASE.case_sensitive = False
_LINK = re2.compile(r"!?\[([^\]]*)\]\([^)\s]*\)|(?:https?|ftp|file)://[^\s)>\]\"']+|\bwww\.[^\s)>\]\"']+", _ANY_CASE)
_MAIL = re2.compile(r"[\pL\pN_.+-]+@[\pL\pN_-]+(?:\.[\pL\pN_-]+)+")
_PRIVATE_FACETS = frozenset({"tenant", "user", "user_id", "session", "session_id", "account", "customer"})
_PRIVATE_VALUE = re.compile(rf"({'|'.join(sorted(_PRIVATE_FACETS))})(?: |=)(.+)")
_LEAST_NAME_PART = 3
_BEGINS = re.compile(r"(?:^|[.!?]\s|\n)\s*\Z")
_INSTEAD = {
    "names of people": "their part in the review",
    "e-mail addresses": "[e-mail left out]",
    "links": "their words, or [link left out]",
    "texts and ids of traces": "a note that a trace was cited",
    "notes of the checklist": "the answers without their notes",
    "origins of evidence": "the kind of source and the hashes",
    "authors of changes": "nothing",
    "values of tenant and user facets": "[left out]",
    "differences from the version corrected": "the number and hash of that version",
}
# Where a record names a person, and the words for them when their part is not known.
_PERSON_KEYS = {
    "opened_by": "a reviewer", "run_by": "a reviewer", "decided_by": "a reviewer", "lead": "a layer lead",
    "by": "a reviewer", "owner": "an owner", "risk_accepted_by": "a person responsible", "published_by": "a reviewer",
    "edited_by": "a reviewer",
}  # fmt: skip
_KEPT_WHOLE = frozenset({"annex", "schema", "code_version", "organisation", "branding"})


def for_outside(record: Mapping[str, Any], *, sha256: str = "") -> dict[str, Any]:
    """A copy of `record` for readers outside, with a section `audience`; `sha256` is that of the whole record.

    The Article 73 annex stays whole except for links: its contact is meant for the authority.
    """
    parts = _parts(record)
    counts: Counter[str] = Counter()
    out: dict[str, Any] = _walk(
        {key: value for key, value in record.items() if key not in _KEPT_WHOLE},
        _Rules(parts, counts, _private_values(record)),
    )
    out |= {key: record[key] for key in _KEPT_WHOLE if key in record}
    # Earlier versions may name people whom this one does not know.
    corrects = (out.get("publication") or {}).get("corrects") or {}
    if gone := corrects.pop("differences", None):
        counts["differences from the version corrected"] += int(gone["count"])
    if out.get("annex"):
        values = _without_links(out["annex"]["values"], counts)
        out["annex"] = out["annex"] | {"edited_by": "a reviewer", "values": values}
    several = _several(record)
    out["participants"] = [one | {"name": _role(one, several)} for one in out["participants"]]
    out["audience"] = {
        "name": "external",
        "made_from_sha256": sha256,
        "left_out": [
            {"what": what, "count": counts[what], "instead": _INSTEAD[what]} for what in _INSTEAD if counts[what]
        ],
    }
    return out


def _without_links(values: Mapping[str, Any], counts: Counter[str]) -> dict[str, Any]:
    """Statements of the annex without addresses of pages, but for those that the authority itself gave."""

    def drop(found: Any) -> str:
        counts["links"] += 1
        return str(found[1] or "[link left out]")

    return {
        name: _LINK.sub(drop, one) if isinstance(one, str) and not name.startswith("authority_") else one
        for name, one in values.items()
    }


def left_out_sentence(record: Mapping[str, Any]) -> str:
    """One sentence for the foot of a document, "" for a record that is whole."""
    audience = record.get("audience")
    if not audience:
        return ""
    listed = ", ".join(f"{one['what']} ({one['count']:,})" for one in audience["left_out"])
    return f"This copy for readers outside leaves out {listed or 'nothing: the rules found nothing to leave out'}."


class _Rules:
    """The names to replace, and what was replaced how often."""

    def __init__(self, parts: Mapping[str, str], counts: Counter[str], private: set[str]) -> None:
        self.parts, self.counts = parts, counts
        self.names, self.private = _any_of(parts), _any_of(private)

    def person(self, name: str, otherwise: str) -> str:
        if not name:
            return ""
        self.counts["names of people"] += 1
        return self.parts.get(name, otherwise)

    def drop(self, what: str, instead: str = "") -> str:
        self.counts[what] += 1
        return instead

    def text(self, text: str) -> str:
        # A draft's record still holds choices of the database, which are texts of a kind of their own.
        text = _LINK.sub(lambda found: self.drop("links", found[1] or "[link left out]"), str(text))
        text = _MAIL.sub(lambda _: self.drop("e-mail addresses", "[e-mail left out]"), text)
        if self.names:
            text = self.names.sub(self._part, text)
        if self.private:
            text = self.private.sub(lambda _: self.drop("values of tenant and user facets", "[left out]"), text)
        return text

    def _part(self, found: re.Match[str]) -> str:
        part = self.drop("names of people", self.parts[found[0]])
        return part[:1].upper() + part[1:] if _BEGINS.search(found.string, 0, found.start()) else part


def _any_of(words: Iterable[str]) -> re.Pattern[str] | None:
    found = sorted(words, key=lambda word: (-len(word), word))
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, found)) + r")(?!\w)") if found else None


def _private_values(value: Any) -> set[str]:
    """Values of tenant and user facets: in scopes, stages, groups compared, and labels like "tenant x"."""
    found: set[str] = set()
    if isinstance(value, Mapping):
        if value.get("facet") in _PRIVATE_FACETS:
            found |= {str(one.get("value", "")) for one in value.get("groups", ())}
            found |= set(map(str, value.get("order", ())))
        for key, one in value.items():
            if key in _PRIVATE_FACETS:
                found |= set(map(str, one if isinstance(one, list) else [one]))
            found |= _private_values(one)
            if key in ("label", "scope") and isinstance(one, str) and (told := _PRIVATE_VALUE.fullmatch(one)):
                found.add(told[2])
    elif isinstance(value, list):
        for one in value:
            found |= _private_values(one)
    return {one for one in found if len(one) >= _LEAST_NAME_PART}


def _walk(value: Any, rules: _Rules, key: str = "", inside: str = "") -> Any:  # noqa: PLR0911, PLR0912
    if isinstance(value, Mapping):
        if value.get("trace") and "text" in value:
            value = {**value, "trace": "", "text": rules.drop("texts and ids of traces", "A trace is cited here.")}
        return {
            name: rules.drop("values of tenant and user facets", "[left out]")
            if name in _PRIVATE_FACETS
            else _walk(one, rules, name, key or inside)
            for name, one in value.items()
        }
    if isinstance(value, list):
        if key == "traces":
            rules.counts["texts and ids of traces"] += len(value)
            return []
        return [_walk(one, rules, key, inside) for one in value]
    if not isinstance(value, str) or not value:
        return value
    if key in _PERSON_KEYS:
        return rules.person(value, _PERSON_KEYS[key])
    if key in ("link", "tracker_link"):
        return rules.drop("links")
    if key == "actor":
        return rules.drop("authors of changes")
    if key == "origin":
        return rules.drop("origins of evidence")
    if key == "note" and inside == "answers":
        return rules.drop("notes of the checklist")
    if key == "name" and inside in ("sign_off", "facilitator_sign_off"):
        return rules.person(value, "a reviewer")
    if key == "name" and inside == "participants":
        return rules.person(value, "a participant")
    if key.endswith("sha256") or key in ("at", "start", "end", "id", "key"):
        return value
    return rules.text(value)


def _parts(record: Mapping[str, Any]) -> dict[str, str]:
    """Each name that the record knows, and each part of it, to what stands for it."""
    people: dict[str, str] = {}
    several = _several(record)
    for one in record["participants"]:
        people.setdefault(one["name"], _role(one, several))
    for layer in record["layers"]:
        people.setdefault(layer["lead"], f"the {layer['layer']} lead")
        people.setdefault(layer["decided_by"], "a reviewer")
    for action in record["actions"]:
        people.setdefault(action["owner"], "an owner")
    for factor in record["factors"]:
        people.setdefault(factor["risk_accepted_by"], "a person responsible")
    people.setdefault(record["incident"]["opened_by"], "a reviewer")
    people.setdefault((record.get("publication") or {}).get("published_by", ""), "a reviewer")
    people.pop("", None)
    found = dict(people)
    for name, role in people.items():
        for part in name.split():
            if len(part) >= _LEAST_NAME_PART and part[:1].isupper():
                found.setdefault(part, role)
    return found


def _several(record: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Parts that more than one person has, as (role, layer)."""
    counts = Counter((str(one["role"]), str(one["layer"])) for one in record["participants"])
    return {part for part, count in counts.items() if count > 1}


def _role(participant: Mapping[str, Any], several: set[tuple[str, str]]) -> str:
    role, layer = str(participant["role"]), str(participant["layer"])
    words = f"{layer} lead" if layer else role.replace("_", " ")
    article = "the" if (role, layer) not in several else "an" if words[0] in "aeiou" else "a"
    return f"{article} {words}"
