"""Action items: who does what by when, and how everybody will see that it worked."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from postmortem.accounts.models import Person
from postmortem.accounts.selectors import active_people
from postmortem.actions import selectors, services
from postmortem.actions.models import ActionItem
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, may, require, visible_incidents
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import LAYER_CHOICES
from postmortem.review.causal_graph import CausalGraph, check_graph
from postmortem.review.models import ContributingFactor
from postmortem.web.workspace import open_incident, render_stage

PAGE_SIZE = 60
_UNFINISHED = (ActionItem.Status.OPEN, ActionItem.Status.DONE)


class OwnerField(forms.ModelChoiceField):
    """One active person, with their team and how much they already carry."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(queryset=Person.objects.none(), empty_label="choose one person", **kwargs)
        self.load: dict[int, int] = {}

    def fill(self) -> None:
        """Offer the people who are active now."""
        people = active_people().select_related("team")
        self.load = selectors.open_load(people)
        self.queryset = people

    def label_from_instance(self, obj: Person) -> str:
        """ "Priya Nair, Search, 3 open"."""
        parts = [obj.name, obj.team.name if obj.team else "", f"{self.load.get(obj.pk, 0)} open"]
        return ", ".join(part for part in parts if part)


class ActionForm(forms.Form):
    """One action item. Owner, due date and verification have no way around them."""

    title = forms.CharField(
        max_length=200,
        help_text="What will be different, as one sentence.",
        error_messages={"required": "Say what will be done."},
    )
    layer = forms.ChoiceField(
        choices=[("", "choose"), *LAYER_CHOICES], error_messages={"required": "Choose the layer that it changes."}
    )
    kind = forms.ChoiceField(choices=ActionItem.Kind.choices, initial=ActionItem.Kind.PREVENT)
    owner = OwnerField(
        help_text="One person, not a team.",
        error_messages={
            "required": "Choose the one person who owns it.",
            "invalid_choice": "The owner must be an active person; choose somebody from the list.",
        },
    )
    due_on = forms.DateField(
        label="Due",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={
            "required": "Give a due date.",
            "invalid": "The due date is not a date; write it like 2026-04-10.",
        },
    )
    verification = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}),
        label="How it will be verified",
        help_text="A signal, a threshold and a window: grounded answers back above 92% for 7 days.",
        max_length=4000,
        error_messages={"required": "Say how everybody will see that it worked."},
    )
    cuts_factor = forms.ModelChoiceField(
        queryset=ContributingFactor.objects.none(),
        required=False,
        empty_label="nothing",
        label="Cuts",
        help_text="The contributing factor that can no longer lead to the impact.",
    )
    tracker_link = forms.CharField(
        required=False, max_length=1000, help_text="The same item in your tracker; http or https."
    )
    revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, incident: Incident, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].fill()
        self.fields["cuts_factor"].queryset = incident.factors.exclude(kind=ContributingFactor.Kind.IMPACT)

    def clean_tracker_link(self) -> str:
        """Only addresses that a browser may open."""
        link = self.cleaned_data["tracker_link"].strip()
        if link and not link.lower().startswith(("https://", "http://")):
            raise forms.ValidationError("The tracker link must begin with https:// or http://.")
        return link

    def fields_to_store(self) -> dict[str, Any]:
        """The valid form without its revision."""
        return {name: value for name, value in self.cleaned_data.items() if name != "revision"}


class StatusForm(forms.Form):
    """A new status, and why."""

    status = forms.ChoiceField(
        choices=ActionItem.Status.choices, error_messages={"invalid_choice": "Choose one of the four statuses."}
    )
    note = forms.CharField(required=False, max_length=4000, help_text="What shows it, or why it is dropped.")
    revision = forms.IntegerField(widget=forms.HiddenInput)


