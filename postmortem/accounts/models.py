"""People, their teams, what they may do by default, and the audit log."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.utils import timezone


class Team(models.Model):
    """A team that owns AI features and action items."""

    name = models.CharField(max_length=120, unique=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """What a person may do on every incident they can see. Incidents can raise it, see Participant."""

    VIEWER = "viewer", "Viewer"
    REVIEWER = "reviewer", "Reviewer"
    FACILITATOR = "facilitator", "Facilitator"
    ADMINISTRATOR = "administrator", "Administrator"


class PersonManager(BaseUserManager["Person"]):
    """Makes people; e-mail is the name they sign in with."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "Person":
        person = self.model(email=self.normalize_email(email).lower(), **fields)
        person.set_password(password)
        person.save(using=self._db)
        return person

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "Person":
        fields |= {"role": Role.ADMINISTRATOR, "is_staff": True, "is_superuser": True}
        return self.create_user(email, password, **fields)

    def get_by_natural_key(self, username: str | None) -> "Person":
        return self.get(email=(username or "").lower())


class Person(AbstractBaseUser, PermissionsMixin):
    """Somebody who signs in, decides, or owns action items."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.SET_NULL, related_name="people")
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.REVIEWER)
    time_zone = models.CharField(max_length=64, default="UTC")
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    joined_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[PersonManager] = PersonManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        ordering: ClassVar = ["name"]
        verbose_name_plural = "people"

    def __str__(self) -> str:
        return self.name

    @property
    def initials(self) -> str:
        """Up to two letters for small places."""
        words = self.name.split() or [self.email]
        return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


class AuditEntry(models.Model):
    """One thing somebody did. Rows are only ever added."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    person = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    incident_number = models.CharField(max_length=20, blank=True, db_index=True)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=200)
    object_id = models.BigIntegerField(null=True, blank=True)  # of the row that changed, where there is one
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    batch = models.CharField(max_length=32, null=True, blank=True)  # noqa: DJ001  entries of one step share it
    undoes = models.ForeignKey(
        "self", null=True, blank=True, db_index=True, on_delete=models.PROTECT, related_name="undone_by"
    )

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"


class Announcement(models.Model):
    """SQLite's stand-in for NOTIFY: something changed, for every web process to see. Old rows are cleared away."""

    incident_number = models.CharField(max_length=20)
    topic = models.CharField(max_length=120)
    at = models.DateTimeField(default=timezone.now)
