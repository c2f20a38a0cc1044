"""Live pages: a stream of what others do, saved texts, presence. Pages work without it; it makes them a meeting."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from postmortem.accounts.listener import RESYNC, Listener, Subscription
from postmortem.accounts.models import AuditEntry, Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import visible_incidents
from postmortem.lib.clock import format_moment
from postmortem.lib.errors import EditConflict, UserError
from postmortem.report.history import QUIET, verb_of
from postmortem.review import meeting as meetings
from postmortem.review.shared_text import TextState, read_text, read_texts, save_text
from postmortem.review.text_patch import TextPatch, apply_patch, patch_between
from postmortem.web.workspace import open_incident

_BEAT_SECONDS = 12.0  # a comment this often keeps proxies from closing the stream
_WHOLE_EVERY = 32  # revisions after which a text is told whole
_MOST_TOLD = 500
_STREAM_SECONDS = 900.0  # then the browser connects again, and rights are read anew
_QUIET = {"begin import", "finish import", *QUIET}


@require_GET
def stream(request: HttpRequest, number: str) -> HttpResponse:
    """Server-sent events of one incident: `text`, `presence`, `changed`, `meeting`, `resync`.

    Answers 503 when this process holds as many streams as it may; the page then asks `state` every two seconds.
    """
    incident = open_incident(request, number)
    if listener().count >= settings.LIVE_STREAMS_PER_PROCESS:
        return JsonResponse({"detail": "Too many live pages on this server process."}, status=503)
    response = StreamingHttpResponse(_events(incident, request.user), content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


@require_GET
def state(request: HttpRequest, number: str) -> JsonResponse:
    """Everything a page needs that was away: shared texts, who is here, the number of the last change."""
    incident = open_incident(request, number)
    return JsonResponse(_everything(incident))


@require_POST
def save(request: HttpRequest, number: str) -> JsonResponse:
    """Save a shared text: `key`, `base` (what it was made from), `text`. 409 carries both when they collide.

    In the place of a long `text` its difference from `base` may come: `head`, `tail` and `put` (see `TextPatch`); then
    the answer, too, holds only how the stored text differs from the sent one.
    """
    incident = open_incident(request, number)
    data = request.POST
    try:
        text = data.get("text", "")
        if "put" in data:
            places = [int(data[name]) if data.get(name, "").isdecimal() else -1 for name in ("head", "tail")]
            text = apply_patch(data.get("base", ""), TextPatch(*places, data["put"]))
        stored = save_text(
            incident=incident,
            by=request.user,
            key=data.get("key", ""),
            base=data.get("base", ""),
            text=text,
            save_id=data.get("save", ""),
        )
    except EditConflict as error:
        return JsonResponse({"detail": str(error), **error.current, "revision": error.revision}, status=409)
    except UserError as error:
        return JsonResponse({"detail": str(error)}, status=400)
    return JsonResponse(_text(stored, text if "put" in data else None))


@require_POST
def here(request: HttpRequest, number: str) -> HttpResponse:
    """Say which page is open and which text has the cursor; `gone` says that the page was closed."""
    incident = open_incident(request, number)
    tab = request.POST.get("tab", "")
    if not tab:
        return JsonResponse({"detail": "A page tells its tab by name; reload it."}, status=400)
    if request.POST.get("gone"):
        meetings.leave(incident=incident, by=request.user, tab=tab)
    else:
        place, field = request.POST.get("place", ""), request.POST.get("field", "")
        meetings.be_present(incident=incident, by=request.user, tab=tab, place=place, field=field)
    return HttpResponse(status=204)


@cache
def listener() -> Listener:
    """The one of this process."""
    return Listener(_describe)


def _events(incident: Incident, person: Person) -> Iterator[bytes]:
    with listener().subscribe(incident.number) as subscription:
        yield b"retry: 1500\n\n" + _event("resync", _everything(incident))
        _release()
        until = time.monotonic() + _STREAM_SECONDS
        while time.monotonic() < until:
            messages = subscription.wait(_BEAT_SECONDS)
            if subscription.closed:
                return
            if not messages:
                if not _still_allowed(incident, person):
                    yield _event("closed", {})
                    return
                yield b": still here\n\n"
            elif _overrun(subscription):
                yield _event("resync", _everything(incident))
                _release()
            else:
                yield b"".join(messages)


def _overrun(subscription: Subscription) -> bool:
    missed, subscription.missed = subscription.missed, False
    return missed


def _release() -> None:
    """A waiting page keeps no database connection."""
    if not connection.in_atomic_block:
        connection.close()


def _still_allowed(incident: Incident, person: Person) -> bool:
    fresh = Person.objects.filter(pk=person.pk, is_active=True).first()
    allowed = fresh is not None and visible_incidents(fresh).filter(pk=incident.pk).exists()
    _release()
    return allowed


def _describe(number: str, topic: str) -> bytes | None:
    """One announcement as the event that every open page of the incident gets."""
    kind, _, rest = topic.partition(" ")
    incident = Incident.objects.filter(number=number).first()
    if incident is None:
        return None
    said = {
        RESYNC: lambda: _event("resync", _everything(incident)),
        "text": lambda: _event("text", _text_news(number, read_text(incident, rest))),
        "presence": lambda: _event("presence", _present(incident)),
        "meeting": lambda: _event("meeting", {}),
    }
    if kind in said:
        return said[kind]()
    entry = AuditEntry.objects.select_related("person").filter(pk=int(rest)).first() if rest.isdecimal() else None
    if entry is None or entry.action in _QUIET:
        return None
    return _event("changed", _change(entry))


def _everything(incident: Incident) -> dict[str, Any]:
    last = AuditEntry.objects.filter(incident_number=incident.number).order_by("-pk").first()
    return {
        "texts": [_text(one) for one in read_texts(incident)],
        "present": _present(incident),
        "change": last.pk if last else 0,
    }


def _text(one: TextState, before: str | None = None) -> dict[str, Any]:
    """A text as pages hear of it; whole, or as what differs from `before` where that is known and shorter."""
    at = format_moment(one.updated_at) if one.updated_at else ""
    said = {"key": one.key, "revision": one.revision, "by": one.updated_by, "at": at}
    patch = None if before is None else patch_between(before, one.text)
    return said | ({"text": one.text} if patch is None else asdict(patch))


# What this process told last of each text. Only the thread of the listener touches it.
_told: dict[tuple[str, str], TextState] = {}


def _text_news(number: str, one: TextState) -> dict[str, Any]:
    """A changed text, as what differs from what was told before; now and then whole, so that all are in step again."""
    if len(_told) > _MOST_TOLD:
        _told.clear()
    last = _told.get((number, one.key))
    _told[number, one.key] = one
    if last is None or last.revision >= one.revision or one.revision // _WHOLE_EVERY != last.revision // _WHOLE_EVERY:
        return _text(one)
    return _text(one, last.text) | {"from": last.revision}


def _present(incident: Incident) -> list[dict[str, Any]]:
    return [
        {"id": one.person_id, "name": one.name, "initials": one.initials, "place": one.place, "field": one.field}
        for one in meetings.present(incident)
    ]


def _change(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "by": entry.person.name if entry.person else "",
        "by_id": entry.person_id,
        "action": entry.action,
        "words": verb_of(entry.action),
        "subject": entry.subject,
        "at": format_moment(entry.at),
    }


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


urlpatterns = [
    path("incidents/<str:number>/live/stream/", stream, name="live-stream"),
    path("incidents/<str:number>/live/state/", state, name="live-state"),
    path("incidents/<str:number>/live/text/", save, name="live-text"),
    path("incidents/<str:number>/live/here/", here, name="live-here"),
]
