"""Publication: refused by the gate, frozen by hash and by the database."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction

import postmortem.report
from postmortem.accounts.models import AuditEntry
from postmortem.incidents.models import Status
from postmortem.incidents.states import reopen_for_correction
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import canonical_json, sha256_hex
from postmortem.report.models import Report
from postmortem.report.record import assemble_record
from postmortem.report.selectors import gate
from postmortem.report.services import publish, read_record
from postmortem.review.models import Verdict
from tests.builders import make_incident, make_person
from tests.report.builders import make_publishable

pytestmark = pytest.mark.django_db


def test_an_incident_with_everything_passes_the_gate():
    incident = make_publishable()
    assert [rule.title for rule in gate(incident) if not rule.met] == []


def test_the_gate_reads_the_database_in_a_bounded_number_of_queries(django_assert_max_num_queries):
    incident = make_publishable()
    with django_assert_max_num_queries(45):
        gate(incident)


def test_publishing_freezes_the_record_and_closes_the_incident():
    incident = make_publishable()
    helen = incident.created_by
    report = publish(incident=incident, by=helen)
    assert report.version == 1
    assert report.sha256 == sha256_hex(bytes(report.record))
    incident.refresh_from_db()
    assert incident.status == Status.PUBLISHED
    record = read_record(Report.objects.get())
    assert record["incident"]["number"] == "INC-2026-0007"
    assert record["publication"]["version"] == 1
    assert canonical_json(record) == bytes(report.record)
    assert AuditEntry.objects.filter(action="report.publish").get().after["sha256"] == report.sha256


def test_the_gate_is_asked_again_inside_publication():
    incident = make_publishable()
    Verdict.objects.filter(layer="model").delete()
    with pytest.raises(UserError, match="Model has no verdict"):
        publish(incident=incident, by=incident.created_by)
    incident.refresh_from_db()
    assert incident.status == Status.IN_REVIEW
    assert not Report.objects.exists()


def test_an_empty_incident_lists_everything_that_is_missing():
    incident = make_incident()
    with pytest.raises(UserError) as error:
        publish(incident=incident, by=incident.created_by)
    assert "The summary is not written" in str(error.value)
    assert re.search(r"and \d+ more", str(error.value))


def test_only_who_may_publish_publishes():
    incident = make_publishable()
    with pytest.raises(PermissionDenied):
        publish(incident=incident, by=make_person("Rita Reviewer"))
    assert not Report.objects.exists()


def test_a_published_incident_is_not_published_twice():
    incident = make_publishable()
    publish(incident=incident, by=incident.created_by)
    with pytest.raises(UserError, match="is published"):
        publish(incident=incident, by=incident.created_by, correction_reason="typo")


def test_a_correction_is_a_new_version_that_names_the_old():
    incident = make_publishable()
    helen = incident.created_by
    first = publish(incident=incident, by=helen)
    reopen_for_correction(incident=incident, by=helen, reason="Wrong count")
    with pytest.raises(UserError, match="say what this version corrects"):
        publish(incident=incident, by=helen)
    second = publish(incident=incident, by=helen, correction_reason="Wrong count of customers")
    assert second.version == 2
    publication = read_record(second)["publication"]
    named = publication["corrects"]
    assert (named["version"], named["sha256"]) == (1, first.sha256)
    assert named["differences"] == {"count": 0, "rows": []}
    assert publication["correction_reason"] == "Wrong count of customers"
    assert read_record(Report.objects.get(version=1))["publication"]["corrects"] is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE report_report SET correction_reason = 'x'",
        "UPDATE report_report SET sha256 = 'x' WHERE version = 1",
        "DELETE FROM report_report",
    ],
)
def test_the_database_refuses_to_touch_a_published_report(statement):
    incident = make_publishable()
    publish(incident=incident, by=incident.created_by)
    with (
        pytest.raises(IntegrityError, match="never changed or deleted"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert Report.objects.get().correction_reason == ""


def test_a_record_that_does_not_match_its_hash_is_not_read():
    incident = make_publishable()
    report = publish(incident=incident, by=incident.created_by)
    report.record = bytes(report.record).replace(b"encoder", b"decoder")
    with pytest.raises(UserError, match="does not match its hash"):
        read_record(report)


def test_the_record_follows_its_published_schema():
    schema = json.loads((Path(postmortem.report.__file__).parent / "schema" / "record-2.json").read_text())
    incident = make_publishable()
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    for record in (assemble_record(incident), read_record(publish(incident=incident, by=incident.created_by))):
        validator.validate(json.loads(canonical_json(record)))
    validator.validate(assemble_record(make_incident("INC-2026-0099")))
    broken = assemble_record(incident) | {"layers": []}
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(broken)
