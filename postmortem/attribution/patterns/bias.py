"""Pattern 3, production bias: outcomes diverge between groups after launch, within the same inputs. Pure."""

import numpy as np
from scipy import stats

from postmortem.attribution.intervals import Z95
from postmortem.attribution.patterns.compare import FALSE_DISCOVERIES, FEWEST, compare, recorded
from postmortem.attribution.patterns.shapes import (
    Masks,
    Number,
    PatternFinding,
    PatternInput,
    Picture,
    PictureRow,
    SuggestedAction,
    Words,
)
from postmortem.attribution.shapes import Estimate
from postmortem.attribution.stratified import cells_of, mean_difference, risk_difference
from postmortem.attribution.wording import difference_text
from postmortem.lib.layers import Layer

NAME, TITLE = "production_bias", "Production bias"
GROUPS = ("cohort", "group", "gender", "age_group", "language", "locale", "country", "accessibility")
INPUTS = ("prompt", "intent", "segment", "model", "tenant")
_LOG = "a cohort facet (language, locale, age group, or a consented protected attribute) on every trace"


def detect(given: PatternInput) -> PatternFinding:
    """Match when a group's gap to the others widens from baseline to incident within strata of the same inputs."""
    both = given.before | given.during
    facets = [name for name in GROUPS if recorded(given.facet(name), both) >= 0.5]
    if not facets:
        return _answer("not_enough_data", "The traces record no cohort to compare.", missing=(_LOG,))
    strata = _strata(given)
    found: list[tuple[str, str, Estimate, Estimate]] = []
    for facet in facets:
        words = given.facet(facet)
        values = sorted(set(words[both]) - {""})
        if len(values) < 2:
            continue
        for value in values:
            matched, raw = _widening(given, words, str(value), strata), _widening(given, words, str(value), None)
            if matched is not None and raw is not None:
                found.append((facet, str(value), matched, raw))
    if not found:
        return _answer(
            "not_enough_data",
            f"No group of {' or '.join(facets)} has {FEWEST} traces in both windows.",
            missing=(f"more traces of every {facets[0]}",),
        )
    chances = [2 * float(stats.norm.sf(abs(one.estimate) / max(_error(one), 1e-12))) for *_, one, _ in found]
    rates = stats.false_discovery_control(np.clip(chances, 0, 1), method="bh")
    wider = [(row, q) for row, q in zip(found, rates, strict=True) if q < FALSE_DISCOVERIES and row[2].estimate > 0]
    numbers = tuple(
        Number(
            f"{facet} {value}: gap widened by",
            one.estimate,
            one.interval,
            int((given.facet(facet) == value).sum()),
            given.facts.unit,
            f"within inputs, q {q:.3f}",
        )
        for (facet, value, one, _), q in sorted(zip(found, rates, strict=True), key=lambda pair: pair[1])[:6]
    )
    picture = _picture(given, (wider[0][0] if wider else found[0])[0])
    if not wider:
        apparent = [
            f"{facet} {value} looks {difference_text(raw, given.facts)} worse until inputs are matched"
            for facet, value, one, raw in found
            if raw.interval[0] > 0 >= one.interval[0]
        ]
        return _answer(
            "no_match",
            f"No gap between groups of {', '.join(facets)} widened within the same inputs"
            + (": " + apparent[0] + "." if apparent else "."),
            numbers=numbers,
            picture=picture,
            evidence_against=tuple(apparent),
        )
    told = [f"{row[0]} {row[1]}: {difference_text(row[2], given.facts)} more harm than the others" for row, _ in wider]
    facet, value = wider[0][0][0], wider[0][0][1]
    inside = given.during & (given.facet(facet) == value)
    return _answer(
        "match",
        f"The gap widened within the same inputs: {'; '.join(told[:3])}.",
        numbers=numbers,
        picture=picture,
        evidence_for=tuple(told),
        traces=given.ids(inside & given.is_worse_than(float(np.nanmean(given.values)))),
        actions=(
            SuggestedAction(
                f"Watch the gap between groups of {facet} and alert on it",
                "detect",
                f"The gap of {facet} {value} to the others, within inputs, is in its baseline interval for 14 days",
            ),
        ),
    )


def _widening(given: PatternInput, words: Words, value: str, strata: Words | None) -> Estimate | None:
    """Difference in differences: (group − others) in the incident minus the same in the baseline, harm upward."""
    parts = []
    for rows in (given.before, given.during):
        known = rows & np.isfinite(given.values) & (words != "")
        group = words[known] == value
        if min(int(group.sum()), int((~group).sum())) < FEWEST:
            return None
        keys = np.zeros(int(known.sum()), dtype=np.intp)
        if strata is not None:
            keys = np.unique(strata[known].astype(str), return_inverse=True)[1].reshape(-1)
        cells = cells_of(given.values[known], group, keys)
        binary = bool(np.isin(given.values[known], (0.0, 1.0)).all())
        contrast = (risk_difference if binary else mean_difference)(cells)
        if contrast is None:
            return None
        parts.append(contrast)
    gap = given.sign * (parts[1].difference - parts[0].difference)
    half = Z95 * float(np.hypot(parts[0].error, parts[1].error))
    return Estimate(gap, (gap - half, gap + half))


def _strata(given: PatternInput) -> Words:
    columns = [given.facet(name) for name in INPUTS]
    return np.array(["\x1f".join(map(str, row)) for row in zip(*columns, strict=True)], dtype=object)


def _error(one: Estimate) -> float:
    return (one.interval[1] - one.interval[0]) / (2 * Z95)


def _picture(given: PatternInput, facet: str) -> Picture:
    words = given.facet(facet)
    rows: list[PictureRow] = []
    for value in sorted(set(words[given.during]) - {""})[:8]:
        inside: Masks = words == value
        one = compare(given, given.before & inside, given.during & inside)
        if one is not None:
            rows.append(PictureRow(f"{facet} {value}", one.first, one.second))
    return Picture("baseline", "incident", given.facts.unit, tuple(rows))


def _answer(answer: str, sentence: str, **fields: object) -> PatternFinding:
    return PatternFinding(NAME, TITLE, Layer.MODEL, answer, sentence, **fields)  # type: ignore[arg-type]
