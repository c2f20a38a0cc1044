"""The form for a change typed by hand: every field of the open format, one sentence per mistake."""

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.crypto import get_random_string

from postmortem.changes.models import Change
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import LAYER_CHOICES, Layer
from postmortem.web.fields import MomentField

_MAX_SCOPE = 40
_SLUG = re.compile(r"[^a-z0-9]+")


class ChangeForm(forms.Form):
    """One entry of a change log."""

    layer = forms.ChoiceField(
        choices=[("", "choose"), *LAYER_CHOICES], error_messages={"required": "Choose the layer that changed."}
    )
    summary = forms.CharField(
        max_length=300,
        label="What changed",
        help_text="One line, e.g. Refund examples v42 → v43.",
        error_messages={"required": "Say in one line what changed."},
    )
    at = MomentField(
        label="Began (UTC)", error_messages={"required": "Say when the rollout began; a guess is better than nothing."}
    )
    until = MomentField(
        required=False, label="Complete (UTC)", help_text="Empty: at once. The log's word; it may be hours off."
    )
    rollout = forms.ChoiceField(choices=Change.Rollout.choices, initial=Change.Rollout.INSTANT)
    canary_share = forms.FloatField(
        required=False,
        min_value=0,
        max_value=100,
        label="Canary share, percent",
        help_text="Only for a canary: its share of traffic until it was complete.",
        error_messages={
            "invalid": "The canary share is a number of percent, e.g. 10.",
            "min_value": "The canary share is at least 0 percent.",
            "max_value": "The canary share is at most 100 percent.",
        },
    )
    stage_facet = forms.CharField(
        required=False, max_length=80, label="Staged by", help_text="Only for a staged rollout, e.g. region."
    )
    stage_order = forms.CharField(
        required=False, max_length=2000, label="Order of stages", help_text="Values, commas between: eu-west, us-east."
    )
    facet = forms.CharField(
        required=False,
        max_length=80,
        label="Version facet",
        help_text="Where each trace records this version, e.g. prompt_version. Empty: traces do not record it.",
    )
    from_version = forms.CharField(required=False, max_length=200)
    to_version = forms.CharField(required=False, max_length=200)
    scope = forms.CharField(
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="Facet values that it touched, one facet a line: region = eu-west, us-east. Empty: everything.",
    )
    actor = forms.CharField(required=False, max_length=200, label="Who made it", help_text="A team or a system.")
    link = forms.CharField(
        required=False, max_length=1000, help_text="To the pull request, release or ticket; http or https."
    )
    external_id = forms.CharField(
        required=False, max_length=200, label="Id in its log", help_text="Empty: one is made up."
    )
    is_rollback = forms.BooleanField(required=False, label="It took an earlier change back")

    def clean_scope(self) -> dict[str, tuple[str, ...]]:
        """Lines "facet = value, value" as a mapping."""
        found: dict[str, tuple[str, ...]] = {}
        for line in self.cleaned_data["scope"].splitlines():
            if not line.strip():
                continue
            facet, sign, values = line.partition("=")
            named = tuple(value.strip() for value in values.split(",") if value.strip())
            if not sign or not facet.strip() or not named:
                raise forms.ValidationError(
                    f"“{line.strip()[:60]}” is not a scope; write a facet, an equals sign and its values."
                )
            found[facet.strip()] = named
        if len(found) > _MAX_SCOPE:
            raise forms.ValidationError(f"A scope names at most {_MAX_SCOPE} facets.")
        return found

    def clean_link(self) -> str:
        """Only addresses that a browser may open."""
        link = self.cleaned_data["link"].strip()
        if link and not link.lower().startswith(("https://", "http://")):
            raise forms.ValidationError("The link must begin with https:// or http://.")
        return link

    def clean(self) -> dict[str, Any]:
        """What belongs together: until not before at, a canary has its share, stages their facet and order."""
        data = super().clean()
        at, until = data.get("at"), data.get("until")
        if at and until and until < at:
            self.add_error("until", "It cannot be complete before it began.")
        rollout = data.get("rollout")
        if rollout == Change.Rollout.CANARY and data.get("canary_share") is None and "canary_share" not in self.errors:
            self.add_error("canary_share", "Give the canary's share of traffic in percent.")
        if rollout == Change.Rollout.STAGED:
            if not data.get("stage_facet"):
                self.add_error("stage_facet", "Name the facet by which the rollout was staged.")
            if not data.get("stage_order"):
                self.add_error("stage_order", "List the stages in their order, commas between.")
        if data.get("facet") and not data.get("to_version"):
            self.add_error("to_version", "Give the version that the facet moved to.")
        return data

    def record(self) -> ChangeRecord:
        """The valid form as a record."""
        data = self.cleaned_data
        rollout = data["rollout"]
        return ChangeRecord(
            id=data["external_id"] or _made_up_id(data["layer"], data["summary"]),
            layer=Layer(data["layer"]),
            at=data["at"],
            until=data["until"] or data["at"],
            rollout=rollout,
            scope=data["scope"],
            facet=data["facet"] or None,
            to_version=data["to_version"] or None,
            from_version=data["from_version"] or None,
            canary_share=data["canary_share"] / 100 if rollout == Change.Rollout.CANARY else None,
            stage_facet=data["stage_facet"] if rollout == Change.Rollout.STAGED else None,
            stage_order=tuple(part.strip() for part in data["stage_order"].split(",") if part.strip())
            if rollout == Change.Rollout.STAGED
            else (),
            summary=data["summary"],
            actor=data["actor"],
            link=data["link"],
            is_rollback=data["is_rollback"],
        )


def prefill(query: Mapping[str, str]) -> dict[str, str]:
    """Initial values from an address, only those of fields, bounded; moments as RFC 3339."""
    initial = {name: query[name][:300] for name in ChangeForm.base_fields if query.get(name)}
    for name in ("at", "until"):
        if name in initial:
            # The picker takes no zone; the address carries UTC.
            initial[name] = initial[name].removesuffix("Z").removesuffix("+00:00")[:19]
    return initial


def _made_up_id(layer: str, summary: str) -> str:
    slug = _SLUG.sub("-", summary.lower()).strip("-")[:40].strip("-")
    return f"{layer}-{slug}-{get_random_string(4, 'abcdefghjkmnpqrstuvwxyz23456789')}"
