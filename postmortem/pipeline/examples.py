"""The example incidents of fixtures/, loaded through the same services that people use."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from django.db import transaction

from postmortem.accounts.models import Person, Role, Team
from postmortem.accounts.services import create_person, create_team
from postmortem.actions.services import add_action, set_status
from postmortem.attribution.services import run_attribution
from postmortem.changes.models import Change
from postmortem.changes.services import import_changes
from postmortem.incidents.models import Feature, Incident
from postmortem.incidents.permissions import Capability, may
from postmortem.incidents.services import add_timeline_entry, create_incident, set_participant, update_incident
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.lib.layers import LAYERS, Layer
from postmortem.report.services import publish
from postmortem.review.factors import accept_risk, add_factor, connect
from postmortem.review.models import ContributingFactor
from postmortem.review.question_sets import question_set, version_of
from postmortem.review.selectors import review_layer
from postmortem.review.services import (
    add_evidence,
    adopt_proposed_evidence,
    answer_question,
    decide_verdict,
    sign_off,
)
from postmortem.traces.connections import check_connection, create_connection, update_connection
from postmortem.traces.models import Connection, EvidenceImport
from postmortem.traces.services import import_file

STAND_IN_NAME = "Stand-in Langfuse (simulated)"
_TIMES = (
    "latent_since", "onset_at", "detected_at", "mitigated_at", "recovered_at", "users_recovered_at", "resolved_at",
)  # fmt: skip
_TEXTS = (
    "summary", "impact", "decisions_requested", "detection_gap", "lessons", "affected_people", "suspected_layer",
)  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """One story: its incident, and whether this call made it."""

    incident: Incident
    is_new: bool


def load_story(folder: Path, *, pass_phrase: str) -> Loaded:
    """Load one folder of fixtures/ as an incident marked simulated; does nothing if its number is there.

    People who are new get `pass_phrase`. Raises UserError when a file of the folder is broken.
    """
    story = json.loads((folder / "incident.json").read_text())
    with transaction.atomic():
        return _load(folder, story, pass_phrase)


def connect_stand_in(*, base_url: str, public_key: str, secret_key: str) -> Connection:
    """Let trace links of the stand-in Langfuse at `base_url` be imported; it may have another port each time.

    Raises SourceError when it does not answer, UserError when nobody here is an administrator.
    """
    administrator = Person.objects.filter(role=Role.ADMINISTRATOR, is_active=True).order_by("pk").first()
    if administrator is None:
        raise UserError("Nobody is an administrator; load the examples first.")
    fields = {"name": STAND_IN_NAME, "base_url": base_url, "public_key": public_key, "secret_key": secret_key}
    connection = Connection.objects.filter(name=STAND_IN_NAME).first()
    if connection is None:
        connection = create_connection(by=administrator, **fields)
    else:
        connection = update_connection(connection=connection, by=administrator, **fields)
    check_connection(connection=connection, by=administrator)
    return connection


def _load(folder: Path, story: dict[str, Any], pass_phrase: str) -> Loaded:
    if existing := Incident.objects.filter(number=story["number"]).first():
        return Loaded(existing, is_new=False)
    cast = json.loads((folder / "people.json").read_text())
    people = _people(cast, pass_phrase)
    facilitator = people[next(part["email"] for part in cast["participants"] if part["role"] == "facilitator")]
    administrator = next((one for one in people.values() if one.role == Role.ADMINISTRATOR), facilitator)
    incident = _open(story, facilitator)
    for part in cast["participants"]:
        if people[part["email"]] != facilitator:
            layer = part.get("layer", "")
            set_participant(
                incident=incident, by=facilitator, person=people[part["email"]], role=part["role"], layer=layer
            )
    traces, changes = folder / "traces.jsonl.gz", folder / "changes.jsonl"
    import_file(
        incident=incident,
        by=administrator,
        filename=f"{folder.name}/{traces.name}",
        data=traces.read_bytes(),
        kind=EvidenceImport.Kind.EXAMPLE,
    )
    import_changes(
        feature=incident.feature,
        by=administrator,
        filename=f"{folder.name}/{changes.name}",
        data=changes.read_bytes(),
        incident=incident,
        source=Change.Source.EXAMPLE,
    )
    for note in story["timeline"]:
        author = people.get(note["by"], facilitator)
        scribe = author if may(author, Capability.REVIEW, incident) else facilitator
        add_timeline_entry(incident=incident, by=scribe, at=parse_moment(note["at"]), text=note["text"])
    run_attribution(incident=incident, by=facilitator)
    review = folder / "review.json"
    if review.exists():
        _walk(incident, json.loads(review.read_text()), people, facilitator)
    return Loaded(incident, is_new=True)


def _people(cast: dict[str, Any], pass_phrase: str) -> dict[str, Person]:
    """The story's people by e-mail address; those who are there already stay as they are."""
    teams = {name: _team(name) for name in cast["teams"]}
    known = {
        person.email: person for person in Person.objects.filter(email__in=[one["email"] for one in cast["people"]])
    }
    return {
        one["email"]: known.get(one["email"])
        or create_person(
            email=one["email"], name=one["name"], role=one["role"], team=teams[one["team"]], password=pass_phrase
        )
        for one in cast["people"]
    }


