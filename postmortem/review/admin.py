"""The review's rows to look at. They are written on the pages, where evidence, history and signatures hold."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from postmortem.review.models import (
    CausalEdge,
    ChecklistAnswer,
    ContributingFactor,
    Evidence,
    SignOff,
    Verdict,
)


class _ReadOnly(admin.ModelAdmin):
    list_select_related = True
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


@admin.register(ChecklistAnswer)
class ChecklistAnswerAdmin(_ReadOnly):
    """Answers; earlier ones are in the audit log."""

    list_display = ("incident", "layer", "question_id", "value", "answered_by", "answered_at")
    list_filter = ("layer", "value")
    search_fields = ("incident__number", "question_id")


@admin.register(Evidence)
class EvidenceAdmin(_ReadOnly):
    """Evidence for and against."""

    list_display = ("incident", "layer", "direction", "text", "added_by", "added_at")
    list_filter = ("layer", "direction")
    search_fields = ("incident__number", "text")


@admin.register(Verdict)
class VerdictAdmin(_ReadOnly):
    """Verdicts; earlier ones are in the audit log."""

    list_display = ("incident", "layer", "value", "proposed", "decided_by", "decided_at")
    list_filter = ("layer", "value")
    search_fields = ("incident__number",)


@admin.register(ContributingFactor)
class ContributingFactorAdmin(_ReadOnly):
    """Nodes of the causal graphs."""

    list_display = ("incident", "kind", "layer", "text", "risk_accepted_by")
    list_filter = ("layer", "kind")
    search_fields = ("incident__number", "text")


@admin.register(CausalEdge)
class CausalEdgeAdmin(_ReadOnly):
    """Arrows of the causal graphs."""

    list_display = ("incident", "cause", "effect", "claim")
    search_fields = ("incident__number",)


@admin.register(SignOff)
class SignOffAdmin(_ReadOnly):
    """Signatures, bound to the hash of what was signed."""

    list_display = ("incident", "layer", "signed_by", "signed_at", "content_sha256")
    search_fields = ("incident__number",)
