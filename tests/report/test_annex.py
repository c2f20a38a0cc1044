"""The annex of Article 73: clocks from awareness, incomplete first reports, history, every format."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.lib.clock import format_moment
from postmortem.lib.errors import EditConflict, UserError
from postmortem.report import article73
from postmortem.report.annex import annex_history, annex_state, save_annex
from postmortem.report.annex_view import annex_of
from postmortem.report.documents import make_document
from postmortem.report.record import assemble_record
from tests.api.client import Api
from tests.builders import make_incident, make_person
from tests.report.builders import make_publishable

RULES = article73.load_rules()
AWARE = "2026-08-10T21:30:00Z"


def clock(key, **values):
    found = article73.clocks(RULES, {"aware_at": AWARE, **values}, None)
    return next(one for one in found if one.key == key)


@pytest.mark.parametrize(("key", "days", "last"), [("serious", 15, 25), ("death", 10, 20), ("critical", 2, 12)])
def test_the_day_of_awareness_is_not_counted_and_the_last_day_is_whole(key, days, last):
    one = clock(key)
    assert one.days == days
    # 21:30 UTC is 23:30 of the same day in Brussels; its days end at 22:00 UTC in summer.
    assert one.deadline == datetime(2026, 8, last, 21, 59, 59, tzinfo=UTC)


def test_awareness_after_midnight_in_the_authoritys_zone_counts_from_the_next_day():
    assert clock("critical", aware_at="2026-08-10T22:00:00Z").deadline == datetime(2026, 8, 13, 21, 59, 59, tzinfo=UTC)


def test_days_are_whole_across_the_end_of_summer_time():
    found = article73.clocks(RULES, {"aware_at": "2026-10-20T08:00:00Z"}, None)
    assert found[1].deadline == datetime(2026, 10, 30, 22, 59, 59, tzinfo=UTC)


def test_kinds_bring_clocks_into_force_and_the_shortest_comes_first():
    found = article73.clocks(RULES, {"aware_at": AWARE, "kinds": ["death", "rights"]}, None)
    assert [(one.days, one.applies) for one in found] == [(2, False), (10, True), (15, True)]
    assert article73.first_deadline(found).key == "death"
    assert article73.first_deadline(article73.clocks(RULES, {"aware_at": AWARE}, None)) is None


def test_detection_stands_in_for_awareness_and_is_said_to():
    assert article73.awareness({}, AWARE) == (datetime(2026, 8, 10, 21, 30, tzinfo=UTC), False)
    assert all(one.deadline is None for one in article73.clocks(RULES, {}, None))


def test_a_report_in_time_and_one_too_late():
    assert clock("death", initial_sent_at="2026-08-20T21:59:59.000Z").sent_late is False
    assert clock("death", initial_sent_at="2026-08-20T22:00:00.000Z").sent_late is True
    assert clock("death").left(datetime(2026, 8, 19, 21, 59, 59, tzinfo=UTC)) == "1 d left"
    assert clock("death").left(datetime(2026, 8, 21, 21, 59, 59, tzinfo=UTC)) == "over by 1 d"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"colour": "red"}, "no field “colour”"),
        ({"report_type": "draft"}, "takes one of"),
        ({"kinds": ["flood"]}, "takes some of"),
        ({"aware_at": "yesterday"}, "not a date and time"),
        ({"persons_affected": "-3"}, "whole number"),
        ({"contact_email": "nobody"}, "not an e-mail"),
        ({"harm": "x" * 10_001}, "10,000 are the most"),
        ({"initial_sent_at": "2026-08-12T00:00Z", "complete_sent_at": "2026-08-11T00:00Z"}, "after the initial"),
    ],
)
def test_wrong_values_are_named(values, words):
    with pytest.raises(UserError, match=words):
        article73.check_values(RULES, values)


def test_rules_are_data(tmp_path):
    changed = json.loads(article73.SHIPPED.read_text())
    changed["clocks"][0]["days"] = 30
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(changed))
    assert article73.load_rules(str(path))["clocks"][0]["days"] == 30
    path.with_name("broken.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be read"):
        article73.load_rules(str(path.with_name("broken.json")))


@pytest.mark.django_db
def test_every_save_is_kept_and_nobody_overwrites_in_silence():
    incident = make_incident("INC-2026-0050")
    helen = incident.created_by
    save_annex(incident=incident, by=helen, values={"report_type": "initial"}, revision=0)
    save_annex(incident=incident, by=helen, values={"report_type": "complete", "harm": ""}, revision=1)
    assert [one.values for one in annex_history(incident)] == [{"report_type": "complete"}, {"report_type": "initial"}]
    with pytest.raises(EditConflict) as conflict:
        save_annex(incident=incident, by=helen, values={"report_type": "followup"}, revision=1)
    assert conflict.value.current == {"report_type": "complete"} and conflict.value.revision == 2
    with pytest.raises(PermissionDenied):
        save_annex(incident=incident, by=make_person("Viewer", Role.VIEWER), values={}, revision=2)
    assert "Authority" not in annex_state(incident)["values"]


@pytest.mark.django_db
def test_the_annex_in_every_format_says_what_is_missing_and_when_it_is_due():
    incident = make_publishable()
    values = {"report_type": "initial", "kinds": ["rights"], "aware_at": AWARE, "provider_name": "Nordlicht | GmbH"}
    save_annex(incident=incident, by=incident.created_by, values=values, revision=0)
    record = assemble_record(incident)
    for form in ("html", "md"):
        text = make_document(record, view="annex", form=form, version=None, sha256="").data.decode()
        for words in ("Initial report of a serious incident", "end of 25 August 2026 (Europe/Brussels)",
                      "Not stated yet", "Counted from awareness", "may be incomplete"):  # fmt: skip
            assert words in text, (form, words)
    assert "Nordlicht &#124; GmbH" in text
    frozen = json.loads(make_document(record, view="annex", form="json", version=None, sha256="").data)
    assert frozen["annex"]["values"]["aware_at"] == format_moment(datetime(2026, 8, 10, 21, 30, tzinfo=UTC))
    assert frozen["annex"]["rules"] == RULES


def _annexed(**values):
    record = json.loads((Path(__file__).parent / "record-1-sample.json").read_text())
    section = {"revision": 1, "edited_by": "H", "edited_at": "2026-03-20T10:00:00.000Z", "values": values}
    return record | {"annex": section | {"rules": RULES}}


def test_what_was_known_before_the_law_applied_is_said_to_be():
    assert "did not apply yet" in annex_of(_annexed(aware_at="2026-08-01T21:59:00Z"))["applies_note"]
    # After midnight in Brussels the law applies.
    assert "did not apply yet" not in annex_of(_annexed(aware_at="2026-08-01T22:00:00Z"))["applies_note"]


def test_it_speaks_of_no_list_that_it_does_not_show():
    record = _annexed()
    record["timeline"] = record["timeline"] * 40
    made = {one: make_document(record, view=one, form="html", version=1, sha256="").data for one in ("annex", "full")}
    assert b"entries of the timeline" in made["full"] and b"Not laid out here" not in made["annex"]
    record["actions"] = [record["actions"][0] | {"number": number} for number in range(205)]
    assert b"5 of 205 actions" in make_document(record, view="annex", form="html", version=1, sha256="").data


def test_no_period_is_said_not_to_apply_before_the_kind_is_stated():
    assert {one["state"] for one in annex_of(_annexed(aware_at=AWARE))["clocks"]} == {"open"}
    stated = annex_of(_annexed(aware_at=AWARE, kinds=["rights"], initial_sent_at="2026-08-26T00:00:00Z"))
    assert [one["state"] for one in stated["clocks"]] == ["does not apply", "does not apply", "applies, sent after it"]


def test_fields_that_nobody_stated_show_what_the_record_knows():
    def notes(record):
        return {row["label"]: row["note"] for group in annex_of(record)["groups"] for row in group["rows"]}

    found = notes(_annexed())
    assert found["Persons affected"] == "the record counts 412"
    assert found["Provider or deployer became aware (UTC)"] == "detected 11 Mar 2026 15:25 UTC"
    found = notes(_annexed(persons_affected=1, aware_at=AWARE))
    assert not any(found.values())
    assert annex_of(_annexed())["times"].startswith("Latent since 4 Mar 2026 13:30; began 9 Mar 2026 09:40; detected")


@pytest.mark.django_db
def test_the_same_over_rest():
    incident = make_incident("INC-2026-0050")
    api = Api(incident.created_by, incident.number)
    state = api.get("./annex/")
    assert state["revision"] == 0 and "Harm, and how it was found" in state["missing"]
    stored = api.ask("put", "./annex/", {"revision": 0, "values": {"kinds": ["death"], "aware_at": AWARE}})
    assert stored["revision"] == 1
    assert [one["deadline"] for one in stored["clocks"] if one["applies"]] == ["2026-08-20T21:59:59Z"]
    api.ask("put", "./annex/", {"revision": 0, "values": {}}, expect=409)
    assert api.get("./annex/history/")["count"] == 1


@pytest.mark.django_db
def test_the_page_saves_shows_clocks_and_keeps_both_texts(client):
    incident = make_incident("INC-2026-0050")
    client.force_login(incident.created_by)
    url = reverse("report-annex", args=[incident.number])
    page = client.post(url, {"revision": 0, "kinds": ["infrastructure"], "aware_at": AWARE}, follow=True)
    assert "12 Aug 2026 21:59" in page.content.decode()
    conflict = client.post(url, {"revision": 0, "harm": "Mine stays"})
    assert conflict.status_code == 409
    assert "Mine stays" in conflict.content.decode() and "Somebody else saved" in conflict.content.decode()


def test_a_record_of_the_first_schema_has_an_annex_too():
    record = json.loads((Path(__file__).parent / "record-1-sample.json").read_text())
    text = make_document(record, view="annex", form="md", version=1, sha256="a" * 64).data.decode()
    assert (
        "# Report of a serious incident" in text
        and "2 August 2026" in text
        and "the time of awareness is not stated" in text
    )
