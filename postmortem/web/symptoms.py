"""The symptom finder: which signals moved and where, as a picture; one click picks the signal to attribute."""

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from postmortem.attribution.selectors import symptoms
from postmortem.attribution.symptoms import FacetMove, SignalMove, Symptoms
from postmortem.incidents.models import Incident, Worse
from postmortem.incidents.permissions import Capability
from postmortem.incidents.services import update_incident
from postmortem.lib.errors import UserError
from postmortem.traces.selectors import signals
from postmortem.web.workspace import open_incident, render_stage

_WIDTH = 240  # of every small picture, in its own units
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One signal with its bar: from no change in the middle to its move, in standard deviations."""

    move: SignalMove
    bar_start: float
    bar_width: float
    low: float
    high: float
    is_chosen: bool
    where: FacetMove | None
    at: float


@dataclass(frozen=True, slots=True)
class FacetRow:
    """One facet value with its two dots (baseline, incident) and the tick of all other traces in the incident."""

    move: FacetMove
    before: float | None
    after: float
    low: float
    high: float
    rest: float


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """Signals by how far they moved, and for one of them the facet values that stand out."""
    incident = open_incident(request, number)
    refused, found = "", None
    try:
        found = symptoms(incident)
    except UserError as error:
        refused = str(error)
    names = [move.signal for move in found.signals] if found else []
    asked = request.GET.get("signal", "")
    picked = next((name for name in (asked, incident.signal) if name in names), names[0] if names else "")
    move = next((move for move in found.signals if move.signal == picked), None) if found else None
    where = _where_worse(found, move) if found and move else []
    context = {
        "refused": refused,
        "rows": _signal_rows(found, incident) if found else [],
        "looks": found.looks if found else 0,
        "moved": sum(move.moved for move in found.signals) if found else 0,
        "picked": move,
        "facets": _facet_rows(where[:_SHOWN]),
        "facets_left": max(len(where) - _SHOWN, 0),
        "width": _WIDTH,
        "middle": _WIDTH / 2,
    }
    return render_stage(request, "traces/symptoms.html", incident, "evidence", context)


@require_POST
def choose(request: HttpRequest, number: str) -> HttpResponse:
    """Make a signal the one to attribute, in the direction in which it got worse."""
    incident = open_incident(request, number, Capability.REVIEW)
    name, worse = request.POST.get("signal", "")[:120], request.POST.get("worse", "")
    asked = request.POST.get("revision", "")
    label = next((choice.label for choice in signals(incident) if choice.name == name), "")
    if not label or worse not in Worse.values or not (asked.isdecimal() and len(asked) < 10):
        messages.error(request, "No trace carries this signal any more; choose another one.")
        return redirect("symptoms", incident.number)
    try:
        update_incident(incident=incident, by=request.user, revision=int(asked), signal=name, worse=worse)
        messages.success(request, f"{label} is the signal to attribute; {Worse(worse).label.lower()}.")
    except UserError as error:
        messages.error(request, str(error))
        return redirect("symptoms", incident.number)
    return redirect("attribution", incident.number)


def _signal_rows(found: Symptoms, incident: Incident) -> list[SignalRow]:
    widest = max((_reach(move) for move in found.signals), default=0.0) or 1.0
    middle, rows = _WIDTH / 2, []
    for move in found.signals:
        scale = move.effect / move.difference.estimate if move.difference.estimate else 0.0
        low, high = sorted(_on(move.effect and bound * scale, -widest, widest) for bound in move.difference.interval)
        at = _on(move.effect, -widest, widest)
        rows.append(
            SignalRow(
                move, round(min(at, middle), 1), round(max(abs(at - middle), 1.0), 1), low, high,
                move.signal == incident.signal, next(iter(_where_worse(found, move)), None) if move.moved else None, at,
            )
        )  # fmt: skip
    return rows


def _reach(move: SignalMove) -> float:
    """How far from no change the move and its interval go, in standard deviations of the baseline."""
    scale = move.effect / move.difference.estimate if move.difference.estimate else 0.0
    return max(abs(move.effect), *(abs(bound * scale) for bound in move.difference.interval))


def _where_worse(found: Symptoms, move: SignalMove) -> list[FacetMove]:
    """Facet values beyond the rest in the direction in which the signal moved; the others only mirror them."""
    return [row for row in found.facets[move.signal] if (row.contrast.estimate > 0) == (move.difference.estimate > 0)]


def _facet_rows(moves: list[FacetMove]) -> list[FacetRow]:
    levels = [level for move in moves for level in (move.before, move.after, move.rest_after) if level]
    if not levels:
        return []
    least = min(min(level.mean, level.interval[0]) for level in levels)
    most = max(max(level.mean, level.interval[1]) for level in levels)
    return [
        FacetRow(
            move,
            _on(move.before.mean, least, most) if move.before else None,
            _on(move.after.mean, least, most),
            _on(move.after.interval[0], least, most),
            _on(move.after.interval[1], least, most),
            _on(move.rest_after.mean, least, most),
        )
        for move in moves
    ]


def _on(value: float, least: float, most: float) -> float:
    """The place of a value on the picture's axis, with a margin of 6 on either side."""
    share = (value - least) / ((most - least) or 1.0)
    return round(6 + (_WIDTH - 12) * min(max(share, 0.0), 1.0), 1)


urlpatterns = [
    path("incidents/<str:number>/symptoms/", page, name="symptoms"),
    path("incidents/<str:number>/symptoms/choose/", choose, name="symptoms-choose"),
]
