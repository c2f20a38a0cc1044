"""Who asks in the API's tests: one incident, its facilitator, a viewer, an administrator."""

import pytest

from postmortem.accounts.models import Role
from tests.api.client import Api
from tests.builders import make_incident, make_participant, make_person


@pytest.fixture
def incident(db):
    found = make_incident()
    make_participant(found, found.created_by, "facilitator")
    return found


@pytest.fixture
def api(incident):
    return Api(incident.created_by, incident.number)


@pytest.fixture
def viewer(incident):
    return Api(make_person("Vic Viewer", Role.VIEWER), incident.number)


@pytest.fixture
def administrator(incident):
    return Api(make_person("Ada Admin", Role.ADMINISTRATOR), incident.number)
