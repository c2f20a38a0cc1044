"""Replay sets and their results, and two runs side by side."""

import json

import numpy as np
import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from postmortem.accounts.models import AuditEntry, Role
from postmortem.attribution import replays
from postmortem.attribution.comparing import compare_runs
from postmortem.attribution.models import ReplayResult
from postmortem.attribution.replay import failing_traces, outcome_of, outcome_text, read_results
from postmortem.attribution.selectors import run_facts
from postmortem.attribution.services import run_attribution
from postmortem.incidents.models import Status
from postmortem.lib.errors import UserError
from postmortem.review.models import Evidence
from postmortem.traces.models import Trace
from postmortem.traces.services import import_file, read_blob
from tests.api.client import Api
from tests.attribution.builders import DETECTED, at, world
from tests.attribution.test_findings import _traces
from tests.builders import make_change, make_incident, make_person


def lines(rows) -> bytes:
    return "\n".join(json.dumps({"id": name, "arm": arm, "good": good}) for name, arm, good in rows).encode()


def paired(mended: int, broken: int, same: int):
    """Traces run both ways: so many mended without the change, broken without it, and failing both ways."""
    plan = [(False, True)] * mended + [(True, False)] * broken + [(False, False)] * same
    rows = []
    for number, (with_it, without) in enumerate(plan):
        rows += [(f"t{number}", "with", with_it), (f"t{number}", "without", without)]
    return rows


class TestPure:
    """Picking, reading and comparing."""

    def test_failing_traces_are_spread_over_time(self):
        traces = world(harm=lambda hours, _: 0.3 * (hours > 100))
        chosen = failing_traces(traces, "success", "lower", 40)
        assert len(chosen) == 40
        assert all(trace.scores["success"] == 0.0 for trace in chosen)
        halves = np.array([trace.timestamp < at(9.5 * 12) for trace in chosen])
        assert 5 < halves.sum() < 35
        assert failing_traces(traces, "no such signal", "lower", 40) == []
        slow = failing_traces(traces, "latency", "higher", 10_000)
        assert len(slow) == pytest.approx(len(traces) / 10, rel=0.02)

    def test_a_change_that_is_the_cause_is_spoken_for(self):
        outcome = outcome_of(paired(mended=30, broken=2, same=8))
        assert outcome.direction == "for"
        assert outcome.pairs == 40
        assert outcome.difference.estimate == pytest.approx(28 / 40)
        table = [[0, 2], [30, 8]]
        assert outcome.chance == pytest.approx(mcnemar(table, exact=True).pvalue)
        assert "turn good without “prompt-7”" in outcome_text(outcome, "prompt-7")
        assert "40 traces run both ways" in outcome_text(outcome, "Prompt 7")

    def test_a_bystander_is_spoken_against_and_a_small_replay_decides_nothing(self):
        assert outcome_of(paired(mended=4, broken=4, same=192)).direction == "against"
        assert outcome_of(paired(mended=3, broken=2, same=7)).direction == "undecided"

    def test_different_traces_on_both_sides_are_compared_by_newcombe(self):
        rows = [(f"a{n}", "with", n < 3) for n in range(30)] + [(f"b{n}", "without", n < 24) for n in range(30)]
        outcome = outcome_of(rows)
        assert (outcome.pairs, outcome.chance, outcome.direction) == (0, None, "for")

    def test_the_paired_interval_covers_what_it_should(self):
        dice = np.random.default_rng(8)
        held = 0
        for _ in range(400):
            cells = dice.multinomial(60, [0.3, 0.1, 0.6])
            low, high = outcome_of(paired(*cells)).difference.interval
            held += low <= 0.2 <= high
        assert held / 400 > stats.binom.ppf(0.001, 400, 0.95) / 400

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "empty"),
            (b"{", "Line 1: this is not JSON"),
            (b"[1]", "Line 1: a result is an object"),
            (b'{"id": "t1", "arm": "maybe", "good": true}', "“arm” says"),
            (b'{"id": "t9", "arm": "with", "good": true}', "no trace t9"),
            (b'{"id": "t1", "arm": "with", "good": 0.5}', "“good” is true or false"),
            (lines([("t1", "with", True), ("t1", "with", False)]), "Line 2: trace t1 has two different results"),
            (b"\xff", "not UTF-8"),
            (b"[" * 5000, "not JSON"),
        ],
    )
    def test_wrong_results_name_their_line(self, data, said):
        with pytest.raises(UserError, match=said):
            read_results(data, {"t1"})

    def test_too_few_results_are_refused(self):
        with pytest.raises(UserError, match="at least 10"):
            outcome_of(paired(2, 2, 2))


@pytest.fixture
def reviewer(db):
    return make_person("Priya Nair", Role.FACILITATOR)


@pytest.fixture
def incident(reviewer):
    made = make_incident(
        signal="success", worse="lower", detected_at=DETECTED,
        baseline_start=at(0), baseline_end=at(168), incident_start=at(168), incident_end=at(228),
    )  # fmt: skip
    import_file(incident=made, by=reviewer, filename="traces.jsonl.gz", data=_traces())
    make_change("prompt-1", feature=made.feature, at=at(171), until=at(171))
    return made


