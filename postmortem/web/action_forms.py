"""Forms of action items: one item, its status, a hand-over, many at once, a file."""

from typing import Any

from django import forms

from postmortem.accounts.models import Person
from postmortem.accounts.selectors import active_people
from postmortem.actions import selectors
from postmortem.actions.models import ActionItem
from postmortem.actions.verification import COMPARISONS, Plan, checked_plan
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.lib.layers import LAYER_CHOICES
from postmortem.review.models import ContributingFactor
from postmortem.traces.selectors import signals


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
        widget=forms.TextInput(attrs={"autofocus": True}),
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
        help_text="In words: grounded answers back above 92% for 7 days. Left empty, the signal below says it.",
        max_length=4000,
        required=False,
    )
    signal = forms.CharField(
        required=False, max_length=120, label="Signal", widget=forms.TextInput(attrs={"list": "signals"}),
        help_text="With a threshold and a window, the workbench checks it itself.",
    )  # fmt: skip
    comparison = forms.ChoiceField(required=False, choices=COMPARISONS, label="Must be")
    threshold = forms.FloatField(required=False, label="Threshold", help_text="Rates from 0 to 1.")
    days = forms.IntegerField(required=False, min_value=1, max_value=90, label="For how many days")
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
        # One way or the other: none of them is optional by itself.
        for name in ("verification", "signal", "comparison", "threshold", "days"):
            self.fields[name].needed_together = True
        self.signal_names = [choice.name for choice in signals(incident)]
        self.plan: Plan | None = None

    def clean(self) -> dict[str, Any]:
        """The words of the verification, written from signal, threshold and window where there are none."""
        data = super().clean()
        # Signal and window come filled in; without a threshold there is nothing to check.
        threshold, days = data.get("threshold"), data.get("days")
        if threshold is not None and "days" not in self.errors:
            comparison = data.get("comparison") or "at_least"
            try:
                self.plan = checked_plan(data.get("signal") or "", comparison, threshold, days)
            except UserError as error:
                self.add_error("signal", str(error))
        if not str(data.get("verification") or "").strip():
            if self.plan is not None:
                data["verification"] = self.plan.sentence()
            elif "signal" not in self.errors:
                self.add_error("verification", "Say how everybody will see that it worked.")
        return data

    def clean_tracker_link(self) -> str:
        """Only addresses that a browser may open."""
        link = self.cleaned_data["tracker_link"].strip()
        if link and not link.lower().startswith(("https://", "http://")):
            raise forms.ValidationError("The tracker link must begin with https:// or http://.")
        return link

    def fields_to_store(self) -> dict[str, Any]:
        """The fields of the item; the plan stands in `plan`."""
        own = ("revision", "signal", "comparison", "threshold", "days")
        return {name: value for name, value in self.cleaned_data.items() if name not in own}


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


class ManyForm(forms.Form):
    """What several items get: an owner, a due date, or both."""

    owner = OwnerField(required=False)
    due_on = forms.DateField(
        required=False, label="Due", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].fill()
        self.fields["owner"].empty_label = "as it is"
