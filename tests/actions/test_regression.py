"""A verified item leaves a test behind that the failure never passes again."""

import json
from datetime import timedelta

import pytest

from postmortem.actions.following import check_action, plan_verification
from postmortem.actions.regression import regression_case
from postmortem.actions.verification import Plan
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from tests.builders import make_action, make_incident, make_trace

pytestmark = pytest.mark.django_db
START = parse_moment("2026-03-09T00:00:00Z")


@pytest.fixture
def item():
    end = START + timedelta(days=1)
    incident = make_incident(
        signal="latency", worse="higher", incident_start=START, incident_end=end, mitigated_at=end, status="published"
    )
    for number in range(40):
        make_trace(
            incident, f"trace-{number}", timestamp=START + timedelta(minutes=number),
            latency_seconds=9.0 if number >= 36 else 1.0, input_preview=f"question {number}", output_preview="wrong",
        )  # fmt: skip
    for number in range(30):
        at = end + timedelta(hours=6 * number)
        make_trace(incident, f"later-{number}", timestamp=at, latency_seconds=1.0)
    return make_action(incident, incident.created_by)


def test_it_follows_the_verification(item, client):
    with pytest.raises(UserError, match="not verified yet"):
        regression_case(action=item, by=item.owner)
    client.force_login(item.owner)
    answer = client.post(f"/incidents/{item.incident.number}/actions/1/regression/")
    assert answer.status_code == 302


def test_failing_traces_become_dataset_items_with_the_rate_after_the_fix(item, client):
    plan_verification(action=item, by=item.owner, plan=Plan("latency", "at_most", 2.0, 7))
    assert check_action(action=item, by=item.owner).outcome == "met"
    item.status, item.status_note = "verified", "Back below two seconds."
    item.save()
    found = regression_case(action=item, by=item.owner)
    assert {one["sourceTraceId"] for one in found} == {"trace-36", "trace-37", "trace-38", "trace-39"}
    first = found[0]
    assert first["datasetName"] == "INC-2026-0001 regression A-1"
    assert first["input"].startswith("question 3")
    assert first["metadata"]["failed_with"] == "wrong"
    assert first["metadata"]["must_hold"] == "latency at most 2 for 7 days"
    after = first["metadata"]["after_the_fix"]
    assert after["rate"] == 1.0 and after["interval"][0] <= 1.0 <= after["interval"][1] and after["traces"] >= 20
    client.force_login(item.owner)
    answer = client.post(f"/incidents/{item.incident.number}/actions/1/regression/")
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert [json.loads(line)["sourceTraceId"] for line in lines] == [one["sourceTraceId"] for one in found]
    over_rest = client.post(f"/api/incidents/{item.incident.number}/actions/1/regression/")
    assert len(over_rest.json()["items"]) == 4
    assert item.incident.number in answer["Content-Disposition"]
