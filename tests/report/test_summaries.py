"""Proposed texts: every number from the record, hedged, machine-made until accepted."""

import copy
import json
import re
from pathlib import Path

import pytest
from django.urls import reverse

from postmortem.accounts.models import AuditEntry
from postmortem.incidents.models import Incident
from postmortem.lib.errors import EditConflict, UserError
from postmortem.report.accept import accept_text, proposals
from postmortem.report.record import assemble_record
from postmortem.report.summaries import propose
from tests.api.client import Api
from tests.report.builders import make_publishable


@pytest.fixture
def record():
    return json.loads((Path(__file__).parent / "record-1-sample.json").read_text())


def texts(record):
    return {one.field: one.text for one in propose(record)}


def test_numbers_are_the_records_with_their_intervals(record):
    found = texts(record)
    assert "Grounded answer rate fell by 10.1 points (95% −10.9 to −9.3)." in found["summary"]
    assert "From 9 Mar 2026 09:40 to 12 Mar 2026 16:40 UTC" in found["summary"]
    assert "The evidence points to one change: “Query encoder helix-2 → helix-3” (P 0.97)." in found["summary"]
    assert (
        "412 people were affected" in found["impact"] and "82.1% (95% 81.4 to 82.8, 11,146 traces)" in found["impact"]
    )
    assert "It took 2 d 5 h from the onset" in found["detection_gap"]


@pytest.mark.parametrize(
    ("probability", "kind", "words"),
    [(0.7, "change", "leading suspect"), (0.3, "change", "cause is open"), (0.95, "unlogged", "No logged change")],
)
def test_what_is_not_sure_is_not_said_as_if(record, probability, kind, words):
    record["finding"]["result"]["hypotheses"][0] |= {"probability": probability, "kind": kind}
    assert words in texts(record)["summary"]


def test_a_drop_that_may_be_chance_is_said_to_be(record):
    record["finding"]["result"]["drop"] = {"estimate": -0.01, "interval": [-0.03, 0.01]}
    assert "may be chance" in texts(record)["summary"]


def test_every_sentence_names_its_fact_and_nothing_is_said_without_one(record):
    for one in propose(record):
        for sentence in one.sentences:
            top = re.split(r"[.\[,]", sentence.fact)[0]
            assert top in record and sentence.text.endswith(".")
    bare = copy.deepcopy(record) | {"finding": None, "factors": [], "clocks": []}
    bare["incident"] |= {"onset_at": None, "affected_people": None}
    assert propose(bare) == []


def test_imported_words_stay_words(record):
    record["finding"]["result"]["hypotheses"][0]["title"] = "[x](javascript:alert(1)) <script> **bold** `code`"
    assert not re.search(r"[\[\]<>*`]", texts(record)["summary"])


@pytest.mark.django_db
def test_a_proposal_is_in_no_record_until_somebody_accepts_it(client):
    incident = make_publishable()
    helen = incident.created_by
    Incident.objects.filter(pk=incident.pk).update(summary="")
    incident.refresh_from_db()
    assert [one.field for one in proposals(incident)] == ["summary"]
    assert assemble_record(incident)["text"]["summary"] == ""
    client.force_login(helen)
    url = reverse("report-proposals", args=[incident.number])
    assert "machine-made, not accepted" in client.get(url).content.decode()
    text = proposals(incident)[0].text
    with pytest.raises(EditConflict):
        accept_text(incident=incident, by=helen, field="summary", text=text, revision=incident.revision + 5)
    with pytest.raises(UserError, match="empty text"):
        accept_text(incident=incident, by=helen, field="summary", text=" ", revision=incident.revision)
    with pytest.raises(UserError, match="No text is proposed"):
        accept_text(incident=incident, by=helen, field="title", text="x", revision=incident.revision)
    api = Api(helen, incident.number)
    assert api.get("./proposals/")["results"][0]["text"] == text
    done = client.post(url, {"field": "summary", "text": text + " Edited.", "revision": incident.revision})
    assert done.status_code == 302
    incident.refresh_from_db()
    assert incident.summary.endswith("Edited.")
    assert AuditEntry.objects.get(action="text.accept").after["edited"] is True
    assert api.get("./proposals/")["count"] == 0
