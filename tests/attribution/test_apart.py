"""Credible sets: which explanations are in, what share they hold, and the sentence that says so."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from postmortem.attribution.apart import credible_sets
from postmortem.attribution.fit import Fit
from postmortem.attribution.shapes import CredibleSet
from postmortem.lib.layers import Layer
from tests.attribution.builders import change


def sets(*effects: tuple[float, ...]) -> tuple[CredibleSet, ...]:
    """Of each effect the shares of A, B, C, an unlogged step, and no effect at all."""
    logged = [change(name, Layer.PROMPT, 172) for name in "ABC"]
    rows = np.array(effects)
    fit = SimpleNamespace(case=SimpleNamespace(changes=logged), effects=rows[:, :-1], effect_nulls=rows[:, -1])
    return credible_sets(cast(Fit, fit))


@pytest.mark.parametrize(
    ("shares", "changes", "beside", "share"),
    [
        ((0.97, 0.01, 0.01, 0.005, 0.005), ("A",), (), 0.97),
        ((0.10, 0.78, 0.06, 0.03, 0.03), ("B", "A"), (), 0.88),
        ((0.45, 0.45, 0.05, 0.03, 0.02), ("A", "B"), (), 0.90),
        ((0.03, 0.47, 0.03, 0.43, 0.04), ("B",), ("unlogged",), 0.90),
        ((0.40, 0.03, 0.04, 0.20, 0.33), ("A",), ("none", "unlogged"), 0.93),
        ((0.82, 0.12, 0.02, 0.02, 0.02), ("A",), (), 0.82),  # nearer 0.85 than with B
    ],
)
def test_the_fewest_whose_shares_come_nearest(
    shares: tuple[float, ...], changes: tuple[str, ...], beside: tuple[str, ...], share: float
) -> None:
    (found,) = sets(shares)
    assert (found.changes, found.beside) == (changes, beside)
    assert found.share == pytest.approx(share)


def test_a_set_without_a_logged_change_is_not_given() -> None:
    assert sets((0.01, 0.01, 0.01, 0.95, 0.02)) == ()


def test_a_further_harm_gets_a_set_of_its_own_when_it_is_likely() -> None:
    assert [one.changes for one in sets((0.97, 0.01, 0, 0.01, 0.01), (0.01, 0.6, 0, 0, 0.39))] == [("A",), ("B",)]
    assert [one.changes for one in sets((0.97, 0.01, 0, 0.01, 0.01), (0.01, 0.4, 0, 0, 0.59))] == [("A",)]
    assert [one.changes for one in sets((0.97, 0.01, 0, 0.01, 0.01), (0.97, 0, 0, 0, 0.03))] == [("A",)]


def test_the_sentences_say_what_is_in_and_how_much_it_holds() -> None:
    alone, shared = sets((0.97, 0.01, 0, 0.01, 0.01), (0, 0.5, 0.1, 0, 0.4))
    assert alone.sentence == "“A” alone holds P 0.97; these traces tell it from all others."
    assert shared.sentence == (
        "A second harm: these traces cannot tell apart “B” and no second harm; together they hold P 0.90."
    )
    (three,) = sets((0.3, 0.3, 0.25, 0.1, 0.05))
    assert three.sentence == "These traces cannot tell apart “A”, “B” and “C”; together they hold P 0.85."
    (leading,) = sets((0.82, 0.12, 0.02, 0.02, 0.02))
    assert leading.sentence == "“A” alone holds P 0.82; its rivals share the rest."
