"""The list of incidents, a new one, and one incident's overview, record, people and timeline."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from postmortem.accounts.selectors import active_people
from postmortem.incidents import services
from postmortem.incidents.clocks import five_clocks
from postmortem.incidents.models import Feature, Incident, ParticipantRole, Severity, Status, Visibility
from postmortem.incidents.permissions import Capability, may, require
from postmortem.incidents.selectors import incident_list, participants
from postmortem.insights.selectors import open_action_counts
from postmortem.insights.watching import recurrences
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.hashing import sha256_hex
from postmortem.lib.layers import LAYER_CHOICES
from postmortem.report.selectors import overview_chart
from postmortem.review.selectors import layer_summaries
from postmortem.review.shared_text import INCIDENT_TEXTS, save_text
from postmortem.web.fields import MomentField
from postmortem.web.workspace import open_incident, render_stage

PAGE_SIZE = 40


class NewIncidentForm(forms.Form):
    """What is known in the first minute of a review; everything else comes with the evidence."""

    title = forms.CharField(max_length=200, help_text="What went wrong, as one sentence.")
    feature_name = forms.CharField(
        label="AI feature", max_length=120, help_text="The application in production, e.g. Help Centre Assistant."
    )
    severity = forms.ChoiceField(choices=Severity.choices, initial=Severity.SEV3)
    visibility = forms.ChoiceField(choices=Visibility.choices, initial=Visibility.EVERYONE, label="Who may see it")
    detected_at = MomentField(required=False, label="Detected at (UTC)", help_text="Leave empty if not known yet.")


MARKDOWN_FIELDS = ("summary", "impact", "detection_gap", "lessons", "decisions_requested")


class IncidentForm(forms.ModelForm):
    """The record of one incident: words, windows and clocks."""

    revision = forms.IntegerField(widget=forms.HiddenInput)

    class Meta:
        model = Incident
        fields = (
            "title", "severity", "visibility", "suspected_layer", "summary", "impact", "affected_people",
            "detection_gap", "lessons",
            "decisions_requested", "latent_since", "onset_at", "detected_at", "mitigated_at", "recovered_at",
            "users_recovered_at", "resolved_at", "baseline_start", "baseline_end", "incident_start", "incident_end",
        )  # fmt: skip

    MOMENTS = (
        "latent_since", "onset_at", "detected_at", "mitigated_at", "recovered_at", "users_recovered_at", "resolved_at",
        "baseline_start", "baseline_end", "incident_start", "incident_end",
    )  # fmt: skip
    HELP = {  # noqa: RUF012
        "summary": "What happened, for a leader who was not there. Markdown.",
        "impact": "Who was harmed, how many, how badly, what it cost. Markdown.",
        "suspected_layer": "The layer that the team named first, before reading the evidence. It is examined last.",
        "affected_people": "People who got a wrong answer, if known.",
        "detection_gap": "What should have told us, when, and why it did not. Markdown.",
        "lessons": "What surprised us, where we were lucky. Markdown.",
        "decisions_requested": "What leadership is asked to decide, one line each. Markdown within the line.",
        "latent_since": "When the condition came into being, before anybody was harmed.",
        "onset_at": "When answers began to get worse. Attribution proposes it.",
        "detected_at": "When somebody first knew.",
        "mitigated_at": "When the harm was stopped.",
        "recovered_at": "When the signal was back at its baseline.",
        "users_recovered_at": "When the people who were harmed had been put right.",
        "resolved_at": "When the incident was closed by those on duty.",
    }
    LABELS = {"suspected_layer": "Suspected first", "affected_people": "People affected", "resolved_at": "Resolved at"}  # noqa: RUF012

    def __init__(self, *args: Any, may_manage: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_manage:
            del self.fields["visibility"]
        for name in self.MOMENTS:
            self.fields[name] = MomentField(required=False, label=self.fields[name].label)
        for name, text in self.HELP.items():
            self.fields[name].help_text = text
        for name in MARKDOWN_FIELDS:
            self.fields[name].is_markdown = True
        for name, text in self.LABELS.items():
            self.fields[name].label = text


class ParticipantForm(forms.Form):
    """Who takes part, and as what."""

    person = forms.ModelChoiceField(queryset=None)
    role = forms.ChoiceField(choices=ParticipantRole.choices, initial=ParticipantRole.REVIEWER)
    layer = forms.ChoiceField(choices=[("", "no layer"), *LAYER_CHOICES], required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["person"].queryset = active_people()


@require_GET
def incident_index(request: HttpRequest) -> HttpResponse:
    """Every incident that the person may see, newest first, with search and status."""
    text, status = request.GET.get("q", "").strip()[:200], request.GET.get("status", "")
    found = incident_list(request.user, text=text, status=status if status in Status.values else "")
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    counts = open_action_counts([incident.pk for incident in page])
    rows = [(incident, counts.get(incident.pk)) for incident in page]
    context = {
        "page": page,
        "rows": rows,
        "text": text,
        "status": status,
        "statuses": Status.choices,
        "may_create": may(request.user, Capability.CREATE),
    }
    template = "incidents/_list.html" if request.htmx else "incidents/list.html"
    return render(request, template, context)


@require_http_methods(["GET", "HEAD", "POST"])
def incident_new(request: HttpRequest) -> HttpResponse:
    """Open an incident; goes on to its Evidence page."""
    require(request.user, Capability.CREATE)
    form = NewIncidentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            incident = services.create_incident(by=request.user, **form.cleaned_data)
        except UserError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{incident.number} is open. Paste a trace link to bring in the evidence.")
            return redirect("evidence", incident.number)
    context = {"form": form, "features": Feature.objects.values_list("name", flat=True)}
    return render(request, "incidents/new.html", context, status=400 if form.errors else 200)


@require_GET
def overview(request: HttpRequest, number: str) -> HttpResponse:
    """The incident on one page: clocks, finding, picture, what is missing, four layers."""
    incident = open_incident(request, number)
    clocks = five_clocks(
        incident.latent_since,
        incident.onset_at,
        incident.detected_at,
        incident.mitigated_at,
        incident.recovered_at,
        incident.users_recovered_at,
    )
    context = {
        "clocks": clocks,
        "picture": overview_chart(incident),
        "layers": layer_summaries(incident),
        "people": participants(incident),
        "recurrences": recurrences(incident, request.user),
    }
    return render_stage(request, "incidents/overview.html", incident, "overview", context)


@require_http_methods(["GET", "HEAD", "POST"])
def incident_edit(request: HttpRequest, number: str) -> HttpResponse:
    """The record's words, windows and clocks; two people who edit at once both keep their text."""
    incident = open_incident(request, number)
    require(request.user, Capability.REVIEW, incident)
    may_manage = may(request.user, Capability.MANAGE, incident)
    conflict: EditConflict | None = None
    if request.method == "POST":
        form = IncidentForm(request.POST, instance=Incident(), may_manage=may_manage)
        if form.is_valid():
            try:
                _save_record(request, incident, dict(form.cleaned_data))
            except EditConflict as error:
                conflict = error
                form.data = form.data.copy()
                form.data["revision"] = str(error.revision)
            except UserError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Saved.")
                return redirect("incident-overview", incident.number)
    else:
        form = IncidentForm(instance=incident, initial={"revision": incident.revision}, may_manage=may_manage)
    for name in INCIDENT_TEXTS:
        form.fields[name].widget.attrs["data-shared"] = f"incident.{name}"
    bases = {name: request.POST.get(f"{name}_base", getattr(incident, name)) for name in INCIDENT_TEXTS}
    if conflict:  # saving again keeps what was typed: it was made with theirs in sight
        bases |= {name: text for name, text in conflict.current.items() if name in bases}
    context = {
        "form": form,
        "bases": bases,
        "seen": _seen(incident) if request.method != "POST" or conflict else request.POST.get("seen", ""),
        "conflict": conflict,
        "theirs": _their_version(form, conflict) if conflict else [],
        "people": participants(incident),
        "participant_form": ParticipantForm(),
    }
    status = 409 if conflict else 400 if form.errors else 200
    return render_stage(request, "incidents/edit.html", incident, "overview", context, status=status)


