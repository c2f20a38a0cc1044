"""One layer under review: its questions, its evidence, its verdict, its lead's signature."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

from postmortem.incidents.models import Incident, Status
from postmortem.incidents.permissions import Capability, may
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import Layer
from postmortem.review import selectors, services
from postmortem.review.checklist import DETECTION
from postmortem.review.dissent import record_dissent, withdraw_dissent
from postmortem.review.models import ChecklistAnswer, Evidence, Verdict
from postmortem.review.order import blocked_by_order
from postmortem.review.suggested import answer_as_suggested
from postmortem.web.evidence_form import LayerEvidenceForm
from postmortem.web.factor_forms import NewFactorForm
from postmortem.web.workspace import build_workspace, open_incident, render_stage

_CHOICES = [("1", "yes", "Yes"), ("2", "no", "No"), ("3", "cannot_tell", "Cannot tell")]
_VERDICT_WORDS = [
    ("in", "IN", "a cause lies here"),
    ("out", "OUT", "ruled out"),
    ("insufficient", "INSUFFICIENT", "say what to log"),
]


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the checklist that is no layer."""

    value: str
    label: str


DETECTION_SECTION = Section(DETECTION, "Detection")


class VerdictForm(forms.Form):
    """IN, OUT or INSUFFICIENT, and why."""

    value = forms.ChoiceField(
        choices=Verdict.Value.choices,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose IN, OUT or INSUFFICIENT.", "invalid_choice": "Choose one of the three."},
    )
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=10_000,
        label="Reason",
        help_text="What decides it. For INSUFFICIENT: what to log so that next time it can be told.",
        error_messages={"required": "Say what decides it."},
    )
    revision = forms.IntegerField(required=False, widget=forms.HiddenInput)


@require_GET
def layer_page(request: HttpRequest, number: str, layer: str) -> HttpResponse:
    """The checklist of a layer beside its verdict; or the section on detection."""
    if layer == DETECTION:
        return _detection(request, open_incident(request, number))
    return _render(request, open_incident(request, number), _known(layer))


@require_POST
def answer(request: HttpRequest, number: str, layer: str) -> HttpResponse:
    """Answer one question; with htmx only that question is drawn anew."""
    incident = open_incident(request, number, Capability.REVIEW)
    known = DETECTION_SECTION if layer == DETECTION else _known(layer)
    question_id = request.POST.get("question_id", "")[:60]
    note = request.POST.get("note", "")
    revision = request.POST.get("revision", "")
    typed: dict[str, Any] = {"question_id": question_id, "note": note, "value": request.POST.get("value", "")}
    try:
        services.answer_question(
            incident=incident,
            by=request.user,
            question_id=question_id,
            value=typed["value"],
            note=note,
            note_base=request.POST.get("note_base"),
            revision=int(revision) if revision.isdecimal() and len(revision) < 9 else None,
        )
    except EditConflict as error:
        typed |= {"error": str(error), "stored": error.current, "revision": error.revision}
        stored = str(error.current.get("value", ""))
        typed["stored_label"] = dict(ChecklistAnswer.Value.choices).get(stored, stored)
    except UserError as error:
        typed["error"] = str(error)
    if request.htmx:
        return _question(request, incident, known, question_id, typed if "error" in typed else None)
    if "error" in typed and known is DETECTION_SECTION:
        return _detection(request, incident, typed=typed, status=409 if "stored" in typed else 400)
    if "error" in typed:
        return _render(request, incident, known, typed=typed, status=409 if "stored" in typed else 400)
    return redirect(reverse("review-layer", args=[incident.number, known.value]) + f"#question-{question_id}")