class HandOverForm(forms.Form):
    """Who takes somebody's open items."""

    to_person = OwnerField(
        label="New owner",
        error_messages={
            "required": "Choose who takes the items.",
            "invalid_choice": "The new owner must be an active person; choose somebody from the list.",
        },
    )
    actions = forms.ModelMultipleChoiceField(
        queryset=ActionItem.objects.none(),
        error_messages={
            "required": "Choose at least one item.",
            "invalid_choice": "One of these is closed by now.",
        },
    )

    def __init__(self, *args: Any, person: Person, items: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["to_person"].fill()
        self.fields["to_person"].queryset = self.fields["to_person"].queryset.exclude(pk=person.pk)
        self.fields["actions"].queryset = items


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """The incident's action items and what they cut."""
    incident = open_incident(request, number)
    items = list(selectors.actions_for(incident))
    context = {
        "items": items,
        "today": utc_now().date(),
        "open_count": sum(item.status in _UNFINISHED for item in items),
        "owners": len({item.owner_id for item in items}),
        "statuses": ActionItem.Status.choices,
        "uncut": uncut_paths(selectors.graph(incident)),
    }
    return render_stage(request, "actions/actions.html", incident, "actions", context)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, number: str) -> HttpResponse:
    """Add an action item; the address may bring values along."""
    incident = open_incident(request, number, Capability.ACT)
    if request.method == "POST":
        form = ActionForm(request.POST, incident=incident)
        if form.is_valid():
            try:
                item = services.add_action(incident=incident, by=request.user, **form.fields_to_store())
            except UserError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"A-{item.number} is {item.owner.name}'s, due {item.due_on:%-d %b %Y}.")
                return redirect("actions", incident.number)
    else:
        form = ActionForm(initial=_prefill(request, incident), incident=incident)
    return _form_page(request, incident, form, None)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, number: str, item_number: int) -> HttpResponse:
    """Change an action item; refuses to overwrite what somebody else saved."""
    incident = open_incident(request, number, Capability.ACT)
    item = get_object_or_404(incident.action_items.select_related("owner"), number=item_number)
    conflict: EditConflict | None = None
    if request.method == "POST":
        form = ActionForm(request.POST, incident=incident)
        if form.is_valid():
            revision = form.cleaned_data["revision"] or 0
            try:
                services.update_action(action=item, by=request.user, revision=revision, **form.fields_to_store())
                messages.success(request, f"A-{item.number} is saved.")
                return redirect("actions", incident.number)
            except EditConflict as error:
                conflict = error
                form.data = form.data.copy()
                form.data["revision"] = str(error.revision)
            except UserError as error:
                form.add_error(None, str(error))
    else:
        names = ("title", "layer", "kind", "owner", "due_on", "verification", "cuts_factor", "tracker_link", "revision")
        form = ActionForm(initial={name: getattr(item, name) for name in names}, incident=incident)
    return _form_page(request, incident, form, item, conflict)


@require_POST
def status(request: HttpRequest, number: str, item_number: int) -> HttpResponse:
    """Move an item on: open, done, verified, dropped."""
    incident = open_incident(request, number, Capability.ACT)
    item = get_object_or_404(incident.action_items.select_related("owner__team", "cuts_factor"), number=item_number)
    form = StatusForm(request.POST)
    refused = ""
    if form.is_valid():
        data = form.cleaned_data
        try:
            services.set_status(
                action=item, by=request.user, status=data["status"], note=data["note"], revision=data["revision"]
            )
        except UserError as error:
            refused = str(error)
    else:
        refused = " ".join(sentence for sentences in form.errors.values() for sentence in sentences)
    if not request.htmx:
        if refused:
            messages.error(request, f"A-{item.number}: {refused}")
        return redirect("actions", incident.number)
    item = incident.action_items.select_related("owner__team", "cuts_factor").get(pk=item.pk)
    context = {
        "item": item,
        "refused": refused,
        "typed_note": request.POST.get("note", "")[:4000] if refused else "",
        "typed_status": request.POST.get("status", "") if refused else "",
        "today": utc_now().date(),
        "statuses": ActionItem.Status.choices,
    }
    return render_stage(request, "actions/_row.html", incident, "actions", context)


