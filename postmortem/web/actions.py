"""Action items: who does what by when, and how everybody will see that it worked."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from postmortem.accounts.models import Person
from postmortem.accounts.selectors import active_people
from postmortem.actions import following, selectors, services
from postmortem.actions.models import ActionItem, VerificationPlan
from postmortem.actions.reminding import escalated_to, latest_reminders
from postmortem.actions.starting import action_start
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, may, require, visible_incidents
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import EditConflict, UserError
from postmortem.review.causal_graph import CausalGraph, Node, check_graph
from postmortem.web.action_forms import ActionForm, HandOverForm, ManyForm, StatusForm
from postmortem.web.workspace import open_incident, render_stage

PAGE_SIZE = 60
_UNFINISHED = (ActionItem.Status.OPEN, ActionItem.Status.DONE)


@require_GET
def page(request: HttpRequest, number: str) -> HttpResponse:
    """The incident's action items and what they cut."""
    incident = open_incident(request, number)
    items = list(selectors.actions_for(incident))
    context = {
        "items": items,
        "plans": {item.pk: item.plan for item in items if hasattr(item, "plan")},
        "checks": following.latest_checks(incident),
        "reminders": latest_reminders(incident),
        "many_form": ManyForm(),
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
                with transaction.atomic():
                    item = services.add_action(incident=incident, by=request.user, **form.fields_to_store())
                    if form.plan is not None:
                        following.plan_verification(action=item, by=request.user, plan=form.plan)
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
                with transaction.atomic():
                    services.update_action(action=item, by=request.user, revision=revision, **form.fields_to_store())
                    following.plan_verification(action=item, by=request.user, plan=form.plan)
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
        initial = {name: getattr(item, name) for name in names}
        plan = VerificationPlan.objects.filter(action=item).first()
        if plan is not None:
            initial |= {name: getattr(plan, name) for name in ("signal", "comparison", "threshold", "days")}
        form = ActionForm(initial=initial, incident=incident)
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
    item = selectors.actions_for(incident).get(pk=item.pk)
    context = {
        "item": item,
        "refused": refused,
        "typed_note": request.POST.get("note", "")[:4000] if refused else "",
        "typed_status": request.POST.get("status", "") if refused else "",
        "plans": {item.pk: item.plan for item in [item] if hasattr(item, "plan")},
        "checks": following.latest_checks(incident),
        "reminders": latest_reminders(incident),
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
        "escalated": escalated_to(request.user)[:PAGE_SIZE],
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
    title = str(form["title"].value() or "")
    context = {
        "form": form,
        "item": item,
        "conflict": conflict,
        "theirs": _differences(form, conflict),
        "alike": following.alike_elsewhere(incident=incident, person=request.user, title=title),
    }
    return render_stage(request, "actions/form.html", incident, "actions", context, status=status_code)


def _prefill(request: HttpRequest, incident: Incident) -> dict[str, Any]:
    """Initial values: the due date that the severity asks for, what the item is made from, what the address says."""
    made_from = action_start(
        incident,
        cuts=request.GET.get("cuts", ""),
        edge=request.GET.get("edge", ""),
        facet=request.GET.get("facet", "")[:60],
        verdict=request.GET.get("verdict", "")[:20],
        layer=request.GET.get("layer", "")[:20],
    )
    initial: dict[str, Any] = {"due_on": services.due_default(incident.severity, utc_now().date())} | made_from
    for name in ("title", "layer", "kind", "verification", "tracker_link"):
        if request.GET.get(name):
            initial[name] = request.GET[name][: ActionForm.base_fields[name].max_length if name == "title" else 1000]
    with suppress(ValueError):
        initial["due_on"] = date.fromisoformat(request.GET.get("due_on", ""))
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


@dataclass(frozen=True, slots=True)
class Uncut:
    """Paths that nothing cuts, in words, each with the factor that is best cut: (path, factor, its text).

    `cuts` are the fewest factors that would cut them all; `more` says that not all paths are listed.
    """

    paths: list[tuple[str, int, str]]
    cuts: list[Node]
    more: bool


def uncut_paths(graph: CausalGraph) -> Uncut:
    """What still runs from a cause to the impact past every action and accepted risk."""
    check = check_graph(graph)
    rows = []
    for way in check.uncut_paths:
        nodes = [graph.node(node) for node in way]
        best = next((node for node in nodes if node.id in check.cut_suggestion), nodes[0])
        rows.append((" → ".join(node.text for node in nodes), best.id, best.text))
    return Uncut(rows, [graph.node(node) for node in check.cut_suggestion], check.more_uncut_paths)


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
