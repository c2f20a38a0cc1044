"""Forms of the causal graph: contributing factors, what led to what, accepted risks."""

from typing import Any

from django import forms

from postmortem.incidents.models import Incident
from postmortem.lib.layers import LAYER_CHOICES
from postmortem.review.models import ContributingFactor
from postmortem.web.fields import ChangeField


def factor_name(factor: ContributingFactor) -> str:
    """How a factor is called in a list to choose from."""
    return f"{factor.get_kind_display()}: {factor.text}"


class FactorForm(forms.Form):
    """Words, kind, layer and change of a factor; only the impact has no layer."""

    text = forms.CharField(
        max_length=300,
        label="What contributed",
        help_text="A condition or an event, never a person.",
        error_messages={"required": "Say in a line what contributed."},
    )
    kind = forms.ChoiceField(choices=ContributingFactor.Kind.choices, initial=ContributingFactor.Kind.TRIGGER)
    layer = forms.ChoiceField(
        choices=[("", "choose"), *LAYER_CHOICES], required=False, help_text="The impact has none."
    )
    change = ChangeField(required=False, empty_label="none")
    revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, incident: Incident, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["change"].offer(incident.feature.changes.all())

    def clean(self) -> dict[str, Any]:
        """A layer for everything but the impact."""
        data = super().clean()
        if data.get("kind") == ContributingFactor.Kind.IMPACT:
            data["layer"] = ""
        elif not data.get("layer") and "layer" not in self.errors:
            self.add_error("layer", "Choose the layer in which it lies.")
        return data


class NewFactorForm(FactorForm):
    """A new factor, connected at once to what it led to."""

    leads_to = forms.ModelChoiceField(
        queryset=ContributingFactor.objects.none(), required=False, empty_label="the impact", label="It led to"
    )

    def __init__(self, *args: Any, incident: Incident, **kwargs: Any) -> None:
        super().__init__(*args, incident=incident, **kwargs)
        self.fields["leads_to"].queryset = incident.factors.exclude(kind=ContributingFactor.Kind.IMPACT)
        self.fields["leads_to"].label_from_instance = factor_name


class ConnectForm(forms.Form):
    """An arrow from one factor to what it led to."""

    effect = forms.ModelChoiceField(
        queryset=ContributingFactor.objects.none(),
        empty_label="choose",
        label="It led to",
        error_messages={"required": "Choose what it led to.", "invalid_choice": "This factor is gone; choose another."},
    )
    claim = forms.CharField(required=False, max_length=300, label="How it is known")

    def __init__(self, *args: Any, factor: ContributingFactor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["effect"].queryset = factor.incident.factors.exclude(pk=factor.pk)
        self.fields["effect"].label_from_instance = factor_name


class RiskForm(forms.Form):
    """Why a factor may stay as it is."""

    reason = forms.CharField(
        max_length=2000,
        label="Why the risk is acceptable",
        help_text="Your name stands beside it in the report.",
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": "Say why the risk is acceptable."},
    )
