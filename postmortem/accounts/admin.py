"""Administration of people, teams and the audit log."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db import IntegrityError
from django.db.models import ProtectedError, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from postmortem.accounts import audit
from postmortem.accounts.models import AuditEntry, Person, Team
from postmortem.accounts.services import align_staff, merge_teams

# Roles say who may what; Django's groups would be a second, silent answer.
admin.site.unregister(Group)
admin.site.site_header = admin.site.site_title = "Postmortem administration"

_STILL_NEEDED = (
    "Nothing was saved: this person owns open action items or is named in the record."
    " Hand the open items over on the Actions page first; people who are named are deactivated, not deleted."
)


class _LowerCaseEmail(forms.ModelForm):
    def clean_email(self) -> str:
        """E-mail is the sign-in name and is kept in lower case."""
        return str(self.cleaned_data["email"]).strip().lower()


class PersonCreationForm(_LowerCaseEmail, AdminUserCreationForm):
    """A new account: e-mail, name, role and a first password."""

    class Meta:
        model = Person
        fields = ("email", "name", "team", "role")


class PersonChangeForm(_LowerCaseEmail, UserChangeForm):
    """An account; the password has its own page."""

    class Meta:
        model = Person
        fields = ("email", "name", "team", "role", "time_zone", "is_active", "password")


@admin.register(Person)
class PersonAdmin(UserAdmin):
    """People. Who owns open items cannot be deactivated or deleted: the database refuses it."""

    form = PersonChangeForm
    add_form = PersonCreationForm
    fieldsets = ((None, {"fields": ("email", "name", "team", "role", "time_zone", "is_active", "password")}),)
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("email", "name", "team", "role", "usable_password", "password1", "password2"),
            },
        ),
    )
    list_display = ("name", "email", "team", "role", "is_active")
    list_filter = ("role", "is_active", "team")
    list_select_related = ("team",)
    search_fields = ("name", "email")
    ordering = ("name",)
    filter_horizontal = ()

    def save_model(self, request: HttpRequest, obj: Person, form: Any, change: bool) -> None:
        """Save, keep access to these pages in step with the role, and write the audit entry."""
        align_staff(obj)
        super().save_model(request, obj, form, change)
        changed = [name for name in form.changed_data if name in PersonChangeForm.Meta.fields and name != "password"]
        audit.record(
            person=request.user if isinstance(request.user, Person) else None,
            action="person.update" if change else "person.create",
            subject=obj.email,
            before={name: str(form.initial.get(name)) for name in changed} if change else {},
            after={name: str(getattr(obj, name)) for name in changed},
        )

    def delete_model(self, request: HttpRequest, obj: Person) -> None:
        """Delete and write the audit entry."""
        email = obj.email
        super().delete_model(request, obj)
        audit.record(person=request.user, action="person.delete", subject=email)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the database's refusal as a sentence."""
        return self._one_sentence(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the database's refusal as a sentence."""
        return self._one_sentence(request, super().delete_view, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the database's refusal as a sentence."""
        return self._one_sentence(request, super().changelist_view, *args, **kwargs)

    def _one_sentence(self, request: HttpRequest, view: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (IntegrityError, ProtectedError):
            self.message_user(request, _STILL_NEEDED, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin):
    """Teams own features and people. Two that became one are merged: choose both, the older one stays."""

    search_fields = ("name",)
    actions = ("merge",)

    @admin.action(description="Merge into the one that is older")
    def merge(self, request: HttpRequest, queryset: QuerySet[Team]) -> None:
        """People and features move to the team that was there first; owners of action items stay owners."""
        first, *others = queryset.order_by("pk")
        if not others:
            self.message_user(request, "Choose at least two teams.", messages.ERROR)
            return
        for team in others:
            merge_teams(team=team, into=first, by=request.user if isinstance(request.user, Person) else None)
        self.message_user(request, f"{len(others) + 1} teams are {first.name} now.")


@admin.register(AuditEntry)
class AuditEntryAdmin(admin.ModelAdmin):
    """Read only, here as in the database."""

    list_display = ("at", "person", "action", "subject", "incident_number")
    list_filter = ("action",)
    list_select_related = ("person",)
    search_fields = ("subject", "incident_number")
    date_hierarchy = "at"
    fields: ClassVar = ("at", "person", "incident_number", "action", "subject", "before", "after")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only services add entries."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        """Nobody changes an entry."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        """Nobody deletes an entry."""
        return False
