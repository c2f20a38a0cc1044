"""Reads of the calendar of model retirements: all of it, and the models of some traces that it concerns."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from django.conf import settings

from postmortem.accounts.models import Person
from postmortem.attribution.models import ModelRetirement
from postmortem.attribution.patterns.retirements import Retirement, retirements_of, shipped_calendar
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import visible_incidents
from postmortem.lib.clock import format_moment, utc_now
from postmortem.lib.hashing import canonical_json, sha256_hex
from postmortem.traces.stored_cells import trace_cells

MODEL_FACETS = ("model", "model_served", "model_version")
_MOST_INCIDENTS = 20  # of a feature, the newest


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """One line of the calendar; `own` is the row that people added, None for what is shipped."""

    retirement: Retirement
    own: ModelRetirement | None
    days_left: int


@dataclass(frozen=True, slots=True)
class SeenModel:
    """A model of the traces; `entry` is None when no retirement of it is known."""

    model: str
    facets: tuple[str, ...]
    traces: int
    last_seen: datetime
    entry: CalendarEntry | None


def calendar(today: date | None = None) -> list[CalendarEntry]:
    """Every known retirement by its day; people's own entries win over the shipped ones."""
    now = today or utc_now().date()
    found = {one.model: CalendarEntry(one, None, (one.retires_on - now).days) for one in _shipped()}
    for row in ModelRetirement.objects.select_related("added_by").filter(withdrawn=False):
        one = Retirement(row.model, row.retires_on, row.source, row.replacement)
        found[row.model] = CalendarEntry(one, row, (one.retires_on - now).days)
    return sorted(found.values(), key=lambda entry: (entry.retirement.retires_on, entry.retirement.model))


def retirement_moments() -> dict[str, datetime]:
    """Model id → when it retires (UTC): what the detectors read. One query."""
    found = {one.model: one.moment for one in _shipped()}
    own = ModelRetirement.objects.filter(withdrawn=False).values_list("model", "retires_on", "source")
    return found | {model: Retirement(model, day, source).moment for model, day, source in own}


def calendar_sha256() -> str:
    """Hash of all retirements known now: runs that read equal calendars have equal ones."""
    return sha256_hex(canonical_json({name: format_moment(at) for name, at in retirement_moments().items()}))


def seen_models(incidents: Iterable[Incident], today: date | None = None) -> list[SeenModel]:
    """Models that the traces of these incidents record: those that retire first, then those without a date."""
    counts: dict[str, dict[str, Any]] = {}
    for incident in incidents:
        cells = trace_cells(incident)
        number = np.bincount(cells.profile, cells.count, minlength=len(cells.profiles))
        last = np.zeros(len(cells.profiles))
        np.maximum.at(last, cells.profile, cells.seconds)
        for profile, traces, seconds in zip(cells.profiles, number, last, strict=True):
            # A trace that names one model in two facets counts once.
            named: dict[str, set[str]] = {}
            for facet in MODEL_FACETS:
                if profile.get(facet):
                    named.setdefault(profile[facet], set()).add(facet)
            for model, facets in named.items():
                seen = counts.setdefault(model, {"facets": set(), "traces": 0, "last": 0.0})
                seen["facets"] |= facets
                seen["traces"] += int(traces)
                seen["last"] = max(seen["last"], float(seconds))
    entries = {entry.retirement.model: entry for entry in calendar(today)}
    known = retirements_of(counts, {name: entry.retirement.moment for name, entry in entries.items()})
    rows = [
        SeenModel(
            model, tuple(sorted(seen["facets"])), seen["traces"], datetime.fromtimestamp(seen["last"], UTC),
            entries[known[model][0]] if model in known else None,
        )
        for model, seen in counts.items()
    ]  # fmt: skip
    # A version that is no model's name (a fingerprint) says nothing without an entry.
    rows = [row for row in rows if row.entry is not None or row.facets != ("model_version",)]
    return sorted(rows, key=lambda row: (row.entry is None, row.entry.days_left if row.entry else 0, row.model))


def incidents_of_feature(incident: Incident, person: Person) -> list[Incident]:
    """The newest incidents of the same feature that `person` may see."""
    found = visible_incidents(person).filter(feature_id=incident.feature_id).order_by("-pk")
    return list(found.select_related("feature")[:_MOST_INCIDENTS])


def _shipped() -> tuple[Retirement, ...]:
    return shipped_calendar(settings.RETIREMENTS_FILE)
