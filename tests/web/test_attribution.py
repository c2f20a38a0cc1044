"""The Attribution page: when it was, what each number says, and what harms only together."""

import re

import pytest
from django.urls import reverse

from postmortem.attribution.bayes import SHARPNESS
from postmortem.attribution.method import METHOD
from postmortem.attribution.models import Finding, ReplayResult
from postmortem.changes.models import Change
from postmortem.incidents.models import Incident
from postmortem.traces.services import store_blob
from postmortem.web.templatetags.workbench import times_as_likely
from tests.report.builders import finding_result, make_publishable

TOGETHER = {
    "changes": ["retrieval-3", "infrastructure-1"], "probability": 0.4, "traces": 120,
    "effect": {"estimate": -0.2, "interval": [-0.3, -0.1]}, "sentence": "Two <changes> only together.",
}  # fmt: skip
RECOVERY = {
    "at": "2026-03-12T18:00:00Z", "interval": ["2026-03-12T15:00:00Z", "2026-03-12T22:00:00Z"],
    "share": {"estimate": 0.93, "interval": [0.8, 1.06]}, "during": 900, "after": 400,
}  # fmt: skip


def page_of(client, incident: Incident, result: dict) -> str:
    Finding.objects.filter(incident=incident).delete()
    Finding.objects.create(
        incident=incident, number=9, result=result, inputs_sha256="0" * 64, code_version="test", parameters={}
    )
    answer = client.get(reverse("attribution", args=[incident.number]))
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode())


@pytest.fixture
def incident(client, db):
    made = make_publishable()
    client.force_login(made.participants.first().person)
    return made


def test_clocks_measured_on_the_signal_stand_beside_each_other(client, incident):
    page = page_of(client, incident, finding_result(recovery=RECOVERY))
    assert "When, measured on the signal" in page
    assert "Mitigation to recovery" in page and "1 h 20 min" in page
    assert "80 to 106; n 900 and 400" in page


def test_a_run_from_before_recovery_was_measured_still_opens(client, incident):
    page = page_of(client, incident, finding_result())
    assert "not measured" in page
    assert "Only together?" not in page


def test_changes_that_harm_only_together_are_named_and_escaped(client, incident):
    page = page_of(client, incident, finding_result(interactions=[TOGETHER]))
    assert "Two &lt;changes&gt; only together." in page


def test_a_replay_stands_beside_the_change_that_it_tested(client, incident):
    result = finding_result()
    leading = result["hypotheses"][0]["changes"][0]
    change = Change.objects.get(external_id=leading)
    said = {"direction": "against", "sentence": "Replay of <failing> traces: 5.0% of 40 turn good"}
    person = incident.participants.first().person
    blob = store_blob(b"{}", "application/x-ndjson")
    ReplayResult.objects.create(incident=incident, change=change, blob=blob, result=said, added_by=person)
    page = page_of(client, incident, result)
    assert "Replayed, speaks against it." in page and "Replay of &lt;failing&gt; traces: 5.0% of 40 turn good." in page
    assert page.count("data-replay") == 1


def test_each_number_of_the_row_has_its_sentence(client, incident):
    page = page_of(client, incident, finding_result(method=METHOD))
    words = page[page.index("These numbers in plain words") :]
    assert f"to the power {SHARPNESS} that" in words
    assert words.index("traces ran on it") < words.index("did not run on it") < words.index("times as likely")
    assert "held" in words and "How to read a row" in words


@pytest.mark.parametrize(
    ("log_factor", "said"), [(0.0, "1 times"), (-0.4, "0.67 times"), (3.0, "20 times"), (57.5, "more than a million")]
)
def test_a_bayes_factor_in_words(log_factor, said):
    assert times_as_likely(log_factor).startswith(said)
