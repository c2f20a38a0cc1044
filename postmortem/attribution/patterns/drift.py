"""Pattern 5, conflated drift: model, prompt, corpus and inputs drift at once and get one name. Pure.

Oaxaca 1973 and Blinder 1973: regress the signal on "runs on a version that came after the baseline" of each layer and
on the kind of input; a layer's part of the drop is its coefficient times the rise of its share, the inputs' part is
the Kitagawa mix part. White's (1980) heteroskedasticity-consistent variance gives the intervals.
"""

from typing import Any

import numpy as np

from postmortem.attribution.intervals import Z95
from postmortem.attribution.patterns.compare import FEWEST, Split, compare, kitagawa
from postmortem.attribution.patterns.shapes import (
    Floats,
    Masks,
    Number,
    PatternFinding,
    PatternInput,
    Picture,
    PictureRow,
    SuggestedAction,
    Words,
)
from postmortem.attribution.shapes import Estimate, Level
from postmortem.attribution.wording import difference_text
from postmortem.changes.reconcile import VERSION_FACETS
from postmortem.lib.layers import Layer

NAME, TITLE = "conflated_drift", "Conflated drift"
_INPUTS = ("prompt", "segment", "intent", "language", "region")
_CALLED = {"retrieval": "corpus"}


def detect(given: PatternInput) -> PatternFinding:
    """Split the drop between the layers and the inputs; match when the part that the team named is not the largest."""
    moved = {layer: new for layer in Layer if (new := _runs_on_new(given, layer)) is not None}
    rows = (given.before | given.during) & np.isfinite(given.values)
    if not moved or min((rows & given.before).sum(), (rows & given.during).sum()) < FEWEST:
        return _answer(
            given,
            "not_enough_data",
            "No version moved in the traces between the two windows, or they are too few.",
            missing=("the version tuple of every trace: prompt, model, index and release versions",),
        )
    strata = _strata(given)
    split = kitagawa(given, strata, given.before & rows, given.during & rows)
    parts = _parts(given, moved, strata, rows)
    if split is None or parts is None:
        return _answer(
            given,
            "not_enough_data",
            "The layers moved together, so their parts cannot be told apart.",
            missing=("a canary or a staged rollout of one layer at a time",),
        )
    named: dict[str, Estimate] = {layer.value: part for layer, part in parts.items()} | {"inputs": split.mix}
    count = int(rows.sum())
    numbers = tuple(
        Number(
            f"With the {_called(name)}", one.estimate, one.interval, count, given.facts.unit, "part of the harm",
            signed=True,
        )
        for name, one in named.items()
    )  # fmt: skip
    common: dict[str, Any] = {"numbers": numbers, "picture": _picture(given, named, rows)}
    largest = max(named, key=lambda name: named[name].estimate)
    sure = named[largest].interval[0] > 0
    sentence = (
        "Of the harm, "
        + ", ".join(f"{difference_text(one, given.facts)} go with the {_called(name)}" for name, one in named.items())
        + "."
    )
    if given.suspected is None:
        return _answer(
            given,
            "not_enough_data",
            sentence + " Nobody wrote down which layer the team named first.",
            missing=("the layer that the team suspects first, before the evidence is read",),
            **common,
        )
    if sure and largest != given.suspected.value and _clearly_larger(named, largest, given.suspected.value):
        told = f"The team named {given.suspected.value} first; the largest part goes with the {_called(largest)}"
        return _answer(
            given,
            "match",
            f"{sentence} {told}.",
            layer=None if largest == "inputs" else Layer(largest),
            evidence_for=(told,),
            traces=_traces(given, largest, moved, strata, split),
            actions=(
                SuggestedAction(
                    "Report model, prompt, corpus and input drift as separate numbers",
                    "detect",
                    "The weekly quality report shows four separate parts for 4 weeks",
                ),
            ),
            **common,
        )
    reason = "the part that the team named is the largest" if largest == given.suspected.value else "no part leads"
    return _answer(
        given,
        "no_match",
        f"{sentence} Here {reason}.",
        evidence_against=(f"{_called(largest)}: {reason}",),
        **common,
    )


