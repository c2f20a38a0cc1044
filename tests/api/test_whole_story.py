"""One incident from opening to a published report, by API alone."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from postmortem.lib.hashing import canonical_json, sha256_hex
from postmortem.lib.layers import LAYERS
from postmortem.pipeline.background import claim_next, execute
from tests.api.client import Api
from tests.builders import make_person

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 2, tzinfo=UTC)
ONSET = START + timedelta(days=7)
END = ONSET + timedelta(days=2)


def upload(rows, name):
    return {"file": SimpleUploadedFile(name, "\n".join(json.dumps(row) for row in rows).encode())}


def traces():
    """Every ten minutes one trace; half of them move to the worse prompt at the onset."""
    moment, index = START, 0
    while moment < END:
        worse = moment >= ONSET and index % 2 == 1
        yield {
            "id": f"t{index}", "timestamp": moment.isoformat(), "name": "answer", "environment": "production",
            "facets": {"prompt": "answer", "prompt_version": "v2" if worse else "v1", "region": "eu"},
            "scores": {"grounded": 0 if index % (2 if worse else 9) in (1, 7) else 1},
        }  # fmt: skip
        moment, index = moment + timedelta(minutes=10), index + 1


def test_from_opening_to_the_published_report(api):
    number = api.post("incidents/", {"title": "Stale refunds", "feature_name": "Help", "severity": "sev2"})["number"]
    api.number = number
    lead = Api(make_person("Priya Nair"), number)
    lead_id = lead.get("auth/me/")["id"]
    api.post("./participants/", {"person": lead_id, "role": "layer_lead", "layer": "prompt"})

    api.post("./evidence/file/", upload(traces(), "traces.jsonl"), format="multipart")
    change = {
        "id": "prompt-2", "layer": "prompt", "at": ONSET.isoformat(), "facet": "prompt_version", "from_version": "v1",
        "to_version": "v2", "scope": {"prompt": ["answer"]}, "rollout": "canary", "canary_share": 0.5,
    }  # fmt: skip
    api.post("./changes/file/", upload([change], "changes.jsonl"), format="multipart", expect=200)
    api.patch(
        "./",
        {
            "revision": api.get("./")["revision"], "summary": "Answers went stale.", "impact": "1,120 wrong answers.",
            "signal": "grounded", "baseline_start": START.isoformat(), "baseline_end": ONSET.isoformat(),
            "incident_start": ONSET.isoformat(), "incident_end": END.isoformat(), "onset_at": ONSET.isoformat(),
            "detected_at": (ONSET + timedelta(days=1)).isoformat(), "mitigated_at": END.isoformat(),
            "detection_gap": "Nobody watched the rate.",
        },
    )  # fmt: skip

    run = api.post("./attribution/", expect=202)
    execute(claim_next("test"))
    assert api.get(f"./runs/{run['id']}/")["state"] == "done"
    result = api.get("./findings/1/")["result"]
    best = result["hypotheses"][0]
    assert best["changes"] == ["prompt-2"] and best["probability"] > 0.5

    for layer in LAYERS:
        api.post(f"./review/{layer}/evidence/", {"direction": "for", "text": "As the arithmetic says"})
        value = "in" if layer == "prompt" else "out"
        api.put(f"./review/{layer}/verdict/", {"value": value, "reason": "Exposed and unexposed compared"})
    impact = api.post("./factors/", {"kind": "impact", "text": "Wrong answers"})
    cause = api.post(
        "./factors/", {"kind": "trigger", "layer": "prompt", "text": "Prompt v2", "leads_to": impact["id"]}
    )
    open_rules = {rule["id"] for rule in api.get("./gate/")["rules"] if not rule["met"]}
    assert open_rules, "nothing is cut or signed yet"
    api.post(
        "./actions/",
        {
            "title": "Test prompts before rollout", "layer": "prompt", "owner": lead_id, "due_on": "2200-01-31",
            "verification": "Grounded rate at least 88 % for 7 days", "cuts_factor": cause["id"],
        },
    )  # fmt: skip
    lead.post("./review/prompt/sign-off/", expect=200)
    api.post("./review/sign-off/", expect=200)

    gate = api.get("./gate/")
    assert gate["can_publish"], [rule["title"] for rule in gate["rules"] if not rule["met"]]
    lead.post("./reports/", expect=403)
    report = api.post("./reports/")
    assert report["version"] == 1 and report["published_by"] == "Helen Lindqvist"
    record = api.get("./reports/1/record/")
    assert sha256_hex(canonical_json(record)) == report["sha256"]
    assert api.get("./reports/1/brief.pdf").content.startswith(b"%PDF-")
    assert b"DRAFT" not in api.get("./reports/1/full.html").content
    assert "Stale refunds" in api.get("./reports/1/full.md").content.decode()

    refused = api.patch("./", {"revision": api.get("./")["revision"], "title": "Other"}, expect=400)
    assert refused["detail"] == f"{number} is published; make a correction from the Report page."
    api.post("./reports/correction/", {"reason": "The count was wrong"}, expect=204)
    api.patch("./", {"revision": api.get("./")["revision"], "impact": "1,121 wrong answers."})
    assert "say what this version corrects" in api.post("./reports/", expect=400)["detail"]
    assert api.post("./reports/", {"correction_reason": "The count was wrong"})["version"] == 2
    assert [row["version"] for row in api.get("./reports/")["results"]] == [2, 1]
    assert api.get("./reports/1/record/") == record
