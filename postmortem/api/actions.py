"""Action items. They are never deleted: drop them with a note."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.accounts.models import Person
from postmortem.actions import following, many, selectors, services
from postmortem.actions.models import ActionItem, Reminder, VerificationCheck, VerificationPlan
from postmortem.actions.regression import regression_case
from postmortem.actions.verification import Plan
from postmortem.api.accounts import PersonSerializer
from postmortem.api.base import IncidentView
from postmortem.lib.layers import LAYER_CHOICES
from postmortem.review.selectors import factors


class ActionSerializer(serializers.ModelSerializer):
    """An action item; `number` 3 is A-3 of its incident."""

    owner = PersonSerializer()

    class Meta:
        model = ActionItem
        fields = (
            "number", "title", "layer", "kind", "owner", "due_on", "verification", "cuts_factor", "tracker_link",
            "status", "status_note", "created_at", "revision",
        )  # fmt: skip


class NewActionSerializer(serializers.Serializer):
    """Needs an owner (a person's id), a due date, and how it will be verified."""

    title = serializers.CharField(max_length=200)
    layer = serializers.ChoiceField(choices=LAYER_CHOICES)
    kind = serializers.ChoiceField(choices=ActionItem.Kind.choices, default=ActionItem.Kind.PREVENT)
    # Left out or null, these reach the service, whose sentence says what an item needs and why.
    owner = serializers.IntegerField(required=False, allow_null=True, default=None)
    due_on = serializers.DateField(required=False, allow_null=True, default=None)
    verification = serializers.CharField(required=False, allow_blank=True, default="")
    cuts_factor = serializers.IntegerField(required=False, allow_null=True, default=None)
    tracker_link = serializers.CharField(max_length=1_000, required=False, allow_blank=True, default="")


class ActionChangesSerializer(serializers.Serializer):
    """Any of the fields, and the revision that they were read at."""

    revision = serializers.IntegerField(min_value=1)
    title = serializers.CharField(max_length=200, required=False)
    layer = serializers.ChoiceField(choices=LAYER_CHOICES, required=False)
    kind = serializers.ChoiceField(choices=ActionItem.Kind.choices, required=False)
    owner = serializers.IntegerField(required=False, allow_null=True)
    due_on = serializers.DateField(required=False, allow_null=True)
    verification = serializers.CharField(required=False, allow_blank=True)
    cuts_factor = serializers.IntegerField(required=False, allow_null=True)
    tracker_link = serializers.CharField(max_length=1_000, required=False, allow_blank=True)


class StatusSerializer(serializers.Serializer):
    """Where the item stands; verified and dropped need a note."""

    status = serializers.ChoiceField(choices=ActionItem.Status.choices)
    note = serializers.CharField(required=False, allow_blank=True, default="")
    revision = serializers.IntegerField(min_value=1)


class PlanSerializer(serializers.ModelSerializer):
    """How the workbench itself can check an item; the threshold is in the signal's unit, rates from 0 to 1."""

    class Meta:
        model = VerificationPlan
        fields = ("signal", "comparison", "threshold", "days")


class CheckSerializer(serializers.ModelSerializer):
    """What one check found on the traces that came after the incident."""

    checked_by = serializers.CharField(source="checked_by.name", allow_null=True, default=None)

    class Meta:
        model = VerificationCheck
        fields = (
            "checked_by", "checked_at", "plan", "outcome", "window_start", "window_end", "count", "mean", "low", "high",
            "sentence",
        )  # fmt: skip


class ReminderSerializer(serializers.ModelSerializer):
    """A reminder: level soon, overdue or escalated."""

    action = serializers.IntegerField(source="action.number")
    to = serializers.CharField(source="to.name")

    class Meta:
        model = Reminder
        fields = ("action", "level", "to", "sent_on")


class AlikeSerializer(serializers.Serializer):
    """An open item of another incident that may promise the same; `likeness` 0 to 1."""

    incident = serializers.CharField(source="item.incident.number")
    number = serializers.IntegerField(source="item.number")
    title = serializers.CharField(source="item.title")
    owner = serializers.CharField(source="item.owner.name")
    likeness = serializers.FloatField()


class SeenItemSerializer(serializers.Serializer):
    """An item and the revision that it was read at."""

    number = serializers.IntegerField(min_value=1)
    revision = serializers.IntegerField(min_value=1)


class ManySerializer(serializers.Serializer):
    """What several items get; owner and due date cannot be taken away."""

    items = SeenItemSerializer(many=True)
    owner = serializers.IntegerField(required=False, allow_null=True)
    due_on = serializers.DateField(required=False, allow_null=True)
    layer = serializers.ChoiceField(choices=LAYER_CHOICES, required=False)
    kind = serializers.ChoiceField(choices=ActionItem.Kind.choices, required=False)


class ActionsFileSerializer(serializers.Serializer):
    """A CSV file as text."""

    csv = serializers.CharField(max_length=1_000_000, trim_whitespace=False)


class _ActionsView(IncidentView):
    serializer_class = ActionSerializer

    def resolved(self, body: dict[str, Any]) -> dict[str, Any]:
        """Ids of owner and factor as rows."""
        if "owner" in body:
            body["owner"] = self.picked(Person.objects.select_related("team"), body["owner"])
        if "cuts_factor" in body:
            body["cuts_factor"] = self.picked(factors(self.incident), body["cuts_factor"])
        return body

    def item(self, action: int) -> ActionItem:
        return self.found(
            selectors.actions_for(self.incident).select_related("owner__team", "cuts_factor", "incident__feature"),
            number=action,
        )


class ActionsView(_ActionsView):
    """Action items of an incident."""

    @extend_schema(responses=ActionSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """By due date."""
        return self.page(selectors.actions_for(self.incident), ActionSerializer)

    @extend_schema(request=NewActionSerializer, responses={201: ActionSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Add an item; refused without owner, due date or verification."""
        body = self.resolved(self.body(NewActionSerializer))
        item = services.add_action(incident=self.incident, by=self.person, **body)
        return Response(ActionSerializer(item).data, status=status.HTTP_201_CREATED)


class OneActionView(_ActionsView):
    """One action item."""

    @extend_schema(responses=ActionSerializer)
    def get(self, request: Request, number: str, action: int) -> Response:
        """The item."""
        return Response(ActionSerializer(self.item(action)).data)

    @extend_schema(request=ActionChangesSerializer, responses=ActionSerializer)
    def patch(self, request: Request, number: str, action: int) -> Response:
        """Change fields; 409 with the stored values when somebody saved first."""
        item = self.item(action)
        body = self.resolved(self.body(ActionChangesSerializer))
        return Response(ActionSerializer(services.update_action(action=item, by=self.person, **body)).data)


class ActionStatusView(_ActionsView):
    """Where an item stands."""

    @extend_schema(request=StatusSerializer, responses=ActionSerializer)
    def post(self, request: Request, number: str, action: int) -> Response:
        """Open, done, verified or dropped."""
        item = services.set_status(action=self.item(action), by=self.person, **self.body(StatusSerializer))
        return Response(ActionSerializer(item).data)


class PlanView(_ActionsView):
    """How an item will be verified."""

    serializer_class = PlanSerializer

    @extend_schema(request=PlanSerializer, responses=PlanSerializer)
    def put(self, request: Request, number: str, action: int) -> Response:
        """Say by which signal, threshold and window the workbench can check it."""
        plan = Plan(**self.body(PlanSerializer))
        stored = following.plan_verification(action=self.item(action), by=self.person, plan=plan)
        return Response(PlanSerializer(stored).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, action: int) -> Response:
        """Take the plan away; the words of the verification stay."""
        following.plan_verification(action=self.item(action), by=self.person, plan=None)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ChecksView(_ActionsView):
    """Checks of an item."""

    serializer_class = CheckSerializer

    @extend_schema(responses=CheckSerializer(many=True))
    def get(self, request: Request, number: str, action: int) -> Response:
        """Newest first."""
        return self.page(self.item(action).checks.select_related("checked_by"), CheckSerializer)

    @extend_schema(request=None, responses={201: CheckSerializer})
    def post(self, request: Request, number: str, action: int) -> Response:
        """Judge the plan on the traces that are there now."""
        check = following.check_action(action=self.item(action), by=self.person)
        return Response(CheckSerializer(check).data, status=status.HTTP_201_CREATED)


class RegressionView(_ActionsView):
    """The regression case of a verified item."""

    @extend_schema(request=None, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, number: str, action: int) -> Response:
        """`items`: bodies of Langfuse's `POST /api/public/dataset-items`, texts masked."""
        return Response({"items": regression_case(action=self.item(action), by=self.person)})


class RemindersView(_ActionsView):
    """Who was told of which unfinished item."""

    serializer_class = ReminderSerializer

    @extend_schema(responses=ReminderSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Newest first."""
        rows = Reminder.objects.filter(action__incident=self.incident).select_related("action", "to")
        return self.page(rows, ReminderSerializer)


class AlikeView(_ActionsView):
    """Items that look alike."""

    serializer_class = AlikeSerializer

    @extend_schema(parameters=[OpenApiParameter("title", str, required=True)], responses=AlikeSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Open items of other incidents that may promise the same."""
        title = request.query_params.get("title", "")[:200]
        found = following.alike_elsewhere(incident=self.incident, person=self.person, title=title)
        return self.page(found, AlikeSerializer)


class ManyActionsView(_ActionsView):
    """Several items at once."""

    @extend_schema(request=ManySerializer, responses=ActionSerializer(many=True))
    def post(self, request: Request, number: str) -> Response:
        """Change them together: all, or none."""
        body = self.resolved(self.body(ManySerializer))
        revisions = {one["number"]: one["revision"] for one in body.pop("items")}
        changed = many.change_many(incident=self.incident, by=self.person, revisions=revisions, **body)
        return self.page(changed, ActionSerializer)


class ActionsFileView(_ActionsView):
    """Items from a file."""

    @extend_schema(request=ActionsFileSerializer, responses={201: ActionSerializer(many=True)})
    def post(self, request: Request, number: str) -> Response:
        """Add the items of a CSV file: all, or none; each needs an owner, a due date and a verification."""
        data = self.body(ActionsFileSerializer)["csv"].encode()
        added = many.import_actions(incident=self.incident, by=self.person, data=data)
        return Response(ActionSerializer(added, many=True).data, status=status.HTTP_201_CREATED)
