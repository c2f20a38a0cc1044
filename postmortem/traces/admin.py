"""Evidence to look at. It comes in through imports only, and is never changed."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from postmortem.traces.models import EvidenceBlob, EvidenceImport


class _ReadOnly(admin.ModelAdmin):
    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody, here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody, here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody, here."""
        return False


@admin.register(EvidenceImport)
class EvidenceImportAdmin(_ReadOnly):
    """What was imported, from where, by whom."""

    list_display = (
        "imported_at",
        "incident",
        "kind",
        "origin",
        "imported_by",
        "trace_count",
        "score_count",
        "finished",
    )
    list_filter = ("kind", "finished")
    list_select_related = ("incident", "imported_by")
    exclude = ("blobs",)


@admin.register(EvidenceBlob)
class EvidenceBlobAdmin(_ReadOnly):
    """Stored bytes by their hash; the bytes themselves are read on a trace's page."""

    list_display = ("sha256", "size_bytes", "media_type", "stored_at")
    exclude = ("compressed",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Without the bytes: a list of them would load them all."""
        return super().get_queryset(request).defer("compressed")
