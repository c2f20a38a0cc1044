"""The symptom finder finds what moved and where, and little that did not."""

from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from postmortem.attribution.labels import label_levels
from postmortem.attribution.symptoms import adjusted, find_symptoms
from postmortem.lib.clock import parse_moment
from postmortem.traces.cells import cells_of_records
from postmortem.traces.records import TraceRecord

START = parse_moment("2026-03-02T00:00:00Z")
BASELINE, INCIDENT = (
    (START.timestamp(), START.timestamp() + 86400),
    (START.timestamp() + 86400, START.timestamp() + 172800),
)


def records(count=4000, *, harm=0.3, seed=1):
    """Two days; `grounded` falls on day two where region is eu; latency, and ten facets of noise, do not move."""
    chance = np.random.default_rng(seed)
    made = []
    for place in range(count):
        at = START + timedelta(seconds=172800 * place / count)
        region = ["eu", "us", "asia"][chance.integers(3)]
        late = place >= count // 2
        rate = 0.9 - (harm if late and region == "eu" else 0)
        facets = {"region": region, "release": "b" if late and place % 2 else "a"}
        facets |= {f"noise{n}": str(chance.integers(8)) for n in range(10)}
        scores = {"grounded": float(chance.random() < rate)}
        made.append(TraceRecord(f"t{place}", at, facets, scores, latency_seconds=float(chance.lognormal())))
    return made


def symptoms(traces, *signals):
    return find_symptoms({name: cells_of_records(traces, name, edges=INCIDENT) for name in signals}, BASELINE, INCIDENT)


def test_it_finds_the_signal_and_the_value():
    found = symptoms(records(), "grounded", "latency", "error")
    assert [move.signal for move in found.signals if move.moved] == ["grounded"]
    move = found.signals[0]
    assert move.worse == "lower" and move.unit == "share"
    assert -0.15 < move.difference.estimate < -0.06 and move.difference.interval[1] < 0
    best = found.facets["grounded"][0]
    assert (best.facet, best.value) == ("region", "eu")
    assert best.before is not None and best.before.mean > 0.85 and best.after.mean < 0.7
    assert best.contrast.interval[0] < -0.3 < best.contrast.interval[1]
    assert all(look.facet in {"region"} for look in found.facets["grounded"])
    assert found.looks > 80


def test_nothing_moved_means_nothing_found():
    """Over 20 worlds without any effect and 90 looks in each, false finds stay rare."""
    false = sum(bool(symptoms(records(800, harm=0, seed=seed), "grounded").facets["grounded"]) for seed in range(20))
    assert false <= 3


def test_a_value_that_is_new_is_compared_within_the_incident():
    traces = [
        TraceRecord(
            f"t{place}", START + timedelta(minutes=place), {"release": "b" if place >= 1440 and place % 2 else "a"},
            {"ok": float(not (place >= 1440 and place % 2 and place % 3))},
        )
        for place in range(2880)
    ]  # fmt: skip
    found = symptoms(traces, "ok").facets["ok"]
    new = next(look for look in found if look.value == "b")
    assert new.before is None and new.rest_after.mean == 1.0 and new.share == 0.5


def test_few_traces_say_nothing():
    assert symptoms(records(16), "grounded").signals == []
    assert find_symptoms({}, BASELINE, INCIDENT).looks == 0


def test_the_correction_is_that_of_scipy():
    p = np.random.default_rng(3).random(50) ** 3
    np.testing.assert_allclose(adjusted(list(p)), false_discovery_control(p))
    assert adjusted([]).size == 0


def test_labels_have_intervals():
    levels = label_levels({"baseline": (50, 5), "incident": (50, 25), "empty": (0, 0)})
    assert set(levels.windows) == {"baseline", "incident"}
    assert levels.windows["incident"].mean == 0.5
    assert levels.difference.estimate == pytest.approx(0.4) and levels.difference.interval[0] > 0.2
    assert label_levels({"all": (3, 1)}).difference is None