def _called(part: str) -> str:
    """What people call a part: the retrieval layer's is the corpus."""
    return _CALLED.get(part, part)


def _picture(given: PatternInput, named: dict[str, Estimate], rows: Masks) -> Picture:
    """The whole harm and its parts."""
    count = int(rows.sum())
    shown = [
        PictureRow(f"with the {_called(name)}", None, Level(count, one.estimate, one.interval))
        for name, one in named.items()
    ]
    whole = compare(given, given.before, given.during)
    if whole is not None:
        shown.insert(0, PictureRow("whole change", None, Level(count, whole.harm.estimate, whole.harm.interval)))
    return Picture("baseline", "incident", given.facts.unit, tuple(shown), kind="parts")


def _traces(
    given: PatternInput, largest: str, moved: dict[Layer, Floats], strata: Words, split: Split
) -> tuple[str, ...]:
    """Traces of the largest part: on the new version of its layer, or of the kind of input that grew most."""
    if largest == "inputs":
        return given.ids(given.during & (strata == (split.grew[0][0] if split.grew else "")))
    bad = given.is_worse_than(float(np.nanmean(given.values[given.before])))
    return given.ids(given.during & (moved[Layer(largest)] > 0) & bad)


def _clearly_larger(named: dict[str, Estimate], largest: str, suspected: str) -> bool:
    other = named.get(suspected, Estimate(0.0, (0.0, 0.0)))
    return named[largest].interval[0] > other.estimate


def _runs_on_new(given: PatternInput, layer: Layer) -> Floats | None:
    """1 where a trace runs on a version of this layer that less than a tenth of the baseline ran on."""
    new = np.zeros(given.seconds.size)
    for facet, (owner, _) in VERSION_FACETS.items():
        if owner is not layer or facet == "model":
            continue
        words = given.facet(facet)
        base = words[given.before & (words != "")]
        if base.size < FEWEST:
            continue
        values, counts = np.unique(base.astype(str), return_counts=True)
        known = {str(value) for value, count in zip(values, counts, strict=True) if count >= base.size / 10}
        new = np.maximum(new, np.array([bool(word) and str(word) not in known for word in words], dtype=float))
    rise = new[given.during].mean() - new[given.before].mean() if given.during.any() and given.before.any() else 0.0
    return new if rise > 0.05 else None


def _strata(given: PatternInput) -> np.ndarray:
    columns = [given.facet(name) for name in _INPUTS]
    joined = np.array(["\x1f".join(map(str, row)) for row in zip(*columns, strict=True)], dtype=object)
    # Too fine a grid splits nothing: fall back to the first input that is recorded.
    if np.unique(joined.astype(str)).size <= 60:
        return joined
    return given.facet("segment")


def _parts(
    given: PatternInput, moved: dict[Layer, Floats], strata: np.ndarray, rows: np.ndarray
) -> dict[Layer, Estimate] | None:
    codes = np.unique(strata[rows].astype(str), return_inverse=True)[1].reshape(-1)
    dummies = np.eye(int(codes.max()) + 1)[codes]
    columns = np.column_stack([*(column[rows] for column in moved.values()), dummies])
    outcome = given.sign * given.values[rows]
    if np.linalg.matrix_rank(columns) < columns.shape[1]:
        return None
    inverse = np.linalg.inv(columns.T @ columns)
    beta = inverse @ columns.T @ outcome
    left = outcome - columns @ beta
    covariance = inverse @ (columns.T @ (columns * (left**2)[:, None])) @ inverse
    before, during = given.before[rows], given.during[rows]
    parts = {}
    for place, (layer, column) in enumerate(moved.items()):
        rise = float(column[rows][during].mean() - column[rows][before].mean())
        part, half = float(beta[place]) * rise, Z95 * float(np.sqrt(covariance[place, place])) * rise
        parts[layer] = Estimate(part, (part - half, part + half))
    return parts


def _answer(
    given: PatternInput, answer: str, sentence: str, layer: Layer | None = None, **fields: object
) -> PatternFinding:
    return PatternFinding(NAME, TITLE, layer, answer, sentence, **fields)  # type: ignore[arg-type]
