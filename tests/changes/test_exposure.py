"""The join, told in small cases. Read from top to bottom: each test is one rule."""

import random

import numpy as np
import pytest

from postmortem.changes.exposure import (
    BASES,
    Exposure,
    exposure,
    exposure_columns,
    exposure_matrix,
    exposure_totals,
)
from postmortem.traces.cells import cells_of_traces
from tests.changes.builders import change, trace

YES_SEEN = Exposure("observed", 1.0)
NO_SEEN = Exposure("observed", 0.0)
YES = Exposure("inferred", 1.0)
NO = Exposure("inferred", 0.0)
OUTSIDE = Exposure("outside", 0.0)


class TestWhatTheTraceItselfSays:
    """A trace that records the version is believed, whatever the clock of the log says."""

    v2 = change("v2", hour=10, scope={"prompt": "answer"}, facet="prompt_version", to_version="2")
    v3 = change("v3", hour=14, scope={"prompt": "answer"}, facet="prompt_version", to_version="3")

    def test_its_version_is_the_new_one(self):
        assert exposure(self.v2, trace(prompt="answer", prompt_version="2")) == YES_SEEN

    def test_its_version_is_the_old_one(self):
        assert exposure(self.v2, trace(prompt="answer", prompt_version="1")) == NO_SEEN

    def test_a_log_that_is_hours_late_does_no_harm(self):
        assert exposure(self.v2, trace(hour=6, prompt="answer", prompt_version="2")) == YES_SEEN

    def test_a_later_version_has_the_earlier_change_inside(self):
        on_3 = trace(hour=15, prompt="answer", prompt_version="3")
        assert exposure(self.v2, on_3, log=[self.v2, self.v3]) == YES_SEEN

    def test_an_earlier_version_lacks_the_later_change(self):
        on_2 = trace(hour=15, prompt="answer", prompt_version="2")
        assert exposure(self.v3, on_2, log=[self.v2, self.v3]) == NO_SEEN

    def test_the_same_version_number_of_another_prompt_is_another_target(self):
        assert exposure(self.v2, trace(prompt="draft", prompt_version="2")) == OUTSIDE

    def test_versions_of_another_prompt_are_no_later_versions_of_this_one(self):
        draft = change("draft-9", hour=14, scope={"prompt": "draft"}, facet="prompt_version", to_version="9")
        on_9 = trace(prompt="answer", prompt_version="9")
        assert exposure(self.v2, on_9, log=[self.v2, draft]) == NO_SEEN

    def test_a_version_that_no_log_mentions_holds_none_of_the_logged_changes(self):
        assert exposure(self.v2, trace(prompt="answer", prompt_version="77"), log=[self.v2, self.v3]) == NO_SEEN


class TestRollbacks:
    """Going back to an earlier version ends what came in between."""

    v2 = change("v2", hour=8, facet="release", from_version="1", to_version="2")
    v3 = change("v3", hour=10, facet="release", from_version="2", to_version="3")
    back = change("back", hour=14, facet="release", from_version="3", to_version="2", is_rollback=True)
    v4 = change("v4", hour=18, facet="release", from_version="2", to_version="4")
    log = (v2, v3, back, v4)

    @pytest.mark.parametrize(
        ("hour", "release", "inside"),
        [
            (7, "1", set()),
            (9, "2", {"v2"}),
            (12, "3", {"v2", "v3"}),
            (15, "2", {"v2", "back"}),  # version 2 again: the bad v3 is over, the good v2 is not
            (19, "4", {"v2", "back", "v4"}),  # built on the version that was gone back to
        ],
    )
    def test_what_is_inside_each_version(self, hour, release, inside):
        on_release = trace(hour=hour, release=release)
        assert {entry.id for entry in self.log if exposure(entry, on_release, self.log).share} == inside

    def test_back_to_the_version_before_the_log_began(self):
        back = change("back", hour=14, facet="release", to_version="1")
        assert exposure(self.v2, trace(hour=15, release="1"), [self.v2, back]) == NO_SEEN
        assert exposure(back, trace(hour=15, release="1"), [self.v2, back]) == YES_SEEN
        assert exposure(back, trace(hour=7, release="1"), [self.v2, back]) == NO_SEEN

    def test_by_the_clock_when_the_trace_records_no_release(self):
        assert exposure(self.v3, trace(hour=12), self.log) == YES
        assert exposure(self.v3, trace(hour=15), self.log) == NO
        assert exposure(self.v2, trace(hour=15), self.log) == YES

    def test_a_canary_and_then_everyone_is_no_rollback(self):
        canary = change("canary", hour=8, facet="release", to_version="2")
        everyone = change("everyone", hour=12, facet="release", to_version="2")
        assert exposure(canary, trace(hour=13, release="2"), [canary, everyone]) == YES_SEEN
        assert exposure(everyone, trace(hour=9, release="2"), [canary, everyone]) == NO_SEEN