def _team(name: str) -> Team:
    return Team.objects.filter(name__iexact=name).first() or create_team(name=name, by=None)


def _open(story: dict[str, Any], facilitator: Person) -> Incident:
    feature, _ = Feature.objects.get_or_create(
        name=story["feature"]["name"],
        defaults={
            "team": _team(story["feature"]["team"]),
            "trace_name": story["trace_name"],
            "environment": story["environment"],
        },
    )
    incident = create_incident(
        by=facilitator,
        number=story["number"],
        title=story["title"],
        feature=feature,
        severity=story["severity"],
        visibility=story["visibility"],
        signal=story["signal"],
        worse=story["worse"],
        trace_name=story["trace_name"],
        environment=story["environment"],
        simulated=True,
    )
    fields: dict[str, Any] = {name: parse_moment(story[name]) for name in _TIMES if story.get(name)}
    fields |= {name: story[name] for name in _TEXTS if story.get(name) is not None}
    for window in ("baseline", "incident"):
        for end in ("start", "end"):
            fields[f"{window}_{end}"] = parse_moment(story[window][end])
    return update_incident(incident=incident, by=facilitator, revision=incident.revision, **fields)


def _walk(incident: Incident, review: dict[str, Any], people: dict[str, Person], facilitator: Person) -> None:
    """Take the incident as far through the review as review.json goes."""
    leads = {
        part.layer: part.person for part in incident.participants.filter(role="layer_lead").select_related("person")
    }
    # In the order that the review asks for: the first suspect and the model come last.
    order = sorted(LAYERS, key=lambda layer: (layer.value == incident.suspected_layer, layer is Layer.MODEL))
    for layer in order:
        if layer.value in review["examined"]:
            _answer(incident, layer.value, leads.get(layer.value, facilitator), review["answers"])
            adopt_proposed_evidence(incident=incident, by=leads.get(layer.value, facilitator), layer=layer)
    for piece in review["evidence"]:
        change = Change.objects.filter(feature=incident.feature, external_id=piece.get("change", "")).first()
        add_evidence(
            incident=incident,
            by=leads.get(piece["layer"], facilitator),
            layer=piece["layer"],
            direction=piece["direction"],
            text=piece["text"],
            change=change,
        )
    places = [layer.value for layer in order]
    last = "model" if any(one["layer"] == "model" and one["value"] == "in" for one in review["verdicts"]) else ""
    for verdict in sorted(review["verdicts"], key=lambda one: (one["layer"] == last, places.index(one["layer"]))):
        by = leads.get(verdict["layer"], facilitator)
        decide_verdict(
            incident=incident, by=by, layer=verdict["layer"], value=verdict["value"], reason=verdict["reason"]
        )
    factors = _graph(incident, review, people, facilitator)
    for item in review["actions"]:
        action = add_action(
            incident=incident,
            by=facilitator,
            title=item["title"],
            layer=item["layer"],
            kind=item["kind"],
            owner=people[item["owner"]],
            due_on=date.fromisoformat(item["due_on"]),
            verification=item["verification"],
            cuts_factor=factors.get(item.get("cuts", "")),
            tracker_link=item.get("link", ""),
            today=date.fromisoformat(review["held_on"]),
        )
        if item.get("status"):
            set_status(
                action=action, by=facilitator, status=item["status"], note=item["note"], revision=action.revision
            )
    incident = Incident.objects.get(pk=incident.pk)
    if incident.status != review["status"]:
        incident = update_incident(
            incident=incident, by=facilitator, revision=incident.revision, status=review["status"]
        )
    for layer in review["signed"]:
        sign_off(incident=incident, by=leads.get(layer, facilitator), layer=layer)
    if review.get("publish"):
        publish(incident=incident, by=facilitator)


def _answer(incident: Incident, layer: str, by: Person, given: dict[str, list[str]]) -> None:
    """Answers of review.json; for the rest what the join and the attribution suggest, where they do."""
    known = {one.question.id: one for one in review_layer(incident, layer).questions}
    for question in question_set(version_of(incident)).sections[layer]:
        value, note = given.get(question.id, ["", ""])
        if not value and (suggested := known[question.id].prefill.suggested):
            value, note = suggested, "As the join and the attribution show."
        if value:
            answer_question(incident=incident, by=by, question_id=question.id, value=value, note=note)


def _graph(
    incident: Incident, review: dict[str, Any], people: dict[str, Person], facilitator: Person
) -> dict[str, ContributingFactor]:
    """Factors by their key in review.json; effects stand before their causes there."""
    factors: dict[str, ContributingFactor] = {}
    for one in review["factors"]:
        change = Change.objects.filter(feature=incident.feature, external_id=one.get("change", "")).first()
        first, *others = one.get("leads_to") or [""]
        factors[one["key"]] = factor = add_factor(
            incident=incident,
            by=facilitator,
            kind=one["kind"],
            layer=one.get("layer", ""),
            text=one["text"],
            change=change,
            leads_to=factors.get(first),
        )
        for other in others:
            connect(cause=factor, effect=factors[other], by=facilitator)
        if one.get("risk_accepted_by"):
            accept_risk(factor=factor, by=people[one["risk_accepted_by"]], reason=one["risk_reason"])
    return factors
