"""Plain builders of what tests need; every keyword says what matters to the test."""

from typing import Any

from postmortem.accounts.models import Person, Role, Team
from postmortem.changes.models import Change
from postmortem.incidents.models import Feature, Incident
from postmortem.lib.clock import parse_moment


def make_team(name: str = "Search") -> Team:
    return Team.objects.get_or_create(name=name)[0]


def make_person(name: str = "Priya Nair", role: str = Role.REVIEWER, **fields: Any) -> Person:
    email = fields.pop("email", name.lower().replace(" ", ".") + "@example.org")
    return Person.objects.create_user(
        email, fields.pop("password", "a long pass phrase"), name=name, role=role, **fields
    )


def make_feature(name: str = "Help Centre Assistant", **fields: Any) -> Feature:
    return Feature.objects.get_or_create(name=name, defaults=fields)[0]


def make_incident(number: str = "INC-2026-0001", *, by: Person | None = None, **fields: Any) -> Incident:
    fields.setdefault("title", "Refund answers went stale")
    fields.setdefault("feature", None)
    fields["feature"] = fields["feature"] or make_feature()
    by = (
        by
        or Person.objects.filter(email="facilitator@example.org").first()
        or make_person("Helen Lindqvist", Role.FACILITATOR, email="facilitator@example.org")
    )
    return Incident.objects.create(number=number, created_by=by, **fields)


def make_change(external_id: str = "prompt-1", *, feature: Feature | None = None, **fields: Any) -> Change:
    at = parse_moment("2026-03-09T09:20:00Z")
    defaults: dict[str, Any] = {
        "layer": "prompt", "summary": "Answer prompt v1 → v2", "at": at, "until": fields.get("at", at),
        "source": Change.Source.HAND, "content_sha256": "0" * 64,
    }  # fmt: skip
    return Change.objects.create(feature=feature or make_feature(), external_id=external_id, **(defaults | fields))
