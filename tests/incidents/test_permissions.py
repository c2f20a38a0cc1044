"""Who may what, as a table: own role × part in the incident × visibility → capabilities."""

import pytest
from django.core.exceptions import PermissionDenied

from postmortem.accounts.models import Role
from postmortem.incidents.models import Participant, ParticipantRole, Visibility
from postmortem.incidents.permissions import Capability, capabilities, may, require, visible_incidents
from postmortem.lib.layers import LAYERS
from tests.builders import make_feature, make_incident, make_person, make_team

pytestmark = pytest.mark.django_db

C = Capability
READ = {C.VIEW}
WORK = READ | {C.CREATE, C.IMPORT, C.REVIEW, C.ACT}
LEAD = WORK | {C.DECIDE, C.SIGN, C.MANAGE, C.PUBLISH, C.REVEAL}
ALL = set(Capability)
OF_ROLE = {Role.VIEWER: READ, Role.REVIEWER: WORK, Role.FACILITATOR: LEAD, Role.ADMINISTRATOR: ALL}
OF_PART = {
    ParticipantRole.VIEWER: READ,
    ParticipantRole.REVIEWER: WORK,
    ParticipantRole.SCRIBE: WORK,
    ParticipantRole.LAYER_LEAD: WORK,
    ParticipantRole.FACILITATOR: LEAD,
}


def incident_of(visibility):
    return make_incident(visibility=visibility, feature=make_feature(team=make_team("Support")))


def seen_and_allowed(person, incident):
    allowed = {capability for capability in Capability if may(person, capability, incident)}
    assert allowed == capabilities(person, incident), "one query and one by one agree"
    assert visible_incidents(person).filter(pk=incident.pk).exists() == (C.VIEW in allowed), "list and page agree"
    return allowed


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("team", ["Support", "Payments", None])
@pytest.mark.parametrize("visibility", list(Visibility))
def test_without_a_part_the_own_role_counts_where_the_incident_is_visible(visibility, team, role):
    incident = incident_of(visibility)
    person = make_person("Jun Sato", role, team=make_team(team) if team else None)
    visible = (
        role == Role.ADMINISTRATOR
        or visibility == Visibility.EVERYONE
        or (visibility == Visibility.TEAM and team == "Support")
    )
    assert seen_and_allowed(person, incident) == (OF_ROLE[role] if visible else set())


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("part", list(ParticipantRole))
@pytest.mark.parametrize("visibility", list(Visibility))
def test_a_part_opens_the_incident_and_can_only_raise_the_own_role(visibility, part, role):
    incident = incident_of(visibility)
    person = make_person("Jun Sato", role)
    layer = "prompt" if part == ParticipantRole.LAYER_LEAD else ""
    Participant.objects.create(incident=incident, person=person, role=part, layer=layer)
    assert seen_and_allowed(person, incident) == OF_ROLE[role] | OF_PART[part]


@pytest.mark.parametrize("role", list(Role))
def test_without_an_incident_the_own_role_counts(role):
    person = make_person("Jun Sato", role)
    assert {capability for capability in Capability if may(person, capability)} == OF_ROLE[role]


@pytest.mark.parametrize("role", list(Role))
def test_inactive_people_may_nothing(role):
    incident = incident_of(Visibility.EVERYONE)
    person = make_person("Jun Sato", role, is_active=False)
    Participant.objects.create(incident=incident, person=person, role=ParticipantRole.FACILITATOR)
    assert seen_and_allowed(person, incident) == set()
    assert not any(may(person, capability) for capability in Capability)


def test_the_creator_sees_the_own_incident_whatever_its_visibility():
    person = make_person("Jun Sato", Role.VIEWER)
    incident = make_incident(by=person, visibility=Visibility.PARTICIPANTS)
    assert seen_and_allowed(person, incident) == READ


def test_a_lead_decides_and_signs_the_own_layer_only():
    incident = incident_of(Visibility.EVERYONE)
    lead = make_person("Priya Nair", Role.VIEWER)
    Participant.objects.create(incident=incident, person=lead, role=ParticipantRole.LAYER_LEAD, layer="retrieval")
    for layer in LAYERS:
        assert may(lead, C.DECIDE, incident, layer) == (layer == "retrieval")
        assert may(lead, C.SIGN, incident, layer) == (layer == "retrieval")
    assert not may(lead, C.SIGN, incident), "signing for the whole is the facilitator's"


@pytest.mark.parametrize("role", [Role.FACILITATOR, Role.ADMINISTRATOR])
def test_nobody_signs_in_place_of_a_lead(role):
    incident = incident_of(Visibility.EVERYONE)
    person = make_person("Helen Example", role)
    for layer in LAYERS:
        assert may(person, C.DECIDE, incident, layer)
        assert not may(person, C.SIGN, incident, layer)
    assert may(person, C.SIGN, incident)


def test_taking_part_twice_does_not_double_the_list():
    incident = incident_of(Visibility.PARTICIPANTS)
    person = make_person("Priya Nair")
    for layer in LAYERS:
        Participant.objects.create(incident=incident, person=person, role=ParticipantRole.LAYER_LEAD, layer=layer)
    assert list(visible_incidents(person)) == [incident]


def test_refusal_is_one_sentence_that_says_whom_to_ask():
    incident = incident_of(Visibility.EVERYONE)
    with pytest.raises(PermissionDenied) as refused:
        require(make_person("Jun Sato", Role.VIEWER), C.PUBLISH, incident)
    assert str(refused.value) == "You may not publish the report. Ask the facilitator or an administrator."