@require_POST
def suggested(request: HttpRequest, number: str, layer: str) -> HttpResponse:
    """Answer the layer's open questions as the join and the attribution suggest."""
    incident = open_incident(request, number, Capability.REVIEW)
    known = _known(layer)
    try:
        answers = answer_as_suggested(incident=incident, by=request.user, layer=known)
        messages.success(request, f"{len(answers)} answered as suggested; change any that you see otherwise.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect(reverse("review-layer", args=[incident.number, known.value]) + "#checklist")


@require_POST
def evidence_add(request: HttpRequest, number: str, layer: str) -> HttpResponse:
    """Add one piece of evidence for or against a cause in the layer."""
    incident = open_incident(request, number, Capability.REVIEW)
    known = _known(layer)
    form = LayerEvidenceForm(request.POST, incident=incident, layer=known.value)
    if form.is_valid():
        names = ("direction", "text", "question_id", "trace", "change", "link")
        fields = {name: form.cleaned_data[name] for name in names}
        try:
            services.add_evidence(incident=incident, by=request.user, layer=known, **fields)
        except UserError as error:
            form.add_error("text", str(error))
        else:
            question = fields["question_id"]
            anchor = f"question-{question}" if question else "evidence"
            return redirect(reverse("review-layer", args=[incident.number, known.value]) + f"#{anchor}")
    return _render(request, incident, known, evidence_form=form, status=400)


@require_POST
def evidence_remove(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Take a piece of evidence back; the audit log keeps it."""
    incident = open_incident(request, number, Capability.REVIEW)
    piece = get_object_or_404(Evidence.objects.select_related("incident"), pk=pk, incident=incident)
    layer = piece.layer
    try:
        services.remove_evidence(evidence=piece, by=request.user)
        messages.success(request, "The evidence is taken back.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect("review-layer", incident.number, layer)


@require_POST
def adopt(request: HttpRequest, number: str, layer: str) -> HttpResponse:
    """Take over what the latest attribution run says for and against the layer."""
    incident = open_incident(request, number, Capability.REVIEW)
    known = _known(layer)
    try:
        added = services.adopt_proposed_evidence(incident=incident, by=request.user, layer=known)
        count = len(added)
        said = f"{count} piece{'' if count == 1 else 's'} of evidence adopted." if count else "Nothing new to adopt."
        messages.success(request, said)
    except UserError as error:
        messages.error(request, str(error))
    return redirect(reverse("review-layer", args=[incident.number, known.value]) + "#evidence")


@require_POST
def decide(request: HttpRequest, number: str, layer: str) -> HttpResponse:
    """Decide the layer's verdict; a decision that somebody else made meanwhile is shown, not overwritten."""
    incident = open_incident(request, number)
    known = _known(layer)
    form = VerdictForm(request.POST)
    conflict: EditConflict | None = None
    if form.is_valid():
        data = form.cleaned_data
        try:
            services.decide_verdict(
                incident=incident,
                by=request.user,
                layer=known,
                value=data["value"],
                reason=data["reason"],
                revision=data["revision"],
            )
            messages.success(request, f"{known.label} is {data['value'].upper()}.")
            return redirect(reverse("review-layer", args=[incident.number, known.value]) + "#verdict")
        except EditConflict as error:
            conflict = error
            form.data = form.data.copy()
            form.data["revision"] = str(error.revision)
        except UserError as error:
            form.add_error("reason", str(error))
    status = 409 if conflict else 400
    return _render(request, incident, known, verdict_form=form, conflict=conflict, status=status)


@require_POST
def dissent(request: HttpRequest, number: str, layer: str) -> HttpResponse:
    """Disagree with the verdict by name and with a reason, or take one's own dissent back."""
    incident = open_incident(request, number, Capability.REVIEW)
    known = _known(layer)
    try:
        if "withdraw" in request.POST:
            mine = incident.dissents.select_related("incident__feature")
            own = get_object_or_404(mine, layer=known, person=request.user)
            withdraw_dissent(dissent=own, by=request.user)
            messages.success(request, "Your dissent is taken back.")
        else:
            value, reason = request.POST.get("value", ""), request.POST.get("reason", "")
            record_dissent(incident=incident, by=request.user, layer=known, value=value, reason=reason)
            messages.success(request, "Your dissent stands in the record, beside the verdict.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect(reverse("review-layer", args=[incident.number, known.value]) + "#verdict")


@require_POST
def sign(request: HttpRequest, number: str, layer: str) -> HttpResponse:
    """Sign the layer as its lead: exactly what was on the page."""
    incident = open_incident(request, number)
    known = _known(layer)
    try:
        services.sign_off(
            incident=incident, by=request.user, layer=known, content_sha256=request.POST.get("content") or None
        )
        messages.success(request, f"You signed off {known.label}.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect(reverse("review-layer", args=[incident.number, known.value]) + "#sign-off")


def _question(
    request: HttpRequest, incident: Incident, layer: Layer | Section, question_id: str, typed: dict[str, Any] | None
) -> HttpResponse:
    detection = layer is DETECTION_SECTION
    seen = selectors.review_detection(incident) if detection else selectors.review_layer(incident, layer)
    places = {entry.question.id: place for place, entry in enumerate(seen.questions, start=1)}
    if question_id not in places:
        raise Http404("The checklist has no such question.")
    context = {
        "incident": incident,
        "workspace": build_workspace(incident, request.user),
        "layer": layer,
        "entry": seen.questions[places[question_id] - 1],
        "place": places[question_id],
        "typed": typed,
        "choices": _CHOICES,
        "answered": seen.answered,
        "question_count": sum(entry.shown for entry in seen.questions),
        "version": seen.checklist_version,
        "swap_progress": True,
    }
    return render(request, "review/_question.html", context)


def _detection(
    request: HttpRequest, incident: Incident, *, typed: dict[str, Any] | None = None, status: int = 200
) -> HttpResponse:
    seen = selectors.review_detection(incident)
    context = {
        "layer": DETECTION_SECTION,
        "seen": seen,
        "tabs": selectors.review_order(selectors.layer_summaries(incident), incident.suspected_layer),
        "typed": typed,
        "choices": _CHOICES,
        "answered": seen.answered,
        "question_count": sum(entry.shown for entry in seen.questions),
        "version": seen.checklist_version,
    }
    return render_stage(request, "review/detection.html", incident, "review", context, status=status)


def _render(
    request: HttpRequest,
    incident: Incident,
    layer: Layer,
    *,
    typed: dict[str, Any] | None = None,
    evidence_form: LayerEvidenceForm | None = None,
    verdict_form: VerdictForm | None = None,
    conflict: EditConflict | None = None,
    status: int = 200,
) -> HttpResponse:
    seen = selectors.review_layer(incident, layer)
    if verdict_form is None:
        stored = seen.verdict
        initial = (
            {"value": stored.value, "reason": stored.reason, "revision": stored.revision} if stored else {"revision": 0}
        )
        verdict_form = VerdictForm(initial=initial)
    verdict_form.fields["reason"].widget.attrs["data-shared"] = f"reason.{layer.value}"
    asked = request.GET.get("question", "")[:60]
    evidence_open = evidence_form is not None or bool(asked)
    if evidence_form is None:
        evidence_form = LayerEvidenceForm(
            incident=incident,
            layer=layer.value,
            initial={"layer": layer.value, "direction": "for", "question_id": asked},
        )
    order = selectors.review_order(selectors.layer_summaries(incident), incident.suspected_layer)
    context = {
        "layer": layer,
        "seen": seen,
        "tabs": order,
        "typed": typed,
        "choices": _CHOICES,
        "answered": seen.answered,
        "question_count": sum(entry.shown for entry in seen.questions),
        "version": seen.checklist_version,
        "suggested_count": sum(one.takes_suggestion for one in seen.questions),
        "next_layer": _next_layer(order, layer),
        "evidence_form": evidence_form,
        "editable": may(request.user, Capability.REVIEW, incident) and incident.status != Status.PUBLISHED,
        "evidence_open": evidence_open,
        "asked": next((entry.question for entry in seen.questions if entry.question.id == asked), None),
        "verdict_form": verdict_form,
        "verdict_words": _VERDICT_WORDS,
        "chosen_verdict": verdict_form["value"].value(),
        "conflict": conflict,
        "stored_verdict": dict(Verdict.Value.choices).get(str(conflict.current.get("value")), "") if conflict else "",
        "factor_form": NewFactorForm(incident=incident, auto_id="factor_%s", initial={"layer": layer.value}),
        "blocked": blocked_by_order(incident, layer, set(incident.verdicts.values_list("layer", flat=True))),
        "may_decide": may(request.user, Capability.DECIDE, incident, layer),
        "may_sign": may(request.user, Capability.SIGN, incident, layer),
    }
    return render_stage(request, "review/layer.html", incident, "review", context, status=status)


def _next_layer(order: list[selectors.LayerSummary], layer: Layer) -> str:
    """The layer that comes after this one in the order of the review, "" after the last."""
    names = [summary.layer.value for summary in order]
    place = names.index(layer.value) + 1
    return names[place] if place < len(names) else ""


def _known(layer: str) -> Layer:
    try:
        return Layer(layer)
    except ValueError as error:
        raise Http404("There are four layers: model, prompt, retrieval and infrastructure.") from error


_ROOT = "incidents/<str:number>/review/"
urlpatterns = [
    path(_ROOT + "evidence/<int:pk>/remove/", evidence_remove, name="evidence-remove"),
    path(_ROOT + "<str:layer>/", layer_page, name="review-layer"),
    path(_ROOT + "<str:layer>/answer/", answer, name="review-answer"),
    path(_ROOT + "<str:layer>/suggested/", suggested, name="review-suggested"),
    path(_ROOT + "<str:layer>/evidence/", evidence_add, name="evidence-add"),
    path(_ROOT + "<str:layer>/adopt/", adopt, name="evidence-adopt"),
    path(_ROOT + "<str:layer>/verdict/", decide, name="verdict-decide"),
    path(_ROOT + "<str:layer>/dissent/", dissent, name="layer-dissent"),
    path(_ROOT + "<str:layer>/sign/", sign, name="layer-sign"),
]
