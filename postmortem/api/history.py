"""The history of an incident's record."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.accounts.models import AuditEntry, Person
from postmortem.actions.undo import undo_text
from postmortem.api.base import IncidentView
from postmortem.lib.errors import UserError
from postmortem.report import undo as undoing
from postmortem.report.history import KINDS, history


class PieceSerializer(serializers.Serializer):
    """A run of text that stayed the same, is gone or is new."""

    kind = serializers.ChoiceField(choices=[("same", "same"), ("gone", "gone"), ("new", "new")])
    text = serializers.CharField()


class FieldChangeSerializer(serializers.Serializer):
    """One field with its difference."""

    label = serializers.CharField()
    pieces = PieceSerializer(many=True)


class HistoryLineSerializer(serializers.Serializer):
    """One change; `key` names it for undo ("change-12", "text-7")."""

    key = serializers.CharField()
    at = serializers.DateTimeField()
    by = serializers.CharField()
    action = serializers.CharField()
    subject = serializers.CharField()
    differences = FieldChangeSerializer(many=True, source="fields")
    may_undo = serializers.BooleanField()
    undone = serializers.BooleanField()
    undoes = serializers.IntegerField(allow_null=True)


class HistoryPageSerializer(serializers.Serializer):
    """Newest first; `older` goes into `before` for the next page, empty at the end."""

    results = HistoryLineSerializer(many=True)
    older = serializers.CharField()


class UndoSerializer(serializers.Serializer):
    """The key of the change to take back."""

    key = serializers.RegexField(r"^(change|text)-\d{1,18}$")


class HistoryView(IncidentView):
    """Who changed what when."""

    serializer_class = HistoryPageSerializer

    @extend_schema(
        parameters=[
            OpenApiParameter("person", int, description="Only changes of this person."),
            OpenApiParameter("kind", str, enum=list(KINDS), description="Only changes of this kind."),
            OpenApiParameter("before", str, description="The `older` of the page before."),
        ],
        responses=HistoryPageSerializer,
    )
    def get(self, request: Request, number: str) -> Response:
        """A page of changes with their differences."""
        asked = request.query_params.get("person", "")
        person = None
        if asked:
            person = self.picked(Person.objects.all(), int(asked) if asked.isdecimal() and len(asked) < 19 else 0)
        kind = request.query_params.get("kind", "")
        if kind and kind not in KINDS:
            raise UserError(f"“{kind[:40]}” is not a kind of change; choose one of {', '.join(KINDS)}.")
        seen = history(self.incident, person=person, kind=kind, before=request.query_params.get("before", "")[:80])
        return Response(HistoryPageSerializer({"results": seen.lines, "older": seen.older}).data)

    @extend_schema(request=UndoSerializer, responses={204: None})
    def post(self, request: Request, number: str) -> Response:
        """Undo one change, as a recorded change of its own."""
        what, _, pk = self.body(UndoSerializer)["key"].partition("-")
        if what == "text":
            version = self.found(self.incident.text_versions.all(), pk=int(pk))
            undo_text(version=version, incident=self.incident, by=self.person)
        else:
            entry = self.found(AuditEntry.objects.filter(incident_number=self.incident.number), pk=int(pk))
            undoing.undo(entry=entry, incident=self.incident, by=self.person)
        return Response(status=204)
