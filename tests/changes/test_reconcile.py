"""The join read the other way: each test is one thing that a log and the traces can disagree about."""

import random

from postmortem.changes.reconcile import reconcile
from postmortem.lib.layers import Layer
from tests.changes.builders import at, change, trace


def day(count=240, **facets_by_hour):
    """One trace every 6 minutes; each facet is a value or a function of the hour."""
    traces = []
    for number in range(count):
        hour = number / 10
        facets = {name: rule(hour) if callable(rule) else rule for name, rule in facets_by_hour.items()}
        traces.append(trace(hour, id=f"t{number}", **{name: value for name, value in facets.items() if value}))
    return traces


def switch(hour, before, after):
    return lambda now: after if now >= hour else before


class TestLoggedButNeverObserved:
    def test_a_version_that_no_trace_carries(self):
        never_shipped = change("p7", hour=8, scope={"prompt": "answer"}, facet="prompt_version", to_version="7")
        (missing,) = reconcile([never_shipped], day(prompt="answer", prompt_version="6")).never_observed
        assert missing.change_id == "p7"
        assert missing.layer is Layer.PROMPT
        assert missing.reason == "No trace runs on prompt_version 7 of prompt = answer or on a later one that holds it."

    def test_a_version_that_lives_on_in_a_later_one_was_observed(self):
        log = [
            change("p7", hour=-30, facet="prompt_version", to_version="7"),
            change("p8", hour=-20, facet="prompt_version", to_version="8"),
        ]
        assert reconcile(log, day(prompt_version="8")).never_observed == []

    def test_a_scope_that_no_trace_is_in(self):
        (missing,) = reconcile([change(scope={"region": ("ap", "sa")})], day(region="eu")).never_observed
        assert missing.reason == "No trace is in its scope (region = ap or sa)."

    def test_a_change_after_the_last_trace(self):
        (missing,) = reconcile([change(hour=30)], day()).never_observed
        assert missing.reason == "It came after the last trace compared (9 Mar 2026 23:54 UTC)."

    def test_a_change_that_the_clock_says_reached_traces_was_observed(self):
        assert reconcile([change(hour=8)], day()).never_observed == []

    def test_traces_that_record_the_version_outvote_those_that_do_not(self):
        never_shipped = change("r7", hour=8, facet="release", to_version="7")
        traces = [*day(release="6"), trace(12, id="without a release")]
        assert [m.change_id for m in reconcile([never_shipped], traces).never_observed] == ["r7"]


class TestObservedButNeverLogged:
    def test_a_silent_provider_update(self):
        traces = day(model="large", model_served=switch(15, "large-0301", "large-0315"))
        (move,) = reconcile([], traces).never_logged
        assert (move.facet, move.layer) == ("model_served", Layer.MODEL)
        assert (move.from_version, move.to_version) == ("large-0301", "large-0315")
        assert (move.at, move.trace_count, move.scope) == (at(15), 90, {"model": "large"})

    def test_a_move_that_the_log_mentions_however_late_is_no_news(self):
        logged = change(hour=20, layer=Layer.MODEL, facet="model_version", to_version="v2", scope={"model": "large"})
        assert reconcile([logged], day(model="large", model_version=switch(15, "v1", "v2"))).never_logged == []

    def test_a_log_entry_for_another_model_does_not_cover_it(self):
        logged = change(hour=15, layer=Layer.MODEL, facet="model_version", to_version="v2", scope={"model": "small"})
        (move,) = reconcile([logged], day(model="large", model_version=switch(15, "v1", "v2"))).never_logged
        assert move.scope == {"model": "large"}

    def test_each_index_has_versions_of_its_own(self):
        traces = day(index="kb", index_version=switch(12, "1", "2")) + day(index="tickets", index_version="7")
        (move,) = reconcile([], traces).never_logged
        assert (move.layer, move.scope) == (Layer.RETRIEVAL, {"index": "kb"})

    def test_a_custom_version_facet_is_known_from_the_log(self):
        logged = change(hour=2, layer=Layer.INFRASTRUCTURE, facet="flags", to_version="a")
        (move,) = reconcile([logged], day(flags=switch(12, "a", "b"))).never_logged
        assert (move.facet, move.layer, move.to_version) == ("flags", Layer.INFRASTRUCTURE, "b")


class TestNoFalseAlarm:
    def test_versions_there_from_the_start(self):
        rng = random.Random(1)
        assert reconcile([], day(release=lambda _: rng.choice("12"))).never_logged == []

    def test_a_rare_version_that_chance_showed_late(self):
        assert (
            reconcile([], day(release=lambda hour: "rare" if hour in (9, 13, 17, 20, 22) else "1")).never_logged == []
        )

    def test_a_version_seen_a_handful_of_times_at_the_very_end(self):
        assert reconcile([], day(release=switch(23.7, "1", "2"))).never_logged == []

    def test_a_new_region_that_came_with_its_own_release(self):
        old = day(region="eu", release="eu-1")
        new = [t for t in day(region="us", release="us-1") if t.timestamp >= at(12)]
        assert reconcile([], old + new).never_logged == []

    def test_a_new_prompt_that_came_with_its_own_version(self):
        traces = day(prompt=switch(12, "answer", "draft"), prompt_version=switch(12, "8", "1"))
        assert reconcile([], traces).never_logged == []

    def test_no_traces(self):
        assert reconcile([change()], []).never_observed == []

    def test_many_versions_at_random_over_many_days(self):
        for seed in range(20):
            rng = random.Random(seed)
            versions = rng.choices("abcdef", weights=[60, 20, 10, 5, 3, 2], k=240)
            traces = [trace(number / 10, id=str(number), release=version) for number, version in enumerate(versions)]
            assert reconcile([], traces).never_logged == []
