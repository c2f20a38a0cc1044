"""One change: what its log said, how far it reached, what manifests tell of it, and what people corrected."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_GET

from postmortem.accounts import audit
from postmortem.changes import selectors
from postmortem.changes.models import Change
from postmortem.changes.services import TAKEN_BACK
from postmortem.incidents.permissions import Capability
from postmortem.traces.services import read_blob
from postmortem.web.workspace import open_incident, render_stage

_RAW_SHOWN = 20_000
_OWN_PARTS = ("provenance", "documents", "settings", "encoder", "embedding", "index", "manifests")


@require_GET
def page(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """The entry with everything that is known of it."""
    incident = open_incident(request, number)
    rows = Change.objects.select_related("added_by", "raw", "merged_into").defer("raw__compressed")
    change = get_object_or_404(rows, feature=incident.feature_id, pk=pk)
    join = selectors.read_join(incident)
    row = next((one for one in join.ledger if one.change.pk == pk), None)
    unseen = [one for one in join.reconciliation.never_observed if row and one.change_id == change.external_id]
    context = {
        "change": change,
        "row": row,
        "unseen": unseen[0] if unseen else None,
        "corrections": selectors.corrections_of([change]).get(pk, []),
        "merged": selectors.merged_changes(incident, [change]).get(pk, []),
        "manifests": change.manifests.select_related("compared_with").all(),
        "may_delete": change.source in TAKEN_BACK,
        **_details(change.details),
    }
    return render_stage(request, "changes/change.html", incident, "changes", context)


@require_GET
def raw(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """The bytes of the log that told it, as they came: unmasked, so each look is recorded."""
    incident = open_incident(request, number, Capability.REVEAL)
    rows = Change.objects.select_related("raw")
    change = get_object_or_404(rows, feature=incident.feature_id, pk=pk, raw__isnull=False)
    audit.record(
        person=request.user, action="changes.raw", subject=str(change), incident_number=incident.number
    )  # fmt: skip
    answer = HttpResponse(read_blob(change.raw), content_type="application/octet-stream")
    answer["Content-Disposition"] = f'attachment; filename="change-{change.pk}-{change.raw_id[:12]}"'
    return answer


def _details(details: dict[str, Any]) -> dict[str, Any]:
    """The parts that have a place of their own on the page, and what else was told."""
    provenance = details.get("provenance")
    provenance = provenance if isinstance(provenance, dict) else {}
    documents = details.get("documents")
    added = _count(provenance, "added")
    topics = provenance.get("topics")
    return {
        "provenance": provenance,
        "shares": [
            (f"No {word}", _count(provenance, f"without_{word}"), added, _count(provenance, f"rows_without_{word}"),
             _count(provenance, "rows"))
            for word in ("author", "reviewer", "licence")
        ] if provenance else [],
        "topics": sorted(topics.items(), key=lambda pair: -_count(topics, pair[0]))[:12] if isinstance(
            topics, dict
        ) else [],
        "documents": documents if isinstance(documents, dict) else {},
        "settings": details.get("settings") if isinstance(details.get("settings"), dict) else {},
        "embedding": details.get("embedding") if isinstance(details.get("embedding"), dict) else {},
        "other_details": {name: _words(value) for name, value in details.items() if name not in _OWN_PARTS},
    }  # fmt: skip


def _words(value: Any) -> Any:
    """A list of plain values, like the paths of a merge, as people write it."""
    plain = isinstance(value, list) and all(isinstance(one, str | int | float) for one in value)
    return ", ".join(map(str, value)) if plain else value


def _count(values: dict[str, Any], name: str) -> int:
    value = values.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else 0


urlpatterns = [
    path("incidents/<str:number>/changes/<int:pk>/", page, name="change"),
    path("incidents/<str:number>/changes/<int:pk>/raw/", raw, name="change-raw"),
]
