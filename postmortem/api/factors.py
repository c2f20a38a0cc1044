"""Contributing factors and the causal graph."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.actions import graph_editing
from postmortem.actions import services as action_services
from postmortem.api.base import IncidentView
from postmortem.changes.models import Change
from postmortem.lib.layers import LAYER_CHOICES, LAYERS
from postmortem.review import factors as services
from postmortem.review import selectors
from postmortem.review.models import CausalEdge, ContributingFactor


class FactorSerializer(serializers.ModelSerializer):
    """A node of the causal graph."""

    risk_accepted_by = serializers.CharField(source="risk_accepted_by.name", allow_null=True, default=None)
    added_by = serializers.CharField(source="added_by.name")

    class Meta:
        model = ContributingFactor
        fields = (
            "id", "kind", "layer", "text", "change", "risk_accepted_by", "risk_accepted_reason", "added_by", "added_at",
        )  # fmt: skip


class NewFactorSerializer(serializers.Serializer):
    """A factor; the impact has no layer. `leads_to` is the factor that it caused."""

    kind = serializers.ChoiceField(choices=ContributingFactor.Kind.choices)
    layer = serializers.ChoiceField(choices=LAYER_CHOICES, required=False, allow_blank=True, default="")
    text = serializers.CharField(max_length=300)
    change = serializers.IntegerField(required=False, allow_null=True, default=None)
    leads_to = serializers.IntegerField(required=False, allow_null=True, default=None)


class FactorChangesSerializer(serializers.Serializer):
    """Any of the fields."""

    kind = serializers.ChoiceField(choices=ContributingFactor.Kind.choices, required=False)
    layer = serializers.ChoiceField(choices=LAYER_CHOICES, required=False, allow_blank=True)
    text = serializers.CharField(max_length=300, required=False)
    change = serializers.IntegerField(required=False, allow_null=True)
    revision = serializers.IntegerField(required=False)


class ReasonSerializer(serializers.Serializer):
    """Why the risk is accepted."""

    reason = serializers.CharField(allow_blank=True, max_length=5_000)


class EdgeSerializer(serializers.ModelSerializer):
    """`cause` led to `effect`."""

    class Meta:
        model = CausalEdge
        fields = ("id", "cause", "effect", "claim")


class NewEdgeSerializer(serializers.Serializer):
    """Two factors of this incident."""

    cause = serializers.IntegerField()
    effect = serializers.IntegerField()
    claim = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")


class ClaimSerializer(serializers.Serializer):
    """How it is known; empty takes the claim away."""

    claim = serializers.CharField(max_length=300, allow_blank=True)


class RegroupSerializer(serializers.Serializer):
    """Several factors and the layer, the kind, or both that they move to."""

    factors = serializers.ListField(child=serializers.IntegerField(), min_length=1, max_length=200)
    layer = serializers.ChoiceField(choices=LAYER_CHOICES, required=False, default="")
    kind = serializers.ChoiceField(choices=ContributingFactor.Kind.choices, required=False, default="")


class SuggestionSerializer(serializers.Serializer):
    """The key of a suggestion of the graph."""

    key = serializers.CharField(max_length=200)


class GraphStepSerializer(serializers.Serializer):
    """Take back one's own latest step, or do it again."""

    step = serializers.ChoiceField(choices=[("undo", "undo"), ("redo", "redo")])


class _FactorView(IncidentView):
    serializer_class = FactorSerializer

    def factor(self, pk: int) -> ContributingFactor:
        return self.found(selectors.factors(self.incident).select_related("incident__feature", "added_by"), pk=pk)

    def change(self, pk: int | None) -> Change | None:
        return self.picked(Change.objects.filter(feature_id=self.incident.feature_id), pk)


