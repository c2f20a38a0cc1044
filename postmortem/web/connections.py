"""Connections: the projects of trace servers that an administrator allowed."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from postmortem.incidents.models import Feature
from postmortem.incidents.permissions import Capability, may, require
from postmortem.lib.errors import UserError
from postmortem.traces import services
from postmortem.traces.models import Connection


class ConnectionForm(forms.Form):
    """Server, address and keys of one project. The secret key is written, never read back."""

    kind = forms.ChoiceField(
        label="Server",
        choices=Connection.Kind.choices,
        initial=Connection.Kind.LANGFUSE,
        error_messages={"required": "Choose what kind of server it is."},
    )

    name = forms.CharField(
        max_length=120,
        help_text="What people call this project here.",
        error_messages={"required": "Give the connection a name."},
    )
    base_url = forms.CharField(
        label="Address",
        max_length=400,
        help_text="Everything before /project/, /projects/ or /#/ in a trace link, e.g. https://cloud.langfuse.com.",
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Give the address of the server."},
    )
    project = forms.CharField(
        required=False,
        max_length=200,
        label="Project or experiment",
        help_text="Phoenix and MLflow: its name or id. Langfuse: leave it empty, the keys tell.",
        error_messages={"required": "Name the project or experiment that may be read."},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    public_key = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "pk-lf-…"}),
        label="Public key or user name",
        help_text="Langfuse: in the project's settings, API keys. Phoenix and MLflow: a user name, if yours wants one.",
        error_messages={"required": "Give the project's public key."},
    )
    secret_key = forms.CharField(
        required=False,
        max_length=400,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "placeholder": "sk-lf-…"}),
        label="Secret key, password or token",
        help_text="Stored encrypted; nobody can read it here again.",
        error_messages={"required": "Give the project's secret key."},
    )
    feature = forms.ModelChoiceField(
        queryset=Feature.objects.all(),
        required=False,
        empty_label="any",
        label="AI feature",
        help_text="The feature whose traces this project holds, if it is one.",
    )

    def __init__(self, *args: Any, stored: Connection | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = stored.kind if stored else self.data.get("kind", Connection.Kind.LANGFUSE)
        # Langfuse cannot be read without its two keys, the others not without the name of a project.
        langfuse = kind == Connection.Kind.LANGFUSE
        self.fields["project"].required = not langfuse
        self.fields["public_key"].required = langfuse
        self.fields["secret_key"].required = langfuse and not stored
        if stored:
            del self.fields["kind"]
            self.fields["secret_key"].help_text = "Leave empty to keep the stored one."


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Every connection: whose project, which API, when added. Keys are not shown."""
    connections = Connection.objects.select_related("feature")
    context = {"connections": connections, "may_configure": may(request.user, Capability.CONFIGURE)}
    return render(request, "traces/connections.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Add a connection and ask its server at once."""
    require(request.user, Capability.CONFIGURE)
    form = ConnectionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            connection = services.create_connection(by=request.user, **form.cleaned_data)
        except UserError as error:
            form.add_error(None, str(error))
        else:
            _check(request, connection)
            return redirect("connections")
    status = 400 if form.errors else 200
    return render(request, "traces/connection_form.html", {"form": form, "connection": None}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a connection; an empty secret keeps the stored one."""
    require(request.user, Capability.CONFIGURE)
    connection = get_object_or_404(Connection, pk=pk)
    stored = {
        "name": connection.name,
        "base_url": connection.base_url,
        "project": connection.project,
        "public_key": connection.public_key,
        "feature": connection.feature_id,
    }
    form = ConnectionForm(request.POST or None, initial=stored, stored=connection)
    if request.method == "POST" and form.is_valid():
        try:
            services.update_connection(connection=connection, by=request.user, **form.cleaned_data)
        except UserError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{connection.name} is saved. Check it before the next import.")
            return redirect("connections")
    status = 400 if form.errors else 200
    return render(request, "traces/connection_form.html", {"form": form, "connection": connection}, status=status)


@require_POST
def check(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the server whose project the keys open and which API it speaks."""
    require(request.user, Capability.CONFIGURE)
    connection = get_object_or_404(Connection.objects.select_related("feature"), pk=pk)
    if not request.htmx:
        _check(request, connection)
        return redirect("connections")
    said, failed = "", ""
    try:
        services.check_connection(connection=connection, by=request.user)
        said = "The server answered."
    except UserError as error:
        failed = str(error)
    connection.refresh_from_db()
    context = {"connection": connection, "said": said, "failed": failed, "may_configure": True}
    return render(request, "traces/_connection.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask once, then delete. Evidence that came through it stays."""
    require(request.user, Capability.CONFIGURE)
    connection = get_object_or_404(Connection, pk=pk)
    if request.method == "POST":
        try:
            services.delete_connection(connection=connection, by=request.user)
            messages.success(request, f"{connection.name} is deleted. What was imported through it stays.")
        except UserError as error:
            messages.error(request, str(error))
        return redirect("connections")
    return render(request, "traces/connection_delete.html", {"connection": connection})


def _check(request: HttpRequest, connection: Connection) -> None:
    try:
        services.check_connection(connection=connection, by=request.user)
        connection.refresh_from_db()
        project = connection.project_name or connection.project_id
        messages.success(request, f"{connection.name} answers: project {project}, API {connection.get_api_display()}.")
    except UserError as error:
        messages.error(request, f"{connection.name} is stored, but the check failed: {error}")


urlpatterns = [
    path("connections/", page, name="connections"),
    path("connections/new/", new, name="connection-new"),
    path("connections/<int:pk>/", edit, name="connection-edit"),
    path("connections/<int:pk>/check/", check, name="connection-check"),
    path("connections/<int:pk>/delete/", delete, name="connection-delete"),
]
