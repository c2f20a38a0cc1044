"""Administration of action items, through the same services as the pages."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from postmortem.accounts.selectors import active_people
from postmortem.actions import services
from postmortem.actions.models import ActionItem
from postmortem.lib.errors import UserError
from postmortem.review.models import ContributingFactor

_FIELDS = ("title", "layer", "kind", "owner", "due_on", "verification", "cuts_factor", "tracker_link")


class ActionItemForm(forms.ModelForm):
    """Every field of an item that a person sets; status and number are not typed here."""

    revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = ActionItem
        fields = ("incident", *_FIELDS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        item = self.instance
        # The foreign keys are read-only for those who may only look.
        if "owner" in self.fields:
            self.fields["owner"].queryset = active_people()
            self.fields["owner"].error_messages["invalid_choice"] = "The owner must be an active person."
        if item.pk:
            self.initial["revision"] = item.revision
            if "incident" in self.fields:
                self.fields["incident"].disabled = True
            if "cuts_factor" in self.fields:
                self.fields["cuts_factor"].queryset = ContributingFactor.objects.filter(incident=item.incident_id)

    def clean(self) -> dict[str, Any] | None:
        """The rules of the services, said beside what was typed."""
        data = super().clean() or self.cleaned_data
        if not self.errors:
            open_item = not self.instance.pk or services.is_open(self.instance)
            try:
                services.checked_fields(data["incident"], {name: data[name] for name in _FIELDS}, open_item=open_item)
            except UserError as error:
                raise forms.ValidationError(str(error)) from error
        return data


@admin.register(ActionItem)
class ActionItemAdmin(admin.ModelAdmin):
    """Items are added and changed, never deleted: one that will not be done is dropped, with the reason."""

    form = ActionItemForm
    list_display = ("incident", "number", "title", "owner", "due_on", "status")
    list_filter = ("status", "layer", "kind")
    list_select_related = ("incident", "owner")
    search_fields = ("title", "incident__number", "owner__name")
    fields = ("incident", *_FIELDS, "status", "status_note", "revision")
    readonly_fields: ClassVar = ("status", "status_note")
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: ActionItem | None = None) -> bool:
        """Nobody: the history of what was promised stays."""
        return False

    def save_model(self, request: HttpRequest, obj: ActionItem, form: Any, change: bool) -> None:
        """Add or change through the services, with their rules, history and conflicts."""
        fields = {name: form.cleaned_data[name] for name in _FIELDS}
        if change:
            revision = form.cleaned_data.get("revision") or 0
            stored = services.update_action(action=obj, by=request.user, revision=revision, **fields)
        else:
            stored = services.add_action(incident=form.cleaned_data["incident"], by=request.user, **fields)
        obj.__dict__.update(stored.__dict__)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show a refusal as a sentence."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except (UserError, PermissionDenied) as error:
            sentence = str(error) or "You may not change action items."
        except IntegrityError as error:
            sentence = services.explain(error)
        self.message_user(request, sentence, messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())
