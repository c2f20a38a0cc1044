"""Checks of action items on fresh traces, items that look alike, many items at once, items from a file."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_GET, require_POST

from postmortem.actions import following, many
from postmortem.actions.regression import as_lines, regression_case
from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import UserError
from postmortem.web.action_forms import ManyForm
from postmortem.web.workspace import open_incident


@require_POST
def check(request: HttpRequest, number: str, item_number: int) -> HttpResponse:
    """Judge an item's plan on the traces that are there now."""
    incident = open_incident(request, number, Capability.ACT)
    item = get_object_or_404(incident.action_items.select_related("incident__feature"), number=item_number)
    try:
        found = following.check_action(action=item, by=request.user)
        messages.success(request, f"A-{item.number}: {found.get_outcome_display()}. {found.sentence}")
    except UserError as error:
        messages.error(request, str(error))
    return redirect(reverse("actions", args=[incident.number]) + f"#action-{item.number}")


@require_POST
def regression(request: HttpRequest, number: str, item_number: int) -> HttpResponse:
    """The regression case of a verified item, as Langfuse dataset items."""
    incident = open_incident(request, number, Capability.REVIEW)
    item = get_object_or_404(incident.action_items.select_related("incident__feature"), number=item_number)
    try:
        items = regression_case(action=item, by=request.user)
    except UserError as error:
        messages.error(request, f"A-{item.number}: {error}")
        return redirect(reverse("actions", args=[incident.number]) + f"#action-{item.number}")
    response = StreamingHttpResponse(as_lines(items), content_type="application/x-ndjson")
    response["Content-Disposition"] = f'attachment; filename="{incident.number}-A-{item.number}-regression.jsonl"'
    return response


@require_GET
def alike(request: HttpRequest, number: str) -> HttpResponse:
    """Open items of other incidents that promise what the typed title promises."""
    incident = open_incident(request, number)
    text = {name: request.GET.get(name, "")[:200] for name in ("title", "layer", "kind")}
    found = following.alike_elsewhere(incident=incident, person=request.user, **text)
    return render(request, "actions/_alike.html", {"alike": found})


@require_POST
def edit_many(request: HttpRequest, number: str) -> HttpResponse:
    """Give the chosen items an owner, a due date, or both."""
    incident = open_incident(request, number, Capability.ACT)
    form = ManyForm(request.POST)
    chosen: dict[int, int] = {}
    for one in request.POST.getlist("chosen")[: many.MOST_ROWS]:
        item, _, revision = one.partition(".")
        if item.isdecimal() and revision.isdecimal() and len(one) < 18:
            chosen[int(item)] = int(revision)
    if form.is_valid():
        fields = {name: value for name, value in form.cleaned_data.items() if value}
        try:
            changed = many.change_many(incident=incident, by=request.user, revisions=chosen, **fields)
            messages.success(request, f"{len(changed)} action item{'' if len(changed) == 1 else 's'} changed.")
        except UserError as error:
            messages.error(request, str(error))
    else:
        messages.error(request, "Choose an active person as owner and a date like 2026-04-10.")
    return redirect("actions", incident.number)


@require_POST
def bring_in(request: HttpRequest, number: str) -> HttpResponse:
    """Add items from a CSV file: all of them, or none."""
    incident = open_incident(request, number, Capability.ACT)
    upload = request.FILES.get("file")
    try:
        if upload is None or upload.size > many.MOST_BYTES:
            raise UserError("Choose a CSV file of up to a megabyte.")
        added = many.import_actions(incident=incident, by=request.user, data=upload.read())
        messages.success(request, f"{len(added)} action item{'' if len(added) == 1 else 's'} added.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect("actions", incident.number)


_ROOT = "incidents/<str:number>/actions/"
urlpatterns = [
    path(_ROOT + "alike/", alike, name="actions-alike"),
    path(_ROOT + "many/", edit_many, name="actions-many"),
    path(_ROOT + "import/", bring_in, name="actions-import"),
    path(_ROOT + "<int:item_number>/regression/", regression, name="action-regression"),
    path(_ROOT + "<int:item_number>/check/", check, name="action-check"),
]
