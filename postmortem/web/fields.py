"""Form fields that every page shares."""

from datetime import UTC, datetime
from typing import Any

from django import forms

from postmortem.lib.clock import parse_moment


class MomentWidget(forms.DateTimeInput):
    """The browser's own date and time picker, in UTC."""

    input_type = "datetime-local"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs=(attrs or {}) | {"step": "1"}, format="%Y-%m-%dT%H:%M:%S")


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
