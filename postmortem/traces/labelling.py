"""Reads for labelling: which trace comes next, and what was labelled."""

from datetime import datetime
from functools import lru_cache

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet

from postmortem.incidents.models import Incident
from postmortem.traces.counts import EvidenceState, evidence_state
from postmortem.traces.models import Score, Trace, TraceLabel
from postmortem.traces.signals import LABEL

_GOLDEN = 0.6180339887498949
Window = tuple[str, datetime | None, datetime | None]


def label_windows(incident: Incident) -> list[Window]:
    """(name, start, end) of the spans to label from: baseline and incident, or all while they are not set."""
    if incident.baseline_start and incident.incident_start:
        return [
            ("baseline", incident.baseline_start, incident.baseline_end),
            ("incident", incident.incident_start, incident.incident_end),
        ]
    return [("all", None, None)]


def label_counts(incident: Incident) -> dict[str, tuple[int, int]]:
    """{window: (labelled, of them failing)}; one query a window."""
    found = {}
    for name, start, end in label_windows(incident):
        labels = Score.objects.filter(trace__incident=incident, name=LABEL)
        if start and end:
            labels = labels.filter(trace__timestamp__gte=start, trace__timestamp__lt=end)
        counts = labels.aggregate(count=Count("pk"), failing=Count("pk", filter=Q(value=1.0)))
        found[name] = (counts["count"], counts["failing"])
    return found


def next_to_label(incident: Incident, place: int) -> Trace | None:
    """The trace at `place` (from 0) of the sample, skipping what is labelled; None when all are.

    Places alternate between the windows. Within a window the golden ratio spreads them over the traces in the order
    of their import, so that any number of labels is an even sample of its window and everybody gets the same one.
    """
    windows = label_windows(incident)
    for turn in range(len(windows)):
        _, start, end = windows[(place + turn) % len(windows)]
        within = _within(incident.pk, start, end)
        low, high = _ends(evidence_state(incident), start, end)
        if low is None or high is None:
            continue
        share = (place // len(windows) + 1) * _GOLDEN % 1
        point = low + int(share * (high - low + 1))
        waiting = within.filter(~Exists(Score.objects.filter(trace=OuterRef("pk"), name=LABEL))).order_by("pk")
        found = waiting.filter(pk__gte=point).first() or waiting.first()
        if found:
            return found
    return None


def label_state(incident: Incident) -> tuple[int, datetime | None, datetime | None]:
    """Changes whenever a label is given or taken back."""
    labels = TraceLabel.objects.filter(trace__incident=incident)
    found = labels.aggregate(count=Count("pk"), given=Max("at"), withdrawn=Max("withdrawn_at"))
    return found["count"], found["given"], found["withdrawn"]


def label_history(incident: Incident) -> QuerySet[TraceLabel]:
    """Every label of the incident, the newest first."""
    return TraceLabel.objects.filter(trace__incident=incident).select_related("by", "trace").order_by("-id")


@lru_cache(maxsize=64)
def _ends(state: EvidenceState, start: datetime | None, end: datetime | None) -> tuple[int | None, int | None]:
    """The least and the largest key of a window's traces, once for a state of the evidence."""
    ends = _within(state.incident_id, start, end).aggregate(low=Min("pk"), high=Max("pk"))
    return ends["low"], ends["high"]


def _within(incident_id: int, start: datetime | None, end: datetime | None) -> QuerySet[Trace]:
    traces = Trace.objects.filter(incident_id=incident_id).order_by()
    if start:
        traces = traces.filter(timestamp__gte=start)
    if end:
        traces = traces.filter(timestamp__lt=end)
    return traces
