"""The review of the four layers: answers, evidence, verdicts, signatures."""

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.accounts import PersonSerializer
from postmortem.api.base import IncidentView
from postmortem.changes.models import Change
from postmortem.review import selectors, services
from postmortem.review.models import ChecklistAnswer, Evidence, SignOff, Verdict
from postmortem.traces.models import Trace


class AnswerSerializer(serializers.ModelSerializer):
    """The present answer to a question."""

    answered_by = serializers.CharField(source="answered_by.name")

    class Meta:
        model = ChecklistAnswer
        fields = ("question_id", "value", "note", "answered_by", "answered_at", "revision")


class NewAnswerSerializer(serializers.Serializer):
    """An answer; `revision` is that of the answer it replaces, `note_base` the note that `note` was made from."""

    question_id = serializers.CharField(max_length=60)
    value = serializers.ChoiceField(choices=ChecklistAnswer.Value.choices)
    note = serializers.CharField(required=False, allow_blank=True, default="")
    note_base = serializers.CharField(required=False, allow_blank=True, allow_null=True, default=None)
    revision = serializers.IntegerField(required=False, allow_null=True, default=None)


class EvidenceSerializer(serializers.ModelSerializer):
    """One piece of evidence."""

    added_by = serializers.CharField(source="added_by.name")

    class Meta:
        model = Evidence
        fields = (
            "id", "layer", "direction", "text", "question_id", "trace", "change", "finding_number", "link",
            "added_by", "added_at",
        )  # fmt: skip


class NewEvidenceSerializer(serializers.Serializer):
    """For or against a cause in the layer, with what it rests on."""

    direction = serializers.ChoiceField(choices=Evidence.Direction.choices)
    text = serializers.CharField()
    question_id = serializers.CharField(max_length=60, required=False, allow_blank=True, default="")
    trace = serializers.IntegerField(required=False, allow_null=True, default=None)
    change = serializers.IntegerField(required=False, allow_null=True, default=None)
    finding_number = serializers.IntegerField(required=False, allow_null=True, default=None)
    link = serializers.CharField(max_length=1_000, required=False, allow_blank=True, default="")


class VerdictSerializer(serializers.ModelSerializer):
    """What people decided; `proposed` is what the attribution proposed at that moment."""

    decided_by = serializers.CharField(source="decided_by.name")

    class Meta:
        model = Verdict
        fields = ("layer", "value", "reason", "proposed", "decided_by", "decided_at", "revision")


class NewVerdictSerializer(serializers.Serializer):
    """A verdict with its reason; `revision` is that of the verdict it replaces."""

    value = serializers.ChoiceField(choices=Verdict.Value.choices)
    reason = serializers.CharField(allow_blank=True)
    revision = serializers.IntegerField(required=False, allow_null=True, default=None)


class SignatureSerializer(serializers.ModelSerializer):
    """A signature on exact content."""

    signed_by = serializers.CharField(source="signed_by.name")

    class Meta:
        model = SignOff
        fields = ("layer", "signed_by", "signed_at", "content_sha256")


class NewSignatureSerializer(serializers.Serializer):
    """The content that was read; when given and changed since, signing is refused."""

    content_sha256 = serializers.CharField(max_length=64, required=False, allow_null=True, default=None)


class LayerSummarySerializer(serializers.Serializer):
    """One layer in a line."""

    layer = serializers.CharField()
    verdict = VerdictSerializer(allow_null=True)
    proposed = serializers.CharField()
    probability = serializers.FloatField(allow_null=True)
    answered = serializers.IntegerField()
    questions = serializers.IntegerField()
    evidence_count = serializers.IntegerField()
    lead = PersonSerializer(allow_null=True)
    signed = serializers.BooleanField()
    signature_withdrawn = serializers.BooleanField()


class QuestionSerializer(serializers.Serializer):
    """A question, what is known, the answer and its evidence."""

    id = serializers.CharField(source="question.id")
    text = serializers.CharField(source="question.text")
    why = serializers.CharField(source="question.why")
    evidence_wanted = serializers.CharField(source="question.evidence")
    rules_in = serializers.CharField(source="question.rules_in")
    rules_out = serializers.CharField(source="question.rules_out")
    known = serializers.SerializerMethodField()
    suggested = serializers.CharField(source="prefill.suggested", allow_null=True)
    answer = AnswerSerializer(allow_null=True)
    evidence_for = EvidenceSerializer(many=True)
    evidence_against = EvidenceSerializer(many=True)

    @extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}})
    def get_known(self, question: selectors.QuestionReview) -> list[dict[str, str]]:
        """What the join and the attribution know."""
        return [{"label": label, "value": value} for label, value in question.prefill.known]