class TestReplays:
    """Out as a set, back as evidence."""

    def test_the_set_holds_failing_traces_of_the_incident_and_is_recorded(self, incident, reviewer):
        found = replays.replay_set(incident=incident, by=reviewer, count=10, clear=False)
        assert len(found) == 10
        stored = Trace.objects.get(external_id=found[0]["id"])
        assert stored.timestamp >= at(168)
        assert found[0]["versions"] == stored.facets
        items = [json.loads(item) for item in replays.as_dataset_items(found, incident)]
        assert items[0]["sourceTraceId"] == found[0]["id"]
        assert AuditEntry.objects.filter(action="replay.export").count() == 1
        plain = make_person("Rita Reviewer", Role.REVIEWER)
        with pytest.raises(PermissionDenied):
            replays.replay_set(incident=incident, by=plain, count=10, clear=True)

    def test_results_are_kept_with_their_bytes_and_cited(self, client, incident, reviewer):
        ids = list(Trace.objects.filter(incident=incident).values_list("external_id", flat=True)[:40])
        rows = [(ids[int(name[1:])], arm, good) for name, arm, good in paired(30, 2, 8)]
        client.force_login(reviewer)
        page = reverse("replay", args=[incident.number])
        assert "No results yet." in client.get(page).content.decode()
        change = incident.feature.changes.get()
        posted = {"change": change.pk, "file": SimpleUploadedFile("results.jsonl", lines(rows))}
        done = client.post(reverse("replay-results", args=[incident.number]), posted, follow=True)
        assert "Use as evidence" in done.content.decode()
        result = ReplayResult.objects.get()
        assert read_blob(result.blob) == lines(rows)
        client.post(reverse("replay-cite", args=[incident.number, result.pk]))
        evidence = Evidence.objects.get()
        assert (evidence.direction, evidence.layer, evidence.change) == ("for", "prompt", change)
        bad = {"change": change.pk, "file": SimpleUploadedFile("results.jsonl", b"{")}
        refused = client.post(reverse("replay-results", args=[incident.number]), bad)
        assert refused.status_code == 400
        assert "Line 1" in refused.content.decode()

    def test_the_set_downloads_in_both_forms(self, client, incident, reviewer):
        client.force_login(reviewer)
        address = reverse("replay-export", args=[incident.number])
        for form, name in (("jsonl", "replay.jsonl"), ("dataset", "langfuse-dataset-items.jsonl")):
            answer = client.post(address, {"count": "5", "form": form})
            assert name in answer["Content-Disposition"]
            assert len(answer.getvalue().splitlines()) == 5

    def test_a_published_incident_takes_no_results(self, incident, reviewer):
        incident.status = Status.PUBLISHED
        incident.save()
        with pytest.raises(UserError):
            replays.add_replay_results(
                incident=incident, by=reviewer, change=incident.feature.changes.get(), data=lines(paired(30, 2, 8))
            )

    def test_the_api_does_the_same(self, incident, reviewer):
        api = Api(reviewer, incident.number)
        assert len(api.get("./replay/?count=4")) == 4
        ids = list(Trace.objects.filter(incident=incident).values_list("external_id", flat=True)[:40])
        rows = [(ids[int(name[1:])], arm, good) for name, arm, good in paired(1, 1, 38)]
        body = {"change": incident.feature.changes.get().pk, "file": SimpleUploadedFile("r.jsonl", lines(rows))}
        made = api.ask("post", "./replay/results/", body, expect=201, format="multipart")
        assert made["result"]["pairs"] == 40
        assert api.get("./replay/results/")["count"] == 1


class TestComparison:
    """A later run that disagrees says what changed."""

    def test_the_same_inputs_agree_and_new_changes_are_named(self, client, incident, reviewer):
        first = run_attribution(incident=incident, by=reviewer)
        again = run_attribution(incident=incident, by=reviewer)
        same = compare_runs(run_facts(first), run_facts(again))
        assert not same.disagrees
        assert same.reasons == ()
        make_change("model-9", feature=incident.feature, layer="model", at=at(172), until=at(172))
        third = run_attribution(incident=incident, by=reviewer)
        moved = compare_runs(run_facts(again), run_facts(third))
        assert "1 change added to the log: model-9." in moved.reasons
        client.force_login(reviewer)
        page = client.get(reverse("runs-compare", args=[incident.number]), {"a": 1, "b": 3}).content.decode()
        assert "1 change added to the log: model-9." in page
        told = Api(reviewer, incident.number).get("./findings/2/against/3/")
        assert told["reasons"] == list(moved.reasons)
        assert client.get(reverse("runs-compare", args=[make_incident("INC-2026-0002").number])).status_code == 200

    def test_a_verdict_that_moved_is_a_disagreement(self, incident, reviewer):
        facts = run_facts(run_attribution(incident=incident, by=reviewer))
        other = json.loads(json.dumps(facts))
        other["result"]["layers"][0]["verdict"] = "ruled_in"
        other["code_version"] = "another"
        found = compare_runs(facts, other)
        assert found.disagrees
        assert found.verdicts[0][2] == "ruled_in"
        assert found.reasons == ("The method's code differs.",)
        other["parameters"]["retirements"] = "another day"
        said = ("The calendar of model retirements has changed.", "The method's code differs.")
        assert compare_runs(facts, other).reasons == said
