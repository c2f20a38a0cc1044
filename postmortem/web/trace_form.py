"""The filter of the trace list: an address that anybody may have typed, made into a TraceFilter."""

from typing import Any

from django import forms
from django.http import QueryDict

from postmortem.traces.finding import ORDERS, TraceFilter
from postmortem.web.fields import MomentField

FACET_FILTERS = 10


class TraceFilterForm(forms.Form):
    """Every field may be missing; what cannot be read says so and narrows nothing."""

    q = forms.CharField(required=False, max_length=200, label="Search")
    score = forms.CharField(required=False, max_length=200, label="Score")
    lowest = forms.FloatField(required=False, label="from")
    highest = forms.FloatField(required=False, label="to")
    label = forms.ChoiceField(
        required=False,
        label="Label",
        choices=[("", "any"), ("fail", "failing"), ("fine", "fine"), ("none", "not labelled")],
    )
    start = MomentField(required=False, label="From (UTC)")
    end = MomentField(required=False, label="To (UTC)")
    errors_only = forms.BooleanField(required=False, label="Only errors")

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        self.facets = _facets(data)

    def order(self) -> str:
        """A known order, else oldest first."""
        order = self.data.get("order", "")
        return order if order in ORDERS else ""

    def wanted(self) -> TraceFilter:
        """What the valid fields ask for."""
        self.is_valid()
        given: dict[str, Any] = {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
        return TraceFilter(
            text=given.get("q", ""),
            facets=self.facets,
            score=given.get("score", ""),
            lowest=given.get("lowest"),
            highest=given.get("highest"),
            start=given.get("start"),
            end=given.get("end"),
            label=given.get("label", ""),
            errors=given.get("errors_only", False),
        )


def _facets(data: QueryDict) -> dict[str, str]:
    chosen = {key[2:]: value[:200] for key, value in data.items() if key.startswith("f.") and key[2:] and value}
    return dict(list(chosen.items())[:FACET_FILTERS])
