"""The form for one piece of evidence, wherever a page offers it."""

from typing import Any

from django import forms

from postmortem.incidents.models import Incident
from postmortem.lib.layers import LAYER_CHOICES
from postmortem.review.models import Evidence
from postmortem.web.fields import ChangeField


class EvidenceForm(forms.Form):
    """Layer, direction and words, tied to a trace, a change, or a link."""

    layer = forms.ChoiceField(
        choices=[("", "choose"), *LAYER_CHOICES], error_messages={"required": "Choose the layer that it tells about."}
    )
    direction = forms.ChoiceField(
        choices=Evidence.Direction.choices,
        label="It speaks",
        help_text="For or against a cause in this layer.",
        error_messages={"required": "Say whether it speaks for or against a cause in this layer."},
    )
    text = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}),
        max_length=2000,
        label="What it shows",
        error_messages={"required": "Say in a sentence what it shows."},
    )
    question_id = forms.CharField(required=False, max_length=60, widget=forms.HiddenInput)


class LayerEvidenceForm(EvidenceForm):
    """Evidence for a layer under review: with the trace or the change that it rests on."""

    trace = forms.CharField(
        required=False,
        max_length=800,
        label="Trace",
        help_text="The id of an imported trace.",
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
    )
    change = ChangeField(required=False, empty_label="none")
    link = forms.CharField(required=False, max_length=1000, help_text="To anything else that shows it; http or https.")

    def __init__(self, *args: Any, incident: Incident, layer: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.incident = incident
        self.fields["layer"].widget = forms.HiddenInput()
        self.fields["layer"].initial = layer
        # Changes of the layer under review first; any other may be cited too.
        self.fields["change"].offer(incident.feature.changes.all())

    def clean_trace(self) -> Any:
        """The trace with that id, in this incident."""
        wanted = self.cleaned_data["trace"].strip()
        if not wanted:
            return None
        trace = self.incident.traces.filter(external_id=wanted).first()
        if trace is None:
            raise forms.ValidationError(
                f"No trace of this incident has the id {wanted[:60]}; copy it from the list of traces."
            )
        return trace
