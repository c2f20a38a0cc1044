"""Form fields that every page shares."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from postmortem.changes.models import Change
from postmortem.lib.clock import parse_moment
from postmortem.lib.layers import LAYER_CHOICES


class MomentWidget(forms.DateTimeInput):
    """The browser's own date and time picker, in UTC."""

    input_type = "datetime-local"
    # With `max` browsers take years of four digits and go on to the hours by themselves.

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs=(attrs or {}) | {"step": "1", "max": "9999-12-31T23:59:59"}, format="%Y-%m-%dT%H:%M:%S")


class MomentField(forms.Field):
    """A moment in UTC: the picker's value, or RFC 3339 pasted where there is no picker."""

    widget = MomentWidget

    def prepare_value(self, value: Any) -> Any:
        """Show a stored moment in UTC, typed text as it was."""
        return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) and value.tzinfo else value

    def to_python(self, value: Any) -> datetime | None:
        """Parse into UTC; one sentence for anything else."""
        if value in self.empty_values:
            return None
        try:
            return parse_moment(str(value))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


class ChangeSelect(forms.Select):
    """A select of a thousand changes: Django's own makes an object and a template of each."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.changes: list[tuple[str, str]] = []  # key, label

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        """The same markup as Django's own."""
        chosen = "" if value is None else str(value)
        rows = ((key, " selected" if key == chosen else "", label) for key, label in self.changes)
        options = format_html_join("\n", '<option value="{}"{}>{}</option>', rows)
        return format_html(
            '<select name="{}"{}>{}</select>', name, flatatt(self.build_attrs(self.attrs, attrs)), options
        )


class ChangeField(forms.ModelChoiceField):
    """One change of a log, told by its layer and summary. The form gives the log by `offer`."""

    widget = ChangeSelect

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(queryset=Change.objects.none(), **kwargs)

    def offer(self, changes: QuerySet[Change]) -> None:
        """The changes to choose from."""
        self.queryset = changes.select_related(None)
        layers = dict(LAYER_CHOICES)
        rows = self.queryset.values_list("pk", "layer", "summary")
        told = [(str(pk), f"{layers[layer]}: {summary}") for pk, layer, summary in rows]
        empty = [] if self.empty_label is None else [("", str(self.empty_label))]
        self.widget.changes = empty + told
