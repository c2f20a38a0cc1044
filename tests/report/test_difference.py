"""What a correction changed, frozen in its record, on a page and over REST."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
from django.urls import reverse

import postmortem.report
from postmortem.incidents.services import reopen_for_correction, update_incident
from postmortem.report import article73
from postmortem.report.difference import MOST, difference_section, differences
from postmortem.report.documents import make_document
from postmortem.report.present import when
from postmortem.report.services import publish, read_record
from tests.api.client import Api
from tests.report.builders import make_publishable


@pytest.fixture(scope="module")
def record():
    return json.loads((Path(__file__).parent / "record-1-sample.json").read_text())


def test_equal_records_do_not_differ_whatever_their_order(record):
    other = copy.deepcopy(record)
    for part in ("actions", "changes", "timeline", "factors"):
        other[part].reverse()
    other["code_version"], other["publication"] = "9.9", {}
    for one in other["changes"]:
        one["exposed_share"] *= 1 + 1e-12
    assert differences(record, other) == []


def test_a_row_of_the_timeline_is_named_by_its_minute(record):
    other = copy.deepcopy(record)
    gone = other["timeline"].pop(2)
    (one,) = differences(record, other)
    assert one.what == f"{when(gone['at'])}, {gone['source']}" and one.before == gone["text"]


def test_fields_rows_and_signatures_are_told_apart(record):
    other = copy.deepcopy(record)
    other["incident"]["affected_people"] = 423
    other["actions"][0]["owner"] = "Somebody Else"
    del other["actions"][1]
    other["layers"][0]["verdict"] = "insufficient"
    other["facilitator_sign_off"] = None
    other["finding"]["result"]["headline"] = "Another"
    other["finding"]["result"]["series"] = []
    found = {(one.section, one.what): (one.before, one.after) for one in differences(record, other)}
    assert found["Incident", "Affected people"] == ("412", "423")
    number = record["actions"][0]["number"]
    assert found["Action", f"A-{number}, owner"] == (record["actions"][0]["owner"], "Somebody Else")
    gone = record["actions"][1]
    assert found["Action", f"A-{gone['number']}"] == (gone["title"], "")
    assert found["Verdict", "Model, verdict"] == ("OUT", "INSUFFICIENT")
    assert found["Facilitator's signature", "Signature"] == ("signed by Helen Lindqvist", "not signed")
    assert found["Attribution", "Result, headline"][1] == "Another"
    assert len(found) == 6


def test_a_change_deep_in_a_long_text_is_seen(record):
    other = copy.deepcopy(record)
    record["text"]["lessons"] = "Word " * 4_000 + "412 customers " + "word " * 4_000
    other["text"]["lessons"] = record["text"]["lessons"].replace("412", "437 other")
    (one,) = differences(record, other)
    words = "Word Word Word Word Word Word Word Word", "customers word word word word word word word"
    assert one.before == f"…\u00a0{words[0]} 412 {words[1]}\u00a0…"
    assert one.after == f"…\u00a0{words[0]} 437 other {words[1]}\u00a0…"


def test_a_repeated_ending_is_not_counted_twice(record):
    other = copy.deepcopy(record)
    record["text"]["lessons"], other["text"]["lessons"] = "again and " * 30, "again and " * 31
    (one,) = differences(record, other)
    assert one.before.count("again") + 1 == one.after.count("again") and one.before.startswith("…\u00a0")


def test_the_annex_is_told_field_by_field_in_words(record):
    rules = article73.load_rules()
    values = {"report_type": "initial", "aware_at": "2026-03-11T15:25:00.000Z", "kinds": ["rights"]}
    first = {"revision": 1, "edited_by": "H", "edited_at": "2026-03-12T00:00:00.000Z", "values": values, "rules": rules}
    second = first | {"revision": 2, "values": values | {"report_type": "complete", "old_field": "x"}}
    with_it, other = record | {"annex": first}, record | {"annex": second}
    assert {(one.what, one.before, one.after) for one in differences(with_it, other)} == {
        ("Kind of report", "Initial report, may be incomplete (Article 73(5))", "Complete report"),
        ("old field", "", "x"),
    }
    found = differences(record | {"annex": None}, with_it)
    assert len(found) == 3 and {one.section for one in found} == {"Article 73 annex"}
    assert ("Provider or deployer became aware (UTC)", "", "11 March 2026 15:25 UTC") in {
        (one.what, one.before, one.after) for one in found
    }


def test_times_dissents_and_signatures_are_told_in_words(record):
    other = copy.deepcopy(record)
    other["incident"]["mitigated_at"] = "2026-03-12T17:05:00.000Z"
    other["actions"][0]["due_on"] = "2026-05-04"
    layer = next(one for one in other["layers"] if one["sign_off"])
    layer |= {"sign_off": None, "dissents": [{"by": "Jun Sato", "value": "out", "reason": "Too short.", "at": ""}]}
    found = {one.what: (one.before, one.after) for one in differences(record, other)}
    name = layer["layer"].capitalize()
    assert found["Mitigated at"] == ("12 Mar 2026 16:40", "12 Mar 2026 17:05")
    assert found[f"A-{other['actions'][0]['number']}, due on"][1] == "4 May 2026"
    assert found[f"{name}, dissents, Jun Sato"] == ("", "OUT: Too short.")
    assert found[f"{name}, signature"][1] == "not signed"


def test_endless_differences_are_counted_and_cut(record):
    other = copy.deepcopy(record)
    other["timeline"] = [
        {"at": f"{n}", "kind": "note", "text": "x" * 5_000, "layer": "", "source": "n"} for n in range(900)
    ]
    section = difference_section(record, other)
    assert section["count"] == 900 + len(record["timeline"]) and len(section["rows"]) == MOST
    assert max(len(row["after"]) for row in section["rows"]) < 1_000


@pytest.mark.django_db
def test_a_correction_freezes_and_shows_what_it_changed(client):
    incident = make_publishable()
    helen = incident.created_by
    publish(incident=incident, by=helen)
    reopen_for_correction(incident=incident, by=helen, reason="Wrong count")
    incident.refresh_from_db()
    update_incident(incident=incident, by=helen, revision=incident.revision, affected_people=499)
    second = publish(incident=incident, by=helen, correction_reason="Wrong count")
    record = read_record(second)
    rows = record["publication"]["corrects"]["differences"]["rows"]
    assert {"section": "Incident", "what": "Affected people", "before": "412", "after": "499"} in rows
    schema = json.loads((Path(postmortem.report.__file__).parent / "schema" / "record-2.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(record)
    for form in ("html", "md"):
        text = make_document(record, view="full", form=form, version=2, sha256=second.sha256).data.decode()
        assert "What this version changed" in text and "499" in text
    outside = make_document(record, view="full", form="json", version=2, sha256=second.sha256, audience="external")
    copied = json.loads(outside.data)
    jsonschema.Draft202012Validator(schema).validate(copied)
    assert "differences" not in copied["publication"]["corrects"]
    client.force_login(helen)
    page = client.get(reverse("report-difference", args=[incident.number, 2])).content.decode()
    assert "from version 1 to version 2" in page and "Affected people" in page
    assert client.get(reverse("report-difference", args=[incident.number, 1])).status_code == 404
    answer = Api(helen, incident.number).get("./reports/2/difference/1/")
    assert {"section": "Incident", "what": "Affected people", "before": "412", "after": "499"} in answer["results"]
