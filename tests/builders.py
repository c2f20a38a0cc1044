"""Plain builders of what tests need; every keyword says what matters to the test."""

from datetime import date
from typing import Any

from postmortem.accounts.models import Person, Role, Team
from postmortem.actions.models import ActionItem
from postmortem.changes.models import Change
from postmortem.incidents.models import Feature, Incident, Participant
from postmortem.lib.clock import parse_moment
from postmortem.traces.models import EvidenceImport, Trace


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


def make_participant(incident: Incident, person: Person, role: str, layer: str = "") -> Participant:
    return Participant.objects.create(incident=incident, person=person, role=role, layer=layer)


def make_trace(incident: Incident, external_id: str = "trace-1", **fields: Any) -> Trace:
    evidence_import = EvidenceImport.objects.get_or_create(incident=incident, kind="file", origin="traces.jsonl")[0]
    defaults: dict[str, Any] = {"timestamp": parse_moment("2026-03-09T10:00:00Z"), "name": "answer"}
    return Trace.objects.create(
        incident=incident, evidence_import=evidence_import, external_id=external_id, **(defaults | fields)
    )


def make_action(incident: Incident, owner: Person, number: int = 1, **fields: Any) -> ActionItem:
    defaults: dict[str, Any] = {
        "title": "Pin the encoder to the index", "layer": "retrieval", "due_on": date(2026, 4, 1),
        "verification": "Grounded rate at least 92 % for 7 days", "created_by": owner,
    }  # fmt: skip
    return ActionItem.objects.create(incident=incident, owner=owner, number=number, **(defaults | fields))
