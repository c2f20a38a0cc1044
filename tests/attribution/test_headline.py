"""The headline and the sentences below it: what is said, and what is not."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from postmortem.attribution.explain import Explained
from postmortem.attribution.headline import Sets, headline, lede
from postmortem.attribution.shapes import (
    CredibleSet,
    Estimate,
    Hypothesis,
    HypothesisKind,
    Level,
    SignalFacts,
    WindowLevel,
)
from postmortem.attribution.windows import Windows
from postmortem.attribution.wording import signal_facts

SIGNAL = signal_facts("success", "lower", binary=True)
FELL, FLAT = Estimate(-0.1, (-0.12, -0.08)), Estimate(0.004, (-0.02, 0.03))
NOBODY = np.zeros(0, dtype=bool)
START = datetime(2026, 3, 2, tzinfo=UTC)


def one(title: str, probability: float, kind: HypothesisKind = "change") -> Hypothesis:
    return Hypothesis(kind, (title,) if kind == "change" else (), None, probability, None, title, f"{title}.")


def held(*ids: str, beside: tuple[HypothesisKind, ...] = ()) -> CredibleSet:
    return CredibleSet(ids, beside, 0.9, "")


def explained(*hypotheses: Hypothesis) -> Explained:
    return Explained(hypotheses, {}, None)


def windows(drop: Estimate) -> Windows:
    before, after = (
        WindowLevel(START + timedelta(days=day), START + timedelta(days=day + 1), Level(100, mean, (mean, mean)))
        for day, mean in ((0, 0.8), (1, 0.8 + drop.estimate))
    )
    return Windows(before, after, NOBODY, NOBODY, drop)


@pytest.mark.parametrize(
    ("drop", "hypotheses", "sets", "said"),
    [
        (FELL, [one("A", 0.97), one("B", 0.02)], (held("A"),), "One change explains the drop: A, P 0.97"),
        (FLAT, [one("A", 0.97), one("B", 0.02)], (held("A"),), "One change explains what got worse: A, P 0.97"),
        (
            FELL, [one("A", 0.97), one("B", 0.9)], (held("A"), held("B")),
            "Two changes explain the drop: A, P 0.97; B, P 0.90",
        ),
        (FELL, [one("A", 0.6), one("B", 0.3)], (held("A", "B"),), "One change is the leading suspect: A, P 0.60"),
        (FELL, [one("A", 0.51), one("B", 0.48)], (held("A", "B"),), "Two changes cannot be told apart: A; B"),
        (FELL, [one("A", 0.4), one("B", 0.38)], (held("A", "B"),), "Two changes cannot be told apart: A; B"),
        (FELL, [one("A", 0.3), one("Nothing", 0.2, "none")], (), "The data cannot tell what caused the drop"),
        (FLAT, [one("A", 0.3), one("Nothing", 0.2, "none")], (), "The data cannot tell whether any change did harm"),
        (FELL, [one("A step", 0.95, "unlogged")], (), "No logged change explains the drop: a step, P 0.95"),
        (FLAT, [one("Nothing", 0.7, "none")], (), "Probably an ordinary swing, P 0.70"),
    ],
)  # fmt: skip
def test_the_headline(drop: Estimate, hypotheses: list[Hypothesis], sets: Sets, said: str) -> None:
    assert headline(explained(*hypotheses), sets, drop, SIGNAL) == said


def sentences(drop: Estimate, sets: Sets, *hypotheses: Hypothesis, signal: SignalFacts = SIGNAL) -> str:
    """The lede after its first sentence, which says the levels."""
    return lede(explained(*hypotheses), sets, windows(drop), signal).partition(" points (")[2].partition("). ")[2]


def test_a_second_cause_is_no_alternative() -> None:
    found = sentences(FELL, (held("A"),), one("A", 0.99), one("A step", 0.57, "unlogged"), one("B", 0.001))
    assert found == (
        "Besides it, a step (P 0.57) probably did harm too. "
        "The credible set holds this change alone, and no other explanation reaches P 0.01."
    )  # fmt: skip


def test_several_that_may_be_the_second_cause_share_a_sentence() -> None:
    found = sentences(FELL, (held("A"),), one("A", 0.99), one("B", 0.27), one("C", 0.16), one("D", 0.02))
    assert found.startswith("Besides it, something more perhaps did harm: B (P 0.27) or C (P 0.16). ")
    assert found.endswith("the next best explanation is D (P 0.02).")


def test_members_of_the_same_set_are_not_the_next_best() -> None:
    found = sentences(FELL, (held("A", "B"),), one("A", 0.6), one("B", 0.3), one("C", 0.04))
    assert found == "The credible set holds 2 changes, and the next best explanation is C (P 0.04)."


def test_a_set_names_the_rivals_in_it_that_are_no_changes() -> None:
    own = held("A", beside=("unlogged",))
    found = sentences(FELL, (own,), one("A", 0.55), one("A step", 0.4, "unlogged"), one("B", 0.03))
    assert found == (
        "The credible set holds this change and a step that no log mentions, "
        "and the next best explanation is B (P 0.03)."
    )  # fmt: skip


def test_changes_that_a_step_in_no_log_rivals_are_not_called_twins() -> None:
    sets = (held("A", "B", beside=("unlogged",)),)
    hypotheses = [one("A", 0.35), one("B", 0.3), one("A step", 0.25, "unlogged")]
    assert headline(explained(*hypotheses), sets, FELL, SIGNAL) == "The data cannot tell what caused the drop"


def test_two_sure_causes_have_a_set_each() -> None:
    found = sentences(FELL, (held("A"), held("B")), one("A", 0.99), one("B", 0.95), one("C", 0.04))
    assert found == "Two credible sets hold one change each, and the next best explanation is C (P 0.04)."


def test_what_is_open_names_the_two_best() -> None:
    found = sentences(FELL, (), one("A", 0.3), one("No cause", 0.2, "none"))
    assert found == "The best explanation is A (P 0.30), the next no cause (P 0.20)."


def test_a_movement_within_chance_is_called_so() -> None:
    found = lede(explained(one("A", 0.95)), (held("A"),), windows(FLAT), SIGNAL)
    assert "+0.4 points (−2.0 to 3.0), no clear drop over all traffic." in found
    slower = signal_facts("latency", "higher", binary=False)
    assert "0.00 s (0.00 to 0.03), no clear rise" in lede(
        explained(one("A", 0.95)), (held("A"),), windows(Estimate(0.004, (-0.002, 0.03))), slower
    )
