"""The form for a window with filters, read through one connection."""

from typing import Any

from django import forms
from django.conf import settings

from postmortem.incidents.models import Incident
from postmortem.traces.models import Connection
from postmortem.traces.sources import SCORE_OPERATORS
from postmortem.web.fields import MomentField

_TEXTS = ("name", "environment", "version", "release", "user", "session")


def _text(label: str, help_text: str = "", limit: int = 200) -> forms.CharField:
    attrs = {"autocomplete": "off", "spellcheck": "false"}
    return forms.CharField(
        required=False, max_length=limit, label=label, help_text=help_text, widget=forms.TextInput(attrs=attrs)
    )


class FilteredWindowForm(forms.Form):
    """Which traces, through which connection, from when to when."""

    connection = forms.ModelChoiceField(
        queryset=Connection.objects.all(),
        empty_label=None,
        error_messages={
            "required": "Choose the connection to read through.",
            "invalid_choice": "This connection is gone; choose another one.",
        },
    )
    name = _text("Trace name")
    environment = _text("Environment")
    version = _text("Version")
    release = _text("Release")
    tags = _text("Tags", "All of them, separated by commas.", 1000)
    user = _text("User id", limit=400)
    session = _text("Session id", limit=400)
    score_name = _text("Score")
    score_operator = forms.ChoiceField(
        choices=[(one, one) for one in SCORE_OPERATORS], required=False, label="Compares", initial="<"
    )
    score_value = forms.FloatField(
        required=False, label="With", error_messages={"invalid": "Give the score's bound as a number."}
    )
    start = MomentField(required=False, label="From (UTC)", help_text="Empty: from the beginning of the baseline.")
    end = MomentField(required=False, label="To (UTC)", help_text="Empty: to the end of the incident window.")
    cap = forms.IntegerField(
        required=False,
        min_value=1,
        label="Traces at most",
        error_messages={"min_value": "Give at least 1.", "invalid": "Give the number of traces as digits."},
    )

    def __init__(self, *args: Any, incident: Incident, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].initial = incident.trace_name
        self.fields["environment"].initial = incident.environment
        self.fields["cap"].help_text = f"Spread over the window. Empty: {settings.IMPORT_WINDOW_MAX_TRACES:,}."
        mine = Connection.objects.filter(feature=incident.feature_id).first()
        self.fields["connection"].initial = mine.pk if mine else None

    def asked(self) -> dict[str, Any]:
        """The arguments of pipeline.services.start_window_import."""
        data = self.cleaned_data
        filters: dict[str, Any] = {name: data[name].strip() for name in _TEXTS if data[name].strip()}
        tags = [tag.strip() for tag in data["tags"].split(",") if tag.strip()]
        if tags:
            filters["tags"] = tags
        if data["score_name"].strip() or data["score_value"] is not None:
            filters["score"] = {
                "name": data["score_name"],
                "operator": data["score_operator"],
                "value": data["score_value"],
            }
        return {name: data[name] for name in ("connection", "start", "end", "cap")} | {"filters": filters}