@require_GET
def mine(request: HttpRequest) -> HttpResponse:
    """The signed-in person's items on incidents that they may see, overdue first."""
    visible = visible_incidents(request.user).order_by().values("pk")
    items = (
        ActionItem.objects.filter(owner=request.user, incident__in=visible)
        .select_related("incident", "cuts_factor")
        .order_by("due_on", "incident__number", "number")
    )
    unfinished = items.filter(status__in=_UNFINISHED)
    today = utc_now().date()
    shown = Paginator(unfinished, PAGE_SIZE).get_page(request.GET.get("page"))
    may_hand_over = may(request.user, Capability.MANAGE)
    context = {
        "items": shown,
        "overdue": unfinished.filter(due_on__lt=today).count(),
        "finished": items.exclude(status__in=_UNFINISHED).order_by("-due_on")[:20],
        "today": today,
        "may_hand_over": may_hand_over,
        "people": _loaded_people() if may_hand_over else [],
    }
    return render(request, "actions/mine.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def hand_over(request: HttpRequest, pk: int) -> HttpResponse:
    """Give somebody's open items to another person, so that an account can be switched off."""
    require(request.user, Capability.MANAGE)
    person = get_object_or_404(Person.objects.select_related("team"), pk=pk)
    visible = visible_incidents(request.user).order_by().values("pk")
    items = person.action_items.filter(status__in=_UNFINISHED, incident__in=visible).select_related("incident")
    form = HandOverForm(request.POST or None, person=person, items=items)
    if request.method == "POST" and form.is_valid():
        to_person = form.cleaned_data["to_person"]
        try:
            services.hand_over(
                from_person=person,
                to_person=to_person,
                by=request.user,
                actions=list(form.cleaned_data["actions"]),
            )
            messages.success(
                request, f"{len(form.cleaned_data['actions'])} of {person.name}'s items are {to_person.name}'s."
            )
            return redirect("hand-over", person.pk)
        except UserError as error:
            form.add_error(None, str(error))
    context = {
        "person": person,
        "items": items,
        "form": form,
        "chosen": request.POST.getlist("actions") if request.method == "POST" else None,
        "hidden_count": person.action_items.filter(status__in=_UNFINISHED).count() - items.count(),
        "may_deactivate": may(request.user, Capability.CONFIGURE),
        "today": utc_now().date(),
    }
    return render(request, "actions/hand_over.html", context, status=400 if form.errors else 200)


@require_POST
def deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    """Switch an account off; refused while the person owns open items."""
    require(request.user, Capability.CONFIGURE)
    person = get_object_or_404(Person, pk=pk)
    try:
        services.deactivate_person(person=person, by=request.user)
        messages.success(request, f"{person.name} can no longer sign in.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect("hand-over", person.pk)


def _form_page(
    request: HttpRequest,
    incident: Incident,
    form: ActionForm,
    item: ActionItem | None,
    conflict: EditConflict | None = None,
) -> HttpResponse:
    status_code = 409 if conflict else 400 if form.errors else 200
    context = {"form": form, "item": item, "conflict": conflict, "theirs": _differences(form, conflict)}
    return render_stage(request, "actions/form.html", incident, "actions", context, status=status_code)


def _prefill(request: HttpRequest, incident: Incident) -> dict[str, Any]:
    """Initial values: the due date that the severity asks for, then what the address brings along."""
    initial: dict[str, Any] = {"due_on": services.due_default(incident.severity, utc_now().date())}
    for name in ("title", "layer", "kind", "verification", "tracker_link"):
        if request.GET.get(name):
            initial[name] = request.GET[name][: ActionForm.base_fields[name].max_length if name == "title" else 1000]
    cut = request.GET.get("cuts", "")
    factor = incident.factors.filter(pk=int(cut)).first() if cut.isdecimal() and len(cut) < 19 else None
    if factor:
        initial["cuts_factor"] = factor.pk
        initial.setdefault("layer", factor.layer)
    return initial


def _differences(form: ActionForm, conflict: EditConflict | None) -> list[tuple[str, Any, Any]]:
    """Fields where the stored and the typed value differ: (label, stored, typed)."""
    if conflict is None:
        return []
    rows = []
    for name, stored in conflict.current.items():
        if name not in form.fields or name == "revision":
            continue
        typed = form.cleaned_data.get(name)
        if str(stored or "") not in (str(typed or ""), str(getattr(typed, "pk", "") or "")):
            rows.append((form.fields[name].label or name.replace("_", " ").capitalize(), stored, typed))
    return rows


def uncut_paths(graph: CausalGraph) -> list[tuple[str, int, str]]:
    """Paths that nothing cuts, in words, each with the factor that is best cut: (path, factor, its text)."""
    check = check_graph(graph)
    rows = []
    for way in check.uncut_paths:
        nodes = [graph.node(node) for node in way]
        best = next((node for node in nodes if node.id in check.cut_suggestion), nodes[0])
        rows.append((" → ".join(node.text for node in nodes), best.id, best.text))
    return rows


def _loaded_people() -> list[tuple[Person, int]]:
    people = list(active_people().select_related("team"))
    load = selectors.open_load(people)
    return [(person, load[person.pk]) for person in people if load.get(person.pk)]


urlpatterns = [
    path("incidents/<str:number>/actions/", page, name="actions"),
    path("incidents/<str:number>/actions/new/", new, name="action-new"),
    path("incidents/<str:number>/actions/<int:item_number>/", edit, name="action-edit"),
    path("incidents/<str:number>/actions/<int:item_number>/status/", status, name="action-status"),
    path("actions/mine/", mine, name="my-actions"),
    path("people/<int:pk>/hand-over/", hand_over, name="hand-over"),
    path("people/<int:pk>/deactivate/", deactivate, name="person-deactivate"),
]
