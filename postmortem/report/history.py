"""Who changed what when in the record of an incident: every field, with what it said before. Reads only."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from postmortem.accounts.models import AuditEntry, Person
from postmortem.actions.undo import undone_ids
from postmortem.incidents.models import Incident
from postmortem.lib.clock import parse_moment
from postmortem.report import article73
from postmortem.report.annex import annex_rules
from postmortem.report.undo import may_undo
from postmortem.review.differences import Piece, text_difference
from postmortem.review.models import TextVersion
from postmortem.review.shared_text import label_of

PAGE_SIZE = 40
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "record": ("Record and people", ("incident.", "participant.")),
    "texts": ("Shared texts", ()),
    "timeline": ("Timeline", ("timeline.",)),
    "answers": ("Answers", ("answer.",)),
    "evidence": ("Evidence", ("evidence.",)),
    "verdicts": ("Verdicts and dissent", ("verdict.", "dissent.")),
    "graph": ("Causal graph", ("factor.", "edge.", "risk.")),
    "actions": ("Actions", ("action.",)),
    "signatures": ("Signatures and reports", ("review.", "report.")),
    "annex": ("Article 73 annex", ("annex.",)),
    "meetings": ("Meetings", ("meeting.",)),
    "changes": ("Change logs", ("changes.", "manifest.")),
    "labels": ("Labels on traces", ("label ", "withdraw label")),
}
_VERBS = {
    "incident.create": "opened the incident", "incident.update": "changed the record",
    "participant.set": "gave a part to", "participant.remove": "took the part from",
    "timeline.add": "noted on the timeline:", "timeline.hide": "hid on the timeline:",
    "timeline.restore": "brought back on the timeline:", "timeline.correct": "corrected on the timeline:",
    "timeline.mark": "marked on the timeline:", "timeline.pin": "pinned on the timeline:", 
    "timeline.unpin": "unpinned on the timeline:",
    "answer.save": "answered", "answer.withdraw": "left open again",
    "evidence.add": "added evidence:", "evidence.remove": "took back evidence:", "evidence.adopt": "adopted evidence",
    "verdict.decide": "decided", "verdict.withdraw": "took the verdict back for",
    "dissent.add": "dissented from", "dissent.withdraw": "took back the dissent from",
    "factor.add": "added the factor:", "factor.update": "changed the factor:", "factor.remove": "took out the factor:",
    "edge.add": "connected", "edge.update": "reworded the claim of", "edge.remove": "disconnected",
    "risk.accept": "accepted the risk of", "risk.withdraw": "took back the accepted risk of",
    "action.add": "added the action:", "action.update": "changed the action:", "action.status": "moved on the action",
    "action.hand_over": "handed over the action", "action.check": "checked the action",
    "action.remind": "reminded of the action", "action.regression": "exported the regression case of",
    "action.plan": "planned the verification of",
    "review.lapse": "changed what was signed:",
    "review.sign": "signed", "review.unsign": "took back the signature on", "report.publish": "published",
    "meeting.start": "started the meeting", "meeting.move": "moved the meeting on to",
    "meeting.decision": "noted the decision:", "meeting.undecide": "struck the decision:",
    "meeting.end": "ended the meeting", "meeting.resume": "went on with the meeting",
    "answer.version": "changed the version of the questions to", "annex.edit": "changed the",
    "changes.correct": "corrected in the ledger", "changes.merge": "merged into another entry",
    "changes.unmerge": "took out of a merge", "changes.delete": "deleted from the ledger",
    "changes.import": "imported changes from", "changes.raw": "looked at the bytes of",
    "manifest.import": "imported the manifest", "manifest.delete": "deleted the manifest",
    "label trace": "labelled the trace", "withdraw label": "took back the label on the trace",
    "incident.publish": "published", "incident.reopen": "opened for a correction", "text.accept": "accepted",
    "text.draft": "had a draft written of", "replay.export": "exported for a replay",
    "replay.results": "added results of a replay without", "share.create": "made a share link to",
    "share.revoke": "closed a share link to", "share.open": "opened a share link to", "report.email": "sent by e-mail",
    "see in clear": "looked in clear at", "begin import": "began to import", "finish import": "imported",
    "evidence.mapped": "imported the table", "attribution run": "ran an attribution,",
}  # fmt: skip


_FOR_UNDO = ("id", "key", "item", "written_at")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


# Concerns are raised quietly: no page may say that somebody raised one, or that there was one to settle.
QUIET = ("meeting.concern", "meeting.settle", "meeting.unsettle")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field: what it is called and its difference."""

    label: str
    pieces: list[Piece]


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One change. `key` is "change-12" or "text-7"; `by` is empty for the workbench itself."""

    key: str
    at: datetime
    by: str
    action: str
    words: str
    subject: str
    fields: list[FieldChange]
    may_undo: bool
    undone: bool
    undoes: int | None


@dataclass(frozen=True)
class HistoryPage:
    """Newest first; `older` is the cursor of the next page, "" at the end."""

    lines: list[HistoryLine]
    older: str


def history(
    incident: Incident, *, person: Person | None = None, kind: str = "", before: str = "", size: int = PAGE_SIZE
) -> HistoryPage:
    """A page of the incident's history, of one person or one of KINDS if asked. Five queries, whatever its length.

    `before` is the `older` of the page before; anything else starts at the newest change.
    """
    at, rank, pk = _cursor(before)
    entries: list[AuditEntry] = []
    versions: list[TextVersion] = []
    if kind != "texts":
        entries = list(_entries(incident, person, kind).filter(_earlier("at", at, rank, pk, 0))[: size + 1])
    if kind in ("", "texts"):
        versions = list(_versions(incident, person).filter(_earlier("begun_at", at, rank, pk, 1))[: size + 1])
    keyed: list[tuple[tuple[datetime, int, int], AuditEntry | TextVersion]] = [
        *(((row.at, 0, row.pk), row) for row in entries),
        *(((row.begun_at, 1, row.pk), row) for row in versions),
    ]
    keyed.sort(key=lambda pair: pair[0], reverse=True)
    undone = undone_ids(incident)
    lines = [_of_entry(row, undone) if isinstance(row, AuditEntry) else _of_text(row) for _, row in keyed[:size]]
    older = ""
    if len(keyed) > size:
        last = keyed[size - 1][0]
        older = f"{last[0].isoformat()}~{last[1]}~{last[2]}"
    return HistoryPage(lines, older)


def people_in_history(incident: Incident) -> QuerySet[Person]:
    """Everybody who changed something, by name."""
    wrote = AuditEntry.objects.filter(incident_number=incident.number).values("person")
    typed = incident.text_versions.values("written_by")
    return Person.objects.filter(Q(pk__in=wrote) | Q(pk__in=typed)).order_by("name")


def _entries(incident: Incident, person: Person | None, kind: str) -> QuerySet[AuditEntry]:
    rows = AuditEntry.objects.filter(incident_number=incident.number).select_related("person").order_by("-at", "-id")
    rows = rows.exclude(action__in=QUIET)
    if person is not None:
        rows = rows.filter(person=person)
    if kind in KINDS:
        wanted = Q()
        for prefix in KINDS[kind][1]:
            wanted |= Q(action__startswith=prefix)
        rows = rows.filter(wanted)
    return rows


def _versions(incident: Incident, person: Person | None) -> QuerySet[TextVersion]:
    """What people typed together, each with the text before it. Other doors have audit entries of their own."""
    earlier = TextVersion.objects.filter(incident=OuterRef("incident"), key=OuterRef("key"))
    earlier = earlier.filter(
        Q(begun_at__lt=OuterRef("begun_at")) | Q(begun_at=OuterRef("begun_at"), pk__lt=OuterRef("pk"))
    )
    rows = TextVersion.objects.filter(incident=incident, written_by__isnull=False).select_related("written_by")
    if person is not None:
        rows = rows.filter(written_by=person)
    previous = earlier.order_by("-begun_at", "-id").values("text")[:1]
    return rows.annotate(previous=Subquery(previous)).order_by("-begun_at", "-id")


def verb_of(action: str) -> str:
    """A recorded action as a verb for "Priya … the title": "changed the record"."""
    return _VERBS.get(action, action.replace(".", " ").replace("_", " "))


def _cursor(before: str) -> tuple[datetime | None, int, int]:
    try:
        moment, rank, pk = before.split("~")
        return parse_moment(moment), int(rank[:1]), int(pk[:18])
    except ValueError:
        return None, 0, 0


def _earlier(name: str, at: datetime | None, rank: int, pk: int, own_rank: int) -> Q:
    if at is None:
        return Q()
    same = Q(**{name: at})
    if own_rank == rank:
        same &= Q(pk__lt=pk)
    elif own_rank > rank:
        return Q(**{f"{name}__lt": at})
    return Q(**{f"{name}__lt": at}) | same


def _of_entry(entry: AuditEntry, undone: set[int]) -> HistoryLine:
    return HistoryLine(
        key=f"change-{entry.pk}",
        at=entry.at,
        by=entry.person.name if entry.person else "",
        action=entry.action,
        words=verb_of(entry.action),
        subject=entry.subject,
        fields=_changes_of(entry),
        may_undo=may_undo(entry) and entry.pk not in undone,
        undone=entry.pk in undone,
        undoes=entry.undoes_id,
    )


def _of_text(version: TextVersion) -> HistoryLine:
    pieces = text_difference(version.previous or "", version.text)
    return HistoryLine(
        key=f"text-{version.pk}",
        at=version.begun_at,
        by=", ".join([version.written_by.name if version.written_by else "", *version.together]),
        action="text",
        words="wrote",
        subject=label_of(version.key),
        fields=[FieldChange("", pieces)],
        may_undo=True,
        undone=False,
        undoes=None,
    )


def _changes_of(entry: AuditEntry) -> list[FieldChange]:
    if entry.action != "annex.edit":
        return field_changes(entry.before, entry.after)
    changed = [one for one in article73.fields_of(annex_rules()) if one["name"] in {*entry.before, *entry.after}]
    told = {one["name"] for one in changed}
    # A field that the rules had when it was typed and have no more keeps its own name.
    rest = [{name: value for name, value in side.items() if name not in told} for side in (entry.before, entry.after)]
    return [
        FieldChange(
            one["label"],
            text_difference(*(article73.in_words(one, side.get(one["name"])) for side in (entry.before, entry.after))),
        )
        for one in changed
    ] + field_changes(*rest)


def field_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldChange]:
    """The fields that differ, in words; ids that only serve undo stay out."""
    changes = []
    for name in dict.fromkeys([*before, *after]):
        if name in _FOR_UNDO or name.endswith(("_id", "_sha256")):
            continue
        old, new = in_words(before.get(name)), in_words(after.get(name))
        if old != new:
            changes.append(FieldChange(name.replace("_", " ").capitalize(), text_difference(old, new)))
    return changes


def in_words(value: Any) -> str:
    """A JSON value for people: moments in UTC, lists one a line, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _mapping_in_words(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(in_words(one) for one in value)
    return _moment_in_words(str(value))


def _mapping_in_words(value: Mapping[str, Any]) -> str:
    if "text" in value:
        return str(value["text"])
    if "cause" in value and "effect" in value:
        return f"{value['cause']} → {value['effect']}"
    return "\n".join(f"{name}: {in_words(one)}" for name, one in value.items())


def _moment_in_words(text: str) -> str:
    if not _MOMENT.fullmatch(text):
        return text
    try:
        moment = parse_moment(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return f"{moment.day} {moment:%b %Y %H:%M}" + (f":{moment:%S}" if moment.second else "")