@require_POST
def participant_add(request: HttpRequest, number: str) -> HttpResponse:
    """Give somebody a part in the incident."""
    incident = open_incident(request, number, Capability.MANAGE)
    form = ParticipantForm(request.POST)
    if form.is_valid():
        _say(request, lambda: services.set_participant(incident=incident, by=request.user, **form.cleaned_data))
    else:
        messages.error(request, "Choose a person and a role.")
    return redirect("incident-people", incident.number)


@require_POST
def participant_remove(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """Take somebody's part away."""
    incident = open_incident(request, number, Capability.MANAGE)
    participant = get_object_or_404(incident.participants, pk=pk)
    _say(
        request,
        lambda: services.remove_participant(incident=incident, by=request.user, participant=participant),
    )
    return redirect("incident-people", incident.number)


@require_GET
def incident_people(request: HttpRequest, number: str) -> HttpResponse:
    """Who takes part, and as what."""
    incident = open_incident(request, number)
    context = {"people": participants(incident), "participant_form": ParticipantForm()}
    return render_stage(request, "incidents/people.html", incident, "overview", context)


def _save_record(request: HttpRequest, incident: Incident, fields: dict[str, Any]) -> None:
    """Save the record: its texts merged with what others wrote, the rest only if nobody changed the rest meanwhile."""
    revision = fields.pop("revision")
    shared = {name: fields.pop(name) for name in INCIDENT_TEXTS if f"{name}_base" in request.POST}
    with transaction.atomic():
        stored = Incident.objects.select_related("feature").get(pk=incident.pk)
        if shared and request.POST.get("seen") == _seen(stored):
            revision = stored.revision  # only texts were saved since, and those are merged
        services.update_incident(incident=incident, by=request.user, revision=revision, **fields)
        for name, text in shared.items():
            base = request.POST[f"{name}_base"]
            if text.replace("\r\n", "\n") != base.replace("\r\n", "\n"):
                try:
                    save_text(incident=incident, by=request.user, key=f"incident.{name}", base=base, text=text)
                except EditConflict as error:
                    current = {name: error.current["text"]}
                    raise EditConflict(str(error), current=current, revision=stored.revision) from error


def _seen(incident: Incident) -> str:
    """Stands for everything on the form but its texts, to tell whether somebody changed it."""
    names = [name for name in IncidentForm.Meta.fields if name not in INCIDENT_TEXTS]
    return sha256_hex("\0".join(str(getattr(incident, name)) for name in names).encode())[:32]


def _say(request: HttpRequest, act: Any) -> None:
    """Run one service; what it refuses becomes a message."""
    try:
        act()
    except UserError as error:
        messages.error(request, str(error))


def _their_version(form: forms.ModelForm, conflict: EditConflict) -> list[tuple[str, Any, Any]]:
    """Fields in which the stored text and the typed text differ: (label, stored, typed)."""
    rows = []
    for name, stored in conflict.current.items():
        typed = form.cleaned_data.get(name)
        if name in form.fields and str(stored or "") != str(typed or ""):
            rows.append((form.fields[name].label or name, stored, typed))
    return rows


urlpatterns = [
    path("", incident_index, name="incident-list"),
    path("incidents/new/", incident_new, name="incident-new"),
    path("incidents/<str:number>/", overview, name="incident-overview"),
    path("incidents/<str:number>/edit/", incident_edit, name="incident-edit"),
    path("incidents/<str:number>/people/", incident_people, name="incident-people"),
    path("incidents/<str:number>/people/add/", participant_add, name="participant-add"),
    path("incidents/<str:number>/people/<int:pk>/remove/", participant_remove, name="participant-remove"),
]