class FactorsView(_FactorView):
    """Factors."""

    @extend_schema(responses=FactorSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """The impact included."""
        return self.page(selectors.factors(self.incident), FactorSerializer)

    @extend_schema(request=NewFactorSerializer, responses={201: FactorSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Add a factor, and at once the arrow to what it caused."""
        body = self.body(NewFactorSerializer)
        body["change"] = self.change(body["change"])
        body["leads_to"] = self.picked(selectors.factors(self.incident), body["leads_to"])
        factor = services.add_factor(incident=self.incident, by=self.person, **body)
        return Response(FactorSerializer(factor).data, status=status.HTTP_201_CREATED)


class OneFactorView(_FactorView):
    """One factor."""

    @extend_schema(request=FactorChangesSerializer, responses=FactorSerializer)
    def patch(self, request: Request, number: str, pk: int) -> Response:
        """Change it."""
        body = self.body(FactorChangesSerializer)
        if "change" in body:
            body["change"] = self.change(body["change"])
        return Response(FactorSerializer(services.update_factor(factor=self.factor(pk), by=self.person, **body)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, pk: int) -> Response:
        """Take it out of the graph, its arrows too."""
        action_services.remove_factor(factor=self.factor(pk), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RiskView(_FactorView):
    """An accepted risk cuts the graph under a name."""

    @extend_schema(request=ReasonSerializer, responses=FactorSerializer)
    def put(self, request: Request, number: str, pk: int) -> Response:
        """Accept the risk under your name."""
        factor = services.accept_risk(factor=self.factor(pk), by=self.person, **self.body(ReasonSerializer))
        return Response(FactorSerializer(factor).data)

    @extend_schema(responses=FactorSerializer)
    def delete(self, request: Request, number: str, pk: int) -> Response:
        """Withdraw the acceptance."""
        return Response(FactorSerializer(services.withdraw_risk(factor=self.factor(pk), by=self.person)).data)


class EdgesView(IncidentView):
    """Arrows of the causal graph."""

    serializer_class = EdgeSerializer

    @extend_schema(responses=EdgeSerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """All arrows."""
        return self.page(self.incident.causal_edges.order_by("id"), EdgeSerializer)

    @extend_schema(request=NewEdgeSerializer, responses={201: EdgeSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Connect two factors; a circle is refused."""
        body = self.body(NewEdgeSerializer)
        mine = selectors.factors(self.incident).select_related("incident__feature")
        edge = services.connect(
            cause=self.picked(mine, body["cause"]),
            effect=self.picked(mine, body["effect"]),
            by=self.person,
            claim=body["claim"],
        )
        return Response(EdgeSerializer(edge).data, status=status.HTTP_201_CREATED)


class OneEdgeView(IncidentView):
    """One arrow."""

    serializer_class = EdgeSerializer

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, pk: int) -> Response:
        """Take the arrow away."""
        edges = self.incident.causal_edges.select_related("cause", "effect", "incident__feature")
        services.disconnect(edge=self.found(edges, pk=pk), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=ClaimSerializer, responses=EdgeSerializer)
    def patch(self, request: Request, number: str, pk: int) -> Response:
        """Say anew how it is known."""
        edges = self.incident.causal_edges.select_related("cause", "effect", "incident__feature")
        edge = services.set_claim(edge=self.found(edges, pk=pk), by=self.person, **self.body(ClaimSerializer))
        return Response(EdgeSerializer(edge).data)


class RegroupView(_FactorView):
    """Several factors at once."""

    @extend_schema(request=RegroupSerializer, responses=FactorSerializer(many=True))
    def post(self, request: Request, number: str) -> Response:
        """Move them to another layer or kind, as one step."""
        body = self.body(RegroupSerializer)
        mine = selectors.factors(self.incident).select_related("incident__feature")
        chosen = [self.picked(mine, pk) for pk in body["factors"]]
        moved = services.regroup(factors=chosen, by=self.person, layer=body["layer"], kind=body["kind"])
        return self.page(moved, FactorSerializer)


class GraphView(IncidentView):
    """The causal graph as its editor sees it."""

    serializer_class = GraphStepSerializer

    @extend_schema(
        parameters=[
            OpenApiParameter("hide", str, many=True, enum=[str(layer) for layer in LAYERS], description="Folded."),
            OpenApiParameter("around", int, description="Only what led to this factor or came of it."),
            OpenApiParameter("open", int, enum=[1], description="Only what lies on paths that nothing cuts."),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, number: str) -> Response:
        """Nodes with places, arrows with routes, what networkx says, suggestions of the findings."""
        view = graph_editing.graph_view(request.query_params)
        return Response(graph_editing.graph_state(self.incident, self.person, view))

    @extend_schema(request=GraphStepSerializer, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, number: str) -> Response:
        """Undo or redo one's own latest step; answers with the graph."""
        step = graph_editing.undo_step if self.body(GraphStepSerializer)["step"] == "undo" else graph_editing.redo_step
        step(incident=self.incident, by=self.person)
        return Response(graph_editing.graph_state(self.incident, self.person))


class SuggestionsView(_FactorView):
    """What the findings suggest."""

    @extend_schema(request=SuggestionSerializer, responses={201: FactorSerializer})
    def post(self, request: Request, number: str) -> Response:
        """Add a suggested factor, connected to the impact."""
        key = self.body(SuggestionSerializer)["key"]
        factor = graph_editing.adopt_suggestion(incident=self.incident, by=self.person, key=key)
        return Response(FactorSerializer(factor).data, status=status.HTTP_201_CREATED)
