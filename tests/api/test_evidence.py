"""Evidence, changes, attribution and connections over the API."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from postmortem.pipeline.models import Run
from postmortem.traces.models import Connection, EvidenceImport, Trace
from tests.builders import make_change, make_trace

pytestmark = pytest.mark.django_db

CHANGE = {
    "id": "prompt-3", "layer": "prompt", "at": "2026-03-09T09:20:00Z", "facet": "prompt_version", "to_version": "v3",
    "scope": {"prompt": ["answer"]}, "rollout": "canary", "canary_share": 0.25,
}  # fmt: skip


def file_of(*rows, name="changes.jsonl"):
    return {"file": SimpleUploadedFile(name, "\n".join(json.dumps(row) for row in rows).encode())}


@pytest.fixture
def connection(administrator):
    body = {
        "name": "Help Centre", "base_url": "https://langfuse.example.org", "public_key": "pk-1",
        "secret_key": "sk-secret",
    }  # fmt: skip
    return administrator.post("connections/", body)


def test_connections_are_the_administrators_and_keep_their_secret(api, administrator, connection):
    assert "sk-secret" not in json.dumps(connection) and "secret_key" not in connection
    assert administrator.get("connections/")["count"] == 1
    changed = administrator.put(
        f"connections/{connection['id']}/",
        {"name": "Renamed", "base_url": "https://langfuse.example.org", "public_key": "pk-1"},
    )
    assert changed["name"] == "Renamed"
    for method, address in (("get", "connections/"), ("get", f"connections/{connection['id']}/")):
        assert "may not change connections" in getattr(api, method)(address, expect=403)["detail"]
    administrator.get("connections/999/", expect=404)
    administrator.delete(f"connections/{connection['id']}/")
    assert not Connection.objects.exists()


def test_a_link_starts_a_run_that_can_be_watched_and_cancelled(api, viewer, connection):
    link = "https://langfuse.example.org/project/abc/traces/0af7651916cd43dd8448eb211c80319c"
    run = api.post("./evidence/link/", {"link": link}, expect=202)
    assert run["state"] == "queued" and api.get(f"./runs/{run['id']}/")["kind"] == "import_link"
    assert api.get("./runs/")["count"] == 1
    viewer.post(f"./runs/{run['id']}/cancel/", expect=403)
    assert api.post(f"./runs/{run['id']}/cancel/", expect=200)["state"] == "cancelled"
    assert api.post(f"./runs/{run['id']}/cancel/", expect=400)["detail"]
    api.get("./runs/999/", expect=404)


def test_bad_links_are_one_sentence_and_start_nothing(api, viewer, connection):
    for link in ("nonsense", "https://elsewhere.example.org/project/abc/traces/1"):
        answer = api.post("./evidence/link/", {"link": link}, expect=400)
        assert "\n" not in answer["detail"]
    viewer.post("./evidence/link/", {"link": "https://langfuse.example.org/trace/1"}, expect=403)
    assert not Run.objects.exists()


def test_a_file_is_read_at_once(api, viewer):
    rows = [
        {"id": f"t{index}", "timestamp": "2026-03-09T10:00:00Z", "facets": {"region": "eu"}, "scores": {"grounded": 1}}
        for index in range(3)
    ]
    found = api.post("./evidence/file/", file_of(*rows, name="traces.jsonl"), format="multipart")
    assert found["trace_count"] == 3
    summary = api.get("./evidence/")
    assert summary["counts"]["traces"] == 3 and summary["imports"][0]["origin"] == "traces.jsonl"
    assert "grounded" in [signal["name"] for signal in summary["signals"]]
    viewer.post("./evidence/file/", file_of(*rows, name="traces.jsonl"), format="multipart", expect=403)


def test_a_broken_or_missing_file_is_one_sentence(api):
    body = {"file": SimpleUploadedFile("traces.jsonl", b"{not json")}
    assert api.post("./evidence/file/", body, format="multipart", expect=400)["detail"]
    assert api.post("./evidence/file/", {}, format="multipart", expect=400)["detail"].startswith("file: ")
    assert not Trace.objects.exists()


def test_traces_are_listed_filtered_and_bounded(api, incident, django_assert_max_num_queries):
    for index in range(30):
        make_trace(incident, f"t{index}", facets={"region": "eu" if index % 2 else "us"})
    with django_assert_max_num_queries(10):
        page = api.get("./traces/", {"limit": 20})
    assert page["count"] == 30 and len(page["results"]) == 20
    assert api.get("./traces/", {"facet": "region:eu"})["count"] == 15
    assert api.get("./traces/", {"text": "t29"})["count"] == 1
    assert "name:value" in api.get("./traces/", {"facet": "region"}, expect=400)["detail"]


def test_a_trace_is_read_with_its_tree(api, incident):
    trace = make_trace(incident)
    answer = api.get(f"./traces/{trace.pk}/")
    assert answer["trace"]["external_id"] == "trace-1" and answer["observations"] == [] and answer["sha256"] == []
    api.get("./traces/999999/", expect=404)


def test_changes_one_by_one_and_by_file(api, viewer):
    change = api.post("./changes/", CHANGE)
    assert (change["external_id"], change["canary_share"]) == ("prompt-3", 0.25)
    other = {"id": "model-1", "layer": "model", "at": "2026-03-08T09:00:00Z"}
    outcome = api.post("./changes/file/", file_of(CHANGE, other), format="multipart", expect=200)
    assert outcome == {
        "added": 1, "unchanged": 1, "conflicting": [], "notes": [], "left_out": 0, "faults": [],
    }  # fmt: skip
    rows = api.get("./changes/")["results"]
    assert [row["change"]["external_id"] for row in rows] == ["model-1", "prompt-3"]
    assert set(api.get("./reconciliation/")) == {"never_observed", "never_logged"}
    assert api.get(f"./changes/{change['id']}/")["summary"]
    viewer.delete(f"./changes/{change['id']}/", expect=403)
    api.delete(f"./changes/{change['id']}/")
    api.get(f"./changes/{change['id']}/", expect=404)


def test_bad_changes_are_one_sentence(api, viewer):
    assert "layer" in api.post("./changes/", CHANGE | {"layer": "kernel"}, expect=400)["detail"]
    assert "at" in api.post("./changes/", CHANGE | {"at": "noon"}, expect=400)["detail"]
    answer = api.post("./changes/file/", file_of(CHANGE, {"id": "x"}), format="multipart", expect=400)
    assert "2" in answer["detail"], "names the line"
    viewer.post("./changes/", CHANGE, expect=403)
    assert api.get("./changes/")["count"] == 0
    body = file_of(CHANGE, {"id": "x"}) | {"keep_good": True}
    kept = api.post("./changes/file/", body, format="multipart", expect=200)
    assert (kept["added"], kept["left_out"], kept["faults"][0]["line"]) == (1, 1, 2)


def test_prompts_are_pulled_by_a_run(api, connection):
    assert api.post("./changes/prompts/", {"connection": connection["id"]}, expect=202)["kind"] == "import_prompts"
    assert "no connection 999" in api.post("./changes/prompts/", {"connection": 999}, expect=400)["detail"]


def test_the_ledger_is_bounded(api, incident, django_assert_max_num_queries):
    for index in range(12):
        make_change(f"prompt-{index}")
    make_trace(incident)
    with django_assert_max_num_queries(10):
        assert api.get("./changes/")["count"] == 12


def test_attribution_is_refused_until_there_is_something_to_attribute(api, viewer):
    assert "signal" in api.post("./attribution/", expect=400)["detail"]
    viewer.post("./attribution/", expect=403)


def test_attribution_starts_a_run_and_findings_are_read(api, incident):
    incident.signal = "grounded"
    incident.save()
    make_trace(incident)
    assert api.post("./attribution/", expect=202)["kind"] == "attribute"
    incident.findings.create(
        number=1, method="stratified-mh-1", code_version="x", inputs_sha256="0" * 64,
        result={"headline": "One change explains the drop"},
    )  # fmt: skip
    assert api.get("./findings/")["results"][0]["headline"] == "One change explains the drop"
    assert api.get("./findings/1/")["result"] == {"headline": "One change explains the drop"}
    api.get("./findings/2/", expect=404)


def test_a_filtered_window_and_another_pull(api, viewer, connection):
    body = {
        "connection": connection["id"], "start": "2026-03-09T00:00:00Z",
        "filters": {"user": "u-1", "tags": ["beta"], "score": {"name": "grounded", "value": 0.5}},
    }  # fmt: skip
    run = api.post("./evidence/window/", body, expect=202)
    assert run["kind"] == "import_window"
    asked = Run.objects.get().payload["asked"]
    assert asked["filters"]["score"] == {"name": "grounded", "operator": "<", "value": 0.5}
    viewer.post("./evidence/window/", body, expect=403)
    assert "no connection 999" in api.post("./evidence/window/", body | {"connection": 999}, expect=400)["detail"]
    incident = Run.objects.get().incident
    Run.objects.update(state=Run.State.DONE)
    done = EvidenceImport.objects.create(
        incident=incident, kind="query", origin="x", connection_id=connection["id"], asked=asked, finished=True
    )
    api.post(f"./evidence/imports/{done.pk}/again/", {}, expect=202)
    assert Run.objects.latest("pk").payload["again"] is True
    viewer.post(f"./evidence/imports/{done.pk}/again/", {}, expect=403)


def test_connections_of_other_servers(administrator):
    body = {"kind": "mlflow", "name": "MLflow", "base_url": "https://mlflow.example.org"}
    assert (
        "Name the Phoenix project or MLflow experiment"
        in administrator.post("connections/", body, expect=400)["detail"]
    )
    made = administrator.post("connections/", body | {"project": "7"})
    assert (made["kind"], made["project"]) == ("mlflow", "7")
    changed = administrator.put(f"connections/{made['id']}/", body | {"name": "Renamed"})
    assert (changed["name"], changed["project"]) == ("Renamed", "7")