class LayerReviewSerializer(serializers.Serializer):
    """Everything about one layer."""

    layer = serializers.CharField()
    checklist_version = serializers.CharField()
    questions = QuestionSerializer(many=True)
    evidence_for = EvidenceSerializer(many=True)
    evidence_against = EvidenceSerializer(many=True)
    verdict = VerdictSerializer(allow_null=True)
    proposed = serializers.CharField()
    probability = serializers.FloatField(allow_null=True)
    finding_number = serializers.IntegerField(allow_null=True)
    lead = PersonSerializer(allow_null=True)
    signature = SignatureSerializer(source="sign.sign_off", allow_null=True)
    signed = serializers.BooleanField(source="sign.signed")
    content_sha256 = serializers.CharField(source="sign.content_sha256")


class ReviewView(IncidentView):
    """The four layers."""

    serializer_class = LayerSummarySerializer
    pagination_class = None

    @extend_schema(responses=LayerSummarySerializer(many=True))
    def get(self, request: Request, number: str) -> Response:
        """Always four: model, prompt, retrieval, infrastructure."""
        return Response(LayerSummarySerializer(selectors.layer_summaries(self.incident), many=True).data)


class LayerView(IncidentView):
    """One layer."""

    serializer_class = LayerReviewSerializer

    @extend_schema(responses=LayerReviewSerializer)
    def get(self, request: Request, number: str, layer: str) -> Response:
        """Questions, evidence, verdict, signature."""
        return Response(LayerReviewSerializer(selectors.review_layer(self.incident, layer)).data)


class AnswersView(IncidentView):
    """Answers."""

    serializer_class = AnswerSerializer

    @extend_schema(request=NewAnswerSerializer, responses=AnswerSerializer)
    def post(self, request: Request, number: str) -> Response:
        """Answer a question, or answer it anew."""
        answer = services.answer_question(incident=self.incident, by=self.person, **self.body(NewAnswerSerializer))
        return Response(AnswerSerializer(answer).data)


class LayerEvidenceView(IncidentView):
    """Evidence in a layer."""

    serializer_class = EvidenceSerializer

    @extend_schema(responses=EvidenceSerializer(many=True))
    def get(self, request: Request, number: str, layer: str) -> Response:
        """In the order in which it was added."""
        return self.page(selectors.evidence_of(self.incident, layer), EvidenceSerializer)

    @extend_schema(request=NewEvidenceSerializer, responses={201: EvidenceSerializer})
    def post(self, request: Request, number: str, layer: str) -> Response:
        """Add one piece."""
        body = self.body(NewEvidenceSerializer)
        body["trace"] = self.picked(Trace.objects.filter(incident=self.incident), body["trace"])
        body["change"] = self.picked(Change.objects.filter(feature_id=self.incident.feature_id), body["change"])
        piece = services.add_evidence(incident=self.incident, by=self.person, layer=layer, **body)
        return Response(EvidenceSerializer(piece).data, status=status.HTTP_201_CREATED)


class AdoptView(IncidentView):
    """The attribution's own evidence."""

    serializer_class = EvidenceSerializer
    pagination_class = None

    @extend_schema(request=None, responses=EvidenceSerializer(many=True))
    def post(self, request: Request, number: str, layer: str) -> Response:
        """Copy what the latest finding says for and against; once."""
        pieces = services.adopt_proposed_evidence(incident=self.incident, by=self.person, layer=layer)
        return Response(EvidenceSerializer(pieces, many=True).data)


class OneEvidenceView(IncidentView):
    """One piece of evidence."""

    serializer_class = EvidenceSerializer

    @extend_schema(responses={204: None})
    def delete(self, request: Request, number: str, pk: int) -> Response:
        """Take it out of the review."""
        piece = self.found(selectors.evidence_of(self.incident).select_related("incident__feature"), pk=pk)
        services.remove_evidence(evidence=piece, by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class VerdictView(IncidentView):
    """The verdict on a layer."""

    serializer_class = VerdictSerializer

    @extend_schema(request=NewVerdictSerializer, responses=VerdictSerializer)
    def put(self, request: Request, number: str, layer: str) -> Response:
        """Decide IN, OUT or INSUFFICIENT; needs evidence and a reason."""
        verdict = services.decide_verdict(
            incident=self.incident, by=self.person, layer=layer, **self.body(NewVerdictSerializer)
        )
        return Response(VerdictSerializer(verdict).data)


class LayerSignOffView(IncidentView):
    """A lead's signature."""

    serializer_class = SignatureSerializer

    @extend_schema(
        operation_id="incidents_layer_sign_off_create", request=NewSignatureSerializer, responses=SignatureSerializer
    )
    def post(self, request: Request, number: str, layer: str = "") -> Response:
        """Sign for the layer that you lead."""
        signature = services.sign_off(
            incident=self.incident, by=self.person, layer=layer, **self.body(NewSignatureSerializer)
        )
        return Response(SignatureSerializer(signature).data)


class WholeSignOffView(LayerSignOffView):
    """The facilitator's signature."""

    @extend_schema(
        operation_id="incidents_sign_off_create", request=NewSignatureSerializer, responses=SignatureSerializer
    )
    def post(self, request: Request, number: str) -> Response:
        """Sign for the whole review as facilitator."""
        return super().post(request, number)
