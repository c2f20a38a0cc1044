"""Assembles the timeline: incident times, changes, the signal, people's notes, and what people did to each."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from postmortem.attribution.models import Finding
from postmortem.attribution.selectors import latest_finding
from postmortem.attribution.wording import facet_title
from postmortem.changes.selectors import changes_for_incident
from postmortem.incidents.models import Incident
from postmortem.incidents.selectors import timeline_entries
from postmortem.lib.clock import parse_moment
from postmortem.lib.layers import Layer
from postmortem.review.timeline import TIMES, TimelineGap, TimelineItem, gaps, signal_items

_LONG_ROLLOUT = timedelta(hours=1)


def timeline(incident: Incident, *, include_hidden: bool = False) -> list[TimelineItem]:
    """Everything that happened, in order of time, as people corrected it; without what they hid unless asked.

    Until an onset is set, the latest finding's estimate stands in for it and says so. Five queries.
    """
    marks = {mark.key: mark for mark in incident.timeline_marks.all()}
    items = [*_times(incident), *_notes(incident)]
    for item in (*_changes(incident), *_of_finding(incident, latest_finding(incident))):
        mark = marks.get(item.key)
        if mark is None:
            items.append(item)
            continue
        marked = replace(item, pinned=mark.pinned, hidden=mark.hidden, revision=mark.revision)
        if mark.at is not None and mark.at != item.at:
            marked = replace(marked, at=mark.at, was_at=item.at)
        if mark.text and mark.text != item.text:
            marked = replace(marked, text=mark.text, was_text=item.text)
        items.append(marked)
    shown = [item for item in items if include_hidden or not item.hidden]
    return sorted(shown, key=lambda item: (item.at, item.key))


def short_timeline(items: list[TimelineItem], count: int) -> list[TimelineItem]:
    """At most `count` of them: the incident's times and what is pinned first, then what came earliest."""
    kept = sorted(items, key=lambda item: (not _leads(item), item.at))[:count]
    return sorted(kept, key=lambda item: (item.at, item.key))


def _leads(item: TimelineItem) -> bool:
    return item.pinned or item.is_time or item.kind in ("onset_estimate", "recovery_estimate")


def timeline_gaps(incident: Incident, items: list[TimelineItem]) -> list[TimelineGap]:
    """What the incident's timeline does not say."""
    return gaps({field: getattr(incident, field) for field in TIMES}, items)


def _times(incident: Incident) -> Iterator[TimelineItem]:
    for field, text in TIMES.items():
        moment = getattr(incident, field)
        if moment is not None:
            yield TimelineItem(moment, field.removesuffix("_at"), text, None, "incident", key=f"time.{field}")


def _notes(incident: Incident) -> Iterator[TimelineItem]:
    for entry in timeline_entries(incident, include_hidden=True):
        yield TimelineItem(
            entry.at, str(entry.kind), entry.text, None, str(entry.written_by), key=f"note.{entry.pk}",
            pinned=entry.pinned, hidden=entry.hidden, revision=entry.revision, note_id=entry.pk,
        )  # fmt: skip


def _changes(incident: Incident) -> Iterator[TimelineItem]:
    for change in changes_for_incident(incident):
        layer = Layer(change.layer)
        yield TimelineItem(change.at, "change", change.summary, layer, change.external_id, key=f"change.{change.pk}")
        if change.until - change.at >= _LONG_ROLLOUT:
            text = f"Rollout complete: {change.summary}"
            yield TimelineItem(change.until, "rollout", text, layer, change.external_id, key=f"rollout.{change.pk}")


def _of_finding(incident: Incident, finding: Finding | None) -> Iterator[TimelineItem]:
    if finding is None:
        return
    run = f"run {finding.number}"
    if incident.onset_at is None and finding.result.get("onset"):
        moment = parse_moment(finding.result["onset"]["at"])
        yield TimelineItem(moment, "onset_estimate", "Onset, estimated", None, run, key="signal.onset")
    if incident.recovered_at is None and finding.result.get("recovery"):
        moment = parse_moment(finding.result["recovery"]["at"])
        yield TimelineItem(moment, "recovery_estimate", "Signal back, estimated", None, run, key="signal.recovery")
    yield from signal_items(finding.result, finding.number)
    for move in (finding.result.get("reconciliation") or {}).get("never_logged") or []:
        at = parse_moment(move["at"])
        text = f"{facet_title(move['facet'])} moved from {move['from']} to {move['to']}, and no log mentions it"
        key = f"unlogged.{move['facet'][:30]}.{at:%Y%m%dT%H%M%S}"
        yield TimelineItem(at, "unlogged", text, Layer(move["layer"]), run, key=key)
