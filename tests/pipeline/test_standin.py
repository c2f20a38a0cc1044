"""The whole way from a pasted link to a finding, against a server that answers as Langfuse does."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from fixtures.standin import awkward
from fixtures.standin.faults import breaks_half_way, rate_limited
from fixtures.standin.server import StandIn
from postmortem.accounts.models import Role
from postmortem.attribution.models import Finding
from postmortem.attribution.selectors import finding_is_stale
from postmortem.changes.models import Change
from postmortem.changes.selectors import ledger, read_join
from postmortem.changes.services import import_changes
from postmortem.incidents.services import create_incident, update_incident
from postmortem.lib.clock import format_moment, parse_moment, utc_now
from postmortem.lib.errors import UserError
from postmortem.pipeline.metric_case import metric_case
from postmortem.pipeline.models import Run
from postmortem.pipeline.services import start_attribution, start_link_import, start_prompt_pull, start_pull_again
from postmortem.traces.connections import create_connection
from postmortem.traces.grouped import _cells, cells_of_grouped, latest_grouped
from postmortem.traces.models import Connection, GroupedCells
from postmortem.traces.selectors import evidence_counts
from tests.builders import make_person
from tests.pipeline.builders import work_once

pytestmark = pytest.mark.django_db
BEGAN = parse_moment("2026-03-09T12:00:00Z")


@pytest.fixture
def story(tmp_path):
    """600 traces over two days; from noon of the second, version 2 of the prompt fails half of them."""
    lines = []
    for number in range(600):
        at = parse_moment("2026-03-08T12:00:00Z") + timedelta(seconds=number * 288)
        new = at >= BEGAN
        lines.append(
            {
                "id": f"{number:032x}", "timestamp": format_moment(at),
                "facets": {"prompt": "answer", "prompt_version": "2" if new else "1", "region": "eu"},
                "input_tokens": 100, "scores": {"success": 0.0 if new and number % 2 else 1.0},
            }
        )  # fmt: skip
    (tmp_path / "traces.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


@pytest.fixture
def admin():
    return make_person("Ada Admin", Role.ADMINISTRATOR)


def connect(server, admin):
    return create_connection(
        by=admin, name="Stand-in", base_url=server.base_url, public_key=server.public_key, secret_key=server.secret_key
    )


def finish(run):
    while run.state in (Run.State.QUEUED, Run.State.RUNNING):
        Run.objects.filter(pk=run.pk).update(not_before=utc_now())
        work_once()
        run.refresh_from_db()
    return run


@pytest.mark.parametrize("mode", ["v4", "v3", "dual"])
def test_from_a_link_to_a_finding(mode, story, admin):
    incident = create_incident(
        by=admin, title="Answers fail", severity="sev2", feature_name="Answers", signal="success", worse="lower"
    )
    update_incident(incident=incident, by=admin, revision=incident.revision, onset_at=BEGAN)
    with StandIn(mode=mode, stories=[story], with_awkward=False, sleep_scale=0) as server:
        connection = connect(server, admin)
        run = finish(start_link_import(incident=incident, by=admin, link=server.link(f"{400:032x}")))
        assert run.state == Run.State.DONE, run.message
        prompts = finish(start_prompt_pull(incident=incident, by=admin, connection=connection))
        assert prompts.state == Run.State.DONE, prompts.message
    assert evidence_counts(incident).traces == 600
    assert evidence_counts(incident).anchors == 1
    assert Change.objects.filter(source=Change.Source.LANGFUSE).count() == 2
    log = {"id": "region-eu", "layer": "infrastructure", "at": "2026-03-09T02:00:00Z"}
    import_changes(feature=incident.feature, by=admin, filename="log.jsonl", data=json.dumps(log).encode())
    rows = {row.change.external_id: row for row in ledger(incident)}
    assert (rows["prompt:answer:2"].exposed_count, rows["prompt:answer:2"].state) == (300, "observed")
    run = finish(start_attribution(incident=incident, by=admin))
    assert run.state == Run.State.DONE, run.message
    finding = incident.findings.get()
    assert run.message.startswith("Finding 1: ")
    assert finding.result["hypotheses"][0]["changes"] == ["prompt:answer:2"]


@pytest.mark.parametrize("fault", [breaks_half_way(skip=2, times=6), rate_limited(retry_after=1, times=8, skip=6)])
def test_a_window_that_breaks_half_way_comes_whole_in_the_end(fault, story, admin):
    incident = create_incident(by=admin, title="Answers fail", severity="sev2", feature_name="Answers")
    with StandIn(mode="v4", stories=[story], with_awkward=False, sleep_scale=0) as server:
        connect(server, admin)
        server.faults.append(fault)
        run = finish(start_link_import(incident=incident, by=admin, link=server.link(f"{599:032x}")))
    assert run.state == Run.State.DONE, run.message
    assert evidence_counts(incident).traces == 600


def test_an_awkward_trace_keeps_every_observation(admin):
    incident = create_incident(by=admin, title="Orphans", severity="sev3", feature_name="Answers")
    with StandIn(mode="v4", sleep_scale=0) as server:
        connect(server, admin)
        run = finish(start_link_import(incident=incident, by=admin, link=server.link(awkward.CUSTOM_ID)))
    assert run.state == Run.State.DONE, run.message
    assert incident.traces.get(is_anchor=True).external_id == awkward.CUSTOM_ID


def test_keys_of_another_project_fail_in_one_sentence(admin):
    incident = create_incident(by=admin, title="Other", severity="sev3", feature_name="Answers")
    with StandIn(mode="v4", sleep_scale=0) as server:
        connect(server, admin)
        link = server.link(awkward.ORPHANS).replace(f"/project/{server.project_id}/", "/project/another/")
        run = finish(start_link_import(incident=incident, by=admin, link=link))
    assert run.state == Run.State.FAILED
    assert "another" in run.message
    assert "\n" not in run.message
    assert not incident.traces.exists()


def test_a_session_link_then_only_what_is_new(story, admin):
    rows = [json.loads(line) for line in (story / "traces.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        row["session_id"] = f"s-{number // 4}"
    (story / "traces.jsonl").write_text("\n".join(map(json.dumps, rows)))
    incident = create_incident(by=admin, title="Answers fail", severity="sev2", feature_name="Answers")
    update_incident(incident=incident, by=admin, revision=incident.revision, onset_at=BEGAN)
    with StandIn(mode="v4", stories=[story]) as server:
        connect(server, admin)
        link = f"{server.base_url}/project/{server.project_id}/sessions/s-100"
        run = finish(start_link_import(incident=incident, by=admin, link=link))
        assert run.state == Run.State.DONE, run.message
        assert run.message.startswith("The session's 4 traces are stored. ")
        anchors = incident.traces.filter(is_anchor=True).values_list("external_id", flat=True)
        assert list(anchors) == [f"{number:032x}" for number in range(400, 404)]
        window = incident.evidence_imports.get(kind="window")
        before = evidence_counts(incident)

        run = finish(start_pull_again(incident=incident, by=admin, evidence_import=window))
        assert run.message.startswith("Nothing new: all traces “answer” in production are here")

        # a judge scores two traces that are here, one of them anew
        late = {"timestamp": format_moment(utc_now()), "value": 0.25}
        first, second = (server.world.scores_of(identifier)[0] for identifier in list(anchors)[:2])
        server.world.add_scores([first | late | {"id": "late-1", "name": "judged"}, second | late])
        run = finish(start_pull_again(incident=incident, by=admin, evidence_import=window))
        assert run.message == "No new traces “answer” in production, but 2 scores that traces here got since."
        assert evidence_counts(incident).scores == before.scores + 1
        judged = incident.traces.get(external_id=anchors[0]).scores.get(name="judged")
        assert judged.value == 0.25
        assert incident.traces.get(external_id=anchors[1]).scores.get(external_id=second["id"]).value == 0.25
        assert incident.traces.get(external_id=anchors[0]).facets["prompt_version"] == "2"

        run = finish(start_pull_again(incident=incident, by=admin, evidence_import=window))
        assert run.message.startswith("Nothing new")
    assert incident.evidence_imports.count() == 3


def test_a_window_is_attributed_without_importing_it(story, admin, client):
    """The server groups; the answer is that of the imported traces."""
    rows = [json.loads(line) for line in (story / "traces.jsonl").read_text().splitlines()]
    for row in rows:
        row["facets"]["release"] = "4.2" if row["facets"].pop("prompt_version") == "2" else "4.1"
    (story / "traces.jsonl").write_text("\n".join(map(json.dumps, rows)))
    incident = create_incident(
        by=admin, title="Answers fail", severity="sev2", feature_name="Answers", signal="success", worse="lower"
    )
    update_incident(
        incident=incident, by=admin, revision=incident.revision, trace_name="answer", environment="production",
        baseline_start=BEGAN - timedelta(days=1), baseline_end=BEGAN, incident_start=BEGAN,
        incident_end=BEGAN + timedelta(days=1),
    )  # fmt: skip
    log = [
        {"id": "release-4.2", "layer": "infrastructure", "at": format_moment(BEGAN), "facet": "release",
         "from_version": "4.1", "to_version": "4.2"},
        {"id": "release-4.1", "layer": "infrastructure", "at": "2026-03-01T02:00:00Z", "facet": "release",
         "to_version": "4.1"},
    ]  # fmt: skip
    data = "\n".join(map(json.dumps, log)).encode()
    import_changes(feature=incident.feature, by=admin, filename="log.jsonl", data=data)
    with StandIn(mode="v4", stories=[story], with_awkward=False) as server:
        connection = connect(server, admin)
        said = StringIO()
        call_command("attribute", incident.number, "--through", connection.name, stdout=said)
        asked = [request for request in server.requests if "v2/observations" in request and "filter" in request]
        with pytest.raises(CommandError, match="no connection named Nowhere"):
            call_command("attribute", incident.number, "--through", "Nowhere")
        client.force_login(admin)
        page = reverse("attribution", args=[incident.number])
        assert "A window too large to import?" in client.get(page).content.decode()
        client.post(f"{page}through/", {"connection": connection.pk, "granularity": "hour"})
        run = finish(incident.runs.get())
        assert not asked and not incident.traces.exists()
        said_again = StringIO()
        call_command("attribute", incident.number, "--through", connection.name, "--by", admin.email, stdout=said_again)
        connection.kind = Connection.Kind.PHOENIX
        with pytest.raises(UserError, match="Only Langfuse groups traces"):
            metric_case(incident, connection)
    assert run.state == "done" and run.message.startswith("Finding 1, from ")
    finding, later = Finding.objects.order_by("number")
    assert later.result["hypotheses"] == json.loads(said_again.getvalue())["hypotheses"]
    assert finding.parameters["through"]["granularity"] == "hour" and finding.result["patterns"] == []
    incident.refresh_from_db()
    assert not finding_is_stale(incident, finding)
    shown = client.get(page).content.decode()
    assert "none of them is imported for it" in shown and "moved after this run" not in shown
    ledger = client.get(reverse("changes", args=[incident.number])).content.decode()
    assert f"that {connection.name} grouped on" in ledger
    shares = {row.change.external_id: row for row in read_join(incident, latest_grouped(incident)).ledger}
    assert shares["release-4.2"].basis == "observed"
    assert shares["release-4.2"].exposed_count == sum(row["facets"]["release"] == "4.2" for row in rows)
    rest = client.get(f"/api/incidents/{incident.number}/changes/?grouped=true").json()["results"]
    assert {row["change"]["external_id"]: row["exposed_count"] for row in rest} == {
        name: row.exposed_count for name, row in shares.items()
    }
    asked = {"connection": connection.pk}
    assert client.post(f"/api/incidents/{incident.number}/attribution/", asked).status_code == 202
    add = [{"id": "late", "layer": "model", "at": format_moment(BEGAN), "summary": "Late"}]
    import_changes(feature=incident.feature, by=admin, filename="l.jsonl", data=json.dumps(add[0]).encode())
    assert finding_is_stale(incident, finding)
    GroupedCells.objects.update(compressed=b"x")
    _cells.cache_clear()
    with pytest.raises(UserError, match="do not match their SHA-256"):
        cells_of_grouped(latest_grouped(incident))
    result = json.loads(said.getvalue())
    first = result["hypotheses"][0]
    assert first["changes"] == ["release-4.2"]
    assert first["probability"] > 0.9
    assert first["effect"]["estimate"] == pytest.approx(-0.5, abs=0.1)