class TestScopeAndClock:
    """Without a version in the trace, the log's scope and moments are all there is."""

    def test_instant(self):
        switched = change(hour=10)
        assert exposure(switched, trace(hour=9.9)) == NO
        assert exposure(switched, trace(hour=10)) == YES

    def test_out_of_scope_whatever_the_time(self):
        assert exposure(change(scope={"region": "eu"}), trace(region="us")) == OUTSIDE

    def test_scope_of_several_values(self):
        both = change(scope={"region": ("eu", "ap")})
        assert exposure(both, trace(region="ap")) == YES
        assert exposure(both, trace(region="us")) == OUTSIDE

    def test_a_canary_is_a_share_until_it_is_everyone(self):
        canary = change(hour=10, until=20, rollout="canary", canary_share=0.15)
        assert exposure(canary, trace(hour=9)) == NO
        assert exposure(canary, trace(hour=11)) == Exposure("expected", 0.15)
        assert exposure(canary, trace(hour=20)) == YES

    def test_a_ramp_grows_linearly(self):
        ramp = change(hour=10, until=20, rollout="ramp")
        assert exposure(ramp, trace(hour=12.5)) == Exposure("expected", 0.25)
        assert exposure(ramp, trace(hour=21)) == YES

    @pytest.mark.parametrize(
        ("region", "begins"),
        [("us", 10), ("eu", 15), ("ap", 20), ("never listed", 20)],
    )
    def test_stages_begin_evenly_from_the_first_moment_to_the_last(self, region, begins):
        staged = change(hour=10, until=20, rollout="staged", stage_facet="region", stage_order=("us", "eu", "ap"))
        assert exposure(staged, trace(hour=begins - 0.1, region=region)) == NO
        assert exposure(staged, trace(hour=begins, region=region)) == YES

    def test_a_stage_that_the_trace_does_not_record_is_a_share_of_the_stages(self):
        staged = change(hour=10, until=20, rollout="staged", stage_facet="region", stage_order=("us", "eu", "ap"))
        assert exposure(staged, trace(hour=16)).share == pytest.approx(2 / 3)

    def test_a_scope_that_the_trace_does_not_record_is_a_coins_toss(self):
        assert exposure(change(hour=10, scope={"region": "eu"}), trace(hour=12)) == Exposure("expected", 0.5)
        assert exposure(change(hour=10, scope={"region": "eu"}), trace(hour=9)) == NO

    def test_a_later_version_for_everyone_completes_an_earlier_canary(self):
        canary = change("v2", hour=8, until=20, rollout="canary", canary_share=0.1, facet="release", to_version="2")
        everyone = change("v3", hour=12, facet="release", to_version="3")
        assert exposure(canary, trace(hour=11), [canary, everyone]) == Exposure("expected", 0.1)
        assert exposure(canary, trace(hour=13), [canary, everyone]) == YES


class TestTheMatrix:
    """Thousands of traces at once, with the very same answers."""

    def test_rows_are_traces_and_columns_are_changes(self):
        matrix = exposure_matrix([change("a", hour=10), change("b", hour=14)], [trace(hour=9), trace(hour=12)])
        assert matrix.shares.tolist() == [[0.0, 0.0], [1.0, 0.0]]

    def test_nothing_to_join(self):
        assert exposure_matrix([], [trace()]).shares.shape == (1, 0)
        assert exposure_matrix([change()], []).shares.shape == (0, 1)

    @pytest.mark.parametrize("seed", range(12))
    def test_same_answers_as_one_by_one(self, seed):
        changes, traces = random_log(seed, 24), random_traces(seed, 300)
        matrix = exposure_matrix(changes, traces)
        for row, one_trace in enumerate(traces):
            for column, one_change in enumerate(changes):
                expected = exposure(one_change, one_trace, changes)
                assert matrix.shares[row, column] == pytest.approx(expected.share, abs=1e-9)
                assert BASES[matrix.basis[row, column]] == expected.basis
        assert set(np.unique(matrix.basis)) == {0, 1, 2, 3}  # the data has every case

    @pytest.mark.parametrize("seed", range(12))
    def test_totals_are_the_sums_of_the_columns(self, seed):
        changes, traces = random_log(seed, 24), sorted(random_traces(seed, 300), key=lambda one: one.timestamp)
        cells = cells_of_traces(traces)
        for totals, (shares, basis) in zip(
            exposure_totals(changes, cells), exposure_columns(changes, cells), strict=True
        ):
            assert totals.expected == pytest.approx(shares.sum())
            inside, running, observed = basis != 3, shares > 0, basis == 0
            assert totals.in_scope.tolist() == np.bincount(basis[inside], minlength=4).tolist()
            assert totals.exposed.tolist() == np.bincount(basis[running], minlength=4).tolist()
            assert totals.last_observed == max(cells.seconds[observed], default=-np.inf)
            assert totals.observed_exposed == running[observed].any()


def random_log(seed, count):
    rng = random.Random(seed)
    changes = []
    for number in range(count):
        hour = round(rng.uniform(0, 20), 2)
        rollout = rng.choice(["instant", "canary", "ramp", "staged"])
        facet = rng.choice([None, "prompt_version", "prompt_version", "release"])
        scope = rng.choice(
            [{}, {"prompt": "a"}, {"prompt": ("a", "b")}, {"region": "eu"}, {"prompt": "b", "region": "us"}]
        )
        changes.append(
            change(
                f"c{number}", hour=hour, until=hour if rollout == "instant" else hour + rng.choice([0, 2, 6]),
                rollout=rollout, scope=scope, facet=facet,
                from_version=rng.choice([None, "0", "1"]) if facet else None,
                to_version=rng.choice("12345") if facet else None,
                is_rollback=rng.random() < 0.2,
                canary_share=rng.choice([None, 0.15]) if rollout == "canary" else None,
                stage_facet="region" if rollout == "staged" else None,
                stage_order=("us", "eu") if rollout == "staged" else (),
            )
        )  # fmt: skip
    return changes


def random_traces(seed, count):
    rng = random.Random(seed + 1000)
    choices = {"prompt": "abc", "region": ["us", "eu", "ap"], "prompt_version": "0123456", "release": "012345"}
    traces = []
    for number in range(count):
        facets = {name: rng.choice(values) for name, values in choices.items() if rng.random() < 0.8}
        traces.append(trace(hour=round(rng.uniform(0, 26), 2), id=f"t{number}", **facets))
    return traces
