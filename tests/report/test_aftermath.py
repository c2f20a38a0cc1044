"""What the answers ran on, how it was contained, and what can still go wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from postmortem.report.aftermath import NOTHING_LEFT, containment, residual_risk, versions, versions_note
from postmortem.report.markdown_view import render_markdown_view


@pytest.fixture
def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "record-1-sample.json").read_text())
    return found


def _window(traces: int, *values: tuple[str, int], more: int = 0, unrecorded: int = 0) -> dict[str, Any]:
    listed = [{"value": value, "count": count} for value, count in values]
    return {"traces": traces, "values": listed, "more": more, "unrecorded": unrecorded}


def test_the_version_tuple_shows_what_moved_first(record: dict[str, Any]) -> None:
    record["finding"]["result"]["versions"] = [
        {
            "facet": "model_served", "layer": "model", "before": _window(200, ("m-1", 200)),
            "after": _window(90, ("m-1", 90)),
        },
        {
            "facet": "prompt_version", "layer": "prompt", "before": _window(200, ("6", 190), unrecorded=10),
            "after": _window(90, ("7", 60), ("6", 29), more=2, unrecorded=1),
        },
    ]  # fmt: skip
    moved, same = versions(record)
    assert (moved["facet"], moved["before"]) == ("Prompt version", "6 (95%), not recorded (5%)")
    assert moved["after"] == "7 (67%), 6 (32%), 2 more, not recorded (1%)"
    assert (same["facet"], same["before"], same["moved"]) == ("Served model", "m-1 (100%)", False)
    assert versions_note(record["finding"]["result"]).endswith(": 200 in the baseline window, 90 in the incident's.")
    told = render_markdown_view(record, view="full", version=1, sha256="")
    assert "## What the answers ran on" in told and "7 (67%), 6 (32%), 2 more" in told


def test_a_version_that_takes_the_lead_has_moved(record: dict[str, Any]) -> None:
    few, most = _window(100, ("1", 99), ("2", 1)), _window(100, ("2", 99), ("1", 1))
    row = {"facet": "release", "layer": "infrastructure", "before": few, "after": most}
    record["finding"]["result"]["versions"] = [row, row | {"after": few}]
    assert [one["moved"] for one in versions(record)] == [True, False]


def test_dropped_actions_are_not_waited_for(record: dict[str, Any]) -> None:
    states = ("open", "dropped", "verified")
    record["actions"] = [record["actions"][0] | {"number": at, "status": one} for at, one in enumerate(states, 1)]
    assert residual_risk(record)[-1].startswith("1 of 2 actions is not verified yet")


def test_a_record_from_before_version_tuples_has_none(record: dict[str, Any]) -> None:
    record["finding"]["result"].pop("versions", None)
    assert versions(record) == []
    assert "What the answers ran on" not in render_markdown_view(record, view="full", version=1, sha256="")


def test_containment_says_when_people_acted_and_what_came_back(record: dict[str, Any]) -> None:
    record["incident"] |= {
        "detected_at": "2026-05-10T14:05:00.000000Z", "mitigated_at": "2026-05-10T16:40:00.000000Z",
        "users_recovered_at": "2026-05-12T09:00:00.000000Z",
    }  # fmt: skip
    result = record["finding"]["result"]
    result["onset"] = {"at": "2026-05-09T09:00:00Z", "interval": ["2026-05-09T08:00:00Z", "2026-05-09T11:00:00Z"]}
    result["recovery"] = {
        "at": "2026-05-10T17:00:00Z", "interval": ["2026-05-10T16:00:00Z", "2026-05-10T18:00:00Z"],
        "share": {"estimate": 0.97, "interval": [0.9, 1.04]}, "during": 400, "after": 300,
    }  # fmt: skip
    record["actions"] = [
        record["actions"][0] | {"number": 4, "title": "Answer the refused again", "kind": "recover", "status": "done"}
    ]
    assert containment(record) == [
        "Mitigated 10 May 16:40 UTC, 2 h 35 min after detection.",
        "The signal came back 10 May 17:00 UTC (10 May 16:00 to 10 May 18:00); "
        "97% (90 to 104; n 400 and 300) of the harm is gone since then.",
        "The people affected were put right by 12 May 2026 09:00 UTC.",
        "Actions that mitigate or recover: A-4 Answer the refused again (done, not verified).",
    ]


def test_many_cleaning_actions_are_told_by_number(record: dict[str, Any]) -> None:
    record["finding"] = None
    record["actions"] = [
        record["actions"][0] | {"number": number, "kind": "mitigate", "status": "verified" if number < 3 else "open"}
        for number in range(1, 7)
    ]
    said = "Actions that mitigate or recover: A-1, A-2, A-3, A-4, A-5, A-6 (2 of 6 verified)."
    assert containment(record)[-1] == said


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["open"], "The only action is not verified yet; the last is due 1 June 2026."),
        (["open", "done"], "None of the 2 actions is verified yet; the last is due 1 June 2026."),
        (["open", "verified"], "1 of 2 actions is not verified yet; the last is due 1 June 2026."),
    ],
)
def test_how_many_actions_wait(record: dict[str, Any], states: list[str], said: str) -> None:
    record["actions"] = [record["actions"][0] | {"status": state, "due_on": "2026-06-01"} for state in states]
    assert residual_risk(record)[-1] == said


def test_containment_of_an_incident_that_goes_on(record: dict[str, Any]) -> None:
    record["incident"] |= {"mitigated_at": "", "users_recovered_at": ""}
    record["finding"], record["actions"] = None, []
    assert containment(record) == ["No mitigation is recorded."]


def test_what_can_still_go_wrong(record: dict[str, Any]) -> None:
    record["factors"] = record["factors"][:1]
    record["factors"][0] |= {
        "text": "One index for all regions", "risk_accepted_by": "Priya Nair", "risk_accepted_reason": "Split in June.",
    }  # fmt: skip
    for layer in record["layers"]:
        layer["verdict"] = "out"
    record["layers"][0] |= {"verdict": "insufficient", "reason": "No trace names the served model."}
    record["actions"] = [
        record["actions"][0] | {"number": number, "status": status, "due_on": due}
        for number, status, due in ((1, "open", "2026-06-01"), (2, "done", "2026-07-09"), (3, "verified", "2026-08-01"))
    ]
    label = record["layers"][0]["layer"].capitalize()
    assert residual_risk(record) == [
        "Accepted by Priya Nair: One index for all regions. Split in June.",
        f"{label} stays open: No trace names the served model.",
        "2 of 3 actions are not verified yet; the last is due 9 July 2026.",
    ]


def test_a_bare_draft_is_not_called_safe(record: dict[str, Any]) -> None:
    record["factors"], record["actions"] = [], []
    for layer in record["layers"]:
        layer["verdict"] = ""
    assert residual_risk(record) == [
        "No verdict yet: Model, Prompt, Retrieval, Infrastructure.", "No action is recorded.",
    ]  # fmt: skip


def test_nothing_left_is_said(record: dict[str, Any]) -> None:
    for factor in record["factors"]:
        factor["risk_accepted_by"] = ""
    for layer in record["layers"]:
        layer["verdict"] = "in"
    record["actions"] = [one | {"status": "verified"} for one in record["actions"]]
    assert residual_risk(record) == []
    assert NOTHING_LEFT in render_markdown_view(record, view="full", version=1, sha256="")
