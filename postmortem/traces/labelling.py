"""Reads for labelling: which trace comes next, and what was labelled."""

from datetime import datetime

import numpy as np
import numpy.typing as npt
from django.db.models import Count, Exists, Max, OuterRef, QuerySet

from postmortem.incidents.models import Incident
from postmortem.traces.models import Trace, TraceLabel
from postmortem.traces.signals import LABEL
from postmortem.traces.stored_cells import signal_column, trace_columns

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
    """{window: (labelled, of them failing)}."""
    columns, values = trace_columns(incident), signal_column(incident, LABEL)
    found = {}
    for name, start, end in label_windows(incident):
        given = values[_within(columns.seconds, start, end) & np.isfinite(values)]
        found[name] = (int(given.size), int((given == 1.0).sum()))
    return found


def sample_to_label(incident: Incident, place: int, count: int) -> list[Trace]:
    """The traces at `place` and behind it, each once, with their imports: what will be asked next."""
    places = range(place, place + count)
    keys = {trace.pk for one in places if (trace := next_to_label(incident, one)) is not None}
    return list(Trace.objects.filter(pk__in=keys).select_related("evidence_import").order_by("pk"))


def next_to_label(incident: Incident, place: int) -> Trace | None:
    """The trace at `place` (from 0) of the sample, skipping what is labelled; None when all are.

    Places alternate between the windows. Within a window the golden ratio spreads them over the traces in the order
    of their import, so that any number of labels is an even sample of its window and everybody gets the same one.
    """
    windows = label_windows(incident)
    columns = trace_columns(incident)
    waiting = np.isnan(signal_column(incident, LABEL))
    for turn in range(len(windows)):
        _, start, end = windows[(place + turn) % len(windows)]
        within = _within(columns.seconds, start, end)
        if not within.any():
            continue
        ends = columns.keys[within][[0, -1]]
        low, high = int(ends[0]), int(ends[1])
        share = (place // len(windows) + 1) * _GOLDEN % 1
        point = low + int(share * (high - low + 1))
        keys = columns.keys[within & waiting]
        if keys.size:
            next_place = int(np.searchsorted(keys, point))
            return Trace.objects.get(pk=int(keys[next_place if next_place < keys.size else 0]))
    return None


def labels_of(incident: Incident) -> QuerySet[TraceLabel]:
    """Every label of the incident. Asked from the labels' side: there are few, and perhaps a million traces."""
    return TraceLabel.objects.filter(Exists(Trace.objects.filter(pk=OuterRef("trace_id"), incident=incident)))


def label_state(incident: Incident) -> tuple[int, datetime | None, datetime | None]:
    """Changes whenever a label is given or taken back."""
    labels = labels_of(incident)
    found = labels.aggregate(count=Count("pk"), given=Max("at"), withdrawn=Max("withdrawn_at"))
    return found["count"], found["given"], found["withdrawn"]


def label_history(incident: Incident) -> QuerySet[TraceLabel]:
    """Every label of the incident, the newest first."""
    return labels_of(incident).select_related("by", "trace").order_by("-id")


def _within(seconds: npt.NDArray[np.float64], start: datetime | None, end: datetime | None) -> npt.NDArray[np.bool_]:
    inside = np.ones(seconds.size, dtype=np.bool_)
    if start:
        inside &= seconds >= start.timestamp()
    if end:
        inside &= seconds < end.timestamp()
    return inside
