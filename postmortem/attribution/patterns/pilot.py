"""Pattern 8, pilot-to-production gap: it was never tested on this. Pure."""

import numpy as np

from postmortem.attribution.intervals import wilson_interval
from postmortem.attribution.patterns.compare import FEWEST, compare, level_number, recorded
from postmortem.attribution.patterns.shapes import (
    Number,
    PatternFinding,
    PatternInput,
    Picture,
    PictureRow,
    SuggestedAction,
)
from postmortem.attribution.wording import difference_text
from postmortem.lib.layers import Layer

NAME, TITLE = "pilot_to_production_gap", "Pilot-to-production gap"
PILOT = ("pilot", "beta", "staging", "evaluation", "eval", "benchmark", "test")
FEWEST_OF_A_KIND = 3  # traces of the pilot that make a kind of request tested
WHOLLY_COVERED = 0.98
INPUTS = ("prompt", "intent", "segment", "language", "tenant", "region")


def detect(given: PatternInput) -> PatternFinding:
    """Match when production that looks like the pilot does as well as the pilot, and the rest does not."""
    environment = np.array([str(word).lower() for word in given.facet("environment")], dtype=object)
    pilot = np.isin(environment, PILOT)
    production = given.during & ~pilot
    if int((pilot & np.isfinite(given.values)).sum()) < FEWEST:
        return _answer(
            "not_enough_data",
            "No traces of a pilot or an evaluation set are in evidence.",
            missing=("traces of the pilot or the evaluation set, with environment pilot or evaluation",),
        )
    inputs = [
        name
        for name in INPUTS
        if recorded(given.facet(name), pilot) > 0.5 and recorded(given.facet(name), production) > 0.5
    ]
    if not inputs:
        return _answer(
            "not_enough_data",
            "Pilot and production share no facet that describes the input.",
            missing=("intent, segment or language on pilot and production traces alike",),
        )
    columns = [given.facet(name) for name in inputs]
    kinds = np.array(["\x1f".join(map(str, row)) for row in zip(*columns, strict=True)], dtype=object)
    tested, times_tested = np.unique(kinds[pilot].astype(str), return_counts=True)
    covered = np.isin(kinds.astype(str), tested[times_tested >= FEWEST_OF_A_KIND])
    like, rest = production & covered, production & ~covered
    count = int(production.sum())
    coverage = Number(
        "Production that the pilot covers",
        like.sum() / max(count, 1),
        wilson_interval(int(like.sum()), max(count, 1)),
        count,
        "share",
        " × ".join(inputs),
    )
    against_pilot, gap = compare(given, pilot, like), compare(given, like, rest)
    if coverage.interval is not None and coverage.interval[0] >= WHOLLY_COVERED:
        return _answer(
            "no_match",
            f"The pilot covers {100 * coverage.estimate:.0f}% of production, so there is no untested part to blame.",
            numbers=(coverage,),
            evidence_against=("The pilot covered what production asks",),
        )
    if against_pilot is None or gap is None:
        return _answer(
            "not_enough_data",
            f"The pilot covers {100 * coverage.estimate:.0f}% of production; one side has too few traces to compare.",
            numbers=(coverage,),
            missing=("more traces of production that looks like the pilot, or unlike it",),
        )
    unit = given.facts.unit
    numbers = (
        coverage,
        level_number("Pilot", against_pilot.first, unit),
        level_number("Production like the pilot", gap.first, unit),
        level_number("The rest of production", gap.second, unit),
    )
    rows = (
        PictureRow("like the pilot", against_pilot.first, against_pilot.second),
        PictureRow("unlike the pilot", against_pilot.first, gap.second),
    )
    common = {"numbers": numbers, "picture": Picture("pilot", "production", unit, rows)}
    told = (
        f"Production that looks like the pilot is {difference_text(against_pilot.difference, given.facts)} from it; "
        f"the rest is {difference_text(gap.difference, given.facts)} from that"
    )
    if gap.is_clear_harm and not (against_pilot.is_harm and against_pilot.harm.estimate > gap.harm.estimate / 2):
        values, counts = np.unique(kinds[rest].astype(str), return_counts=True)
        untested = [str(values[i]).replace("\x1f", " · ") for i in np.argsort(-counts, kind="stable")[:3]]
        return _answer(
            "match",
            told + ".",
            evidence_for=(told, "Never tested: " + "; ".join(untested)),
            traces=given.ids(rest & given.is_worse_than(gap.first.mean)),
            actions=(
                SuggestedAction(
                    "Extend the evaluation set to the kinds of requests that production has",
                    "prevent",
                    "The evaluation set covers at least 90% of production requests by " + " × ".join(inputs),
                ),
            ),
            **common,
        )
    return _answer("no_match", told + ".", evidence_against=(told,), **common)


def _answer(answer: str, sentence: str, **fields: object) -> PatternFinding:
    return PatternFinding(NAME, TITLE, Layer.INFRASTRUCTURE, answer, sentence, **fields)  # type: ignore[arg-type]
