"""Pattern 10, retrograde accuracy: nothing regressed, the product grew into harder requests. Pure."""

from postmortem.attribution.patterns.compare import Split, compare, kitagawa, recorded
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

NAME, TITLE = "retrograde_accuracy", "Retrograde accuracy"
KINDS = ("segment", "intent", "feature", "tenure", "tenant", "prompt", "language", "region")
_MIX_SHARE, _WITHIN_SHARE = 0.6, 0.35


def detect(given: PatternInput) -> PatternFinding:
    """Match when most of the drop is a shift of the mix and the groups themselves did not get worse."""
    both = given.before | given.during
    facets = [name for name in KINDS if recorded(given.facet(name), both) > 0.5]
    if not facets:
        return _answer(
            "not_enough_data",
            "The traces record no kind of request whose share could have moved.",
            missing=("segment, intent or feature on every trace",),
        )
    whole = compare(given, given.before, given.during)
    splits = {
        name: split for name in facets if (split := kitagawa(given, given.facet(name), given.before, given.during))
    }
    if whole is None or not splits:
        return _answer(
            "not_enough_data", "Too few traces in one of the two windows.", missing=("traces from both windows",)
        )
    facet = max(splits, key=lambda name: splits[name].mix.estimate)
    split = splits[facet]
    count = whole.first.count + whole.second.count
    unit = given.facts.unit
    numbers = (
        Number(
            "Whole change, harm upward",
            split.total,
            whole.harm.interval,
            count,
            unit,
            "incident − baseline",
            signed=True,
        ),
        Number(
            "Because the mix moved", split.mix.estimate, split.mix.interval, count, unit, f"by {facet}", signed=True
        ),
        Number(
            "Within the groups", split.within.estimate, split.within.interval, count, unit, f"by {facet}", signed=True
        ),
    )
    grew = [
        f"{value or 'not recorded'} from {100 * before:.0f}% to {100 * after:.0f}%"
        for value, before, after in split.grew[:3]
    ]
    common = {"numbers": numbers, "picture": _picture(given, facet, split)}
    if not whole.is_harm:
        return _answer(
            "no_match", f"The signal did not get worse ({difference_text(whole.difference, given.facts)}).", **common
        )
    told = (
        f"Of the harm, {difference_text(split.mix, given.facts)} come from other requests (by {facet}) and "
        f"{difference_text(split.within, given.facts)} from within the same kind of requests"
    )
    mostly_mix = split.mix.estimate >= _MIX_SHARE * split.total and split.mix.interval[0] > 0
    if mostly_mix and split.within.estimate <= _WITHIN_SHARE * split.total and split.within.interval[0] <= 0:
        return _answer(
            "match",
            f"{told}. What grew: {'; '.join(grew)}.",
            evidence_for=(told, *grew),
            traces=given.ids(given.during & (given.facet(facet) == (split.grew[0][0] if split.grew else ""))),
            actions=(
                SuggestedAction(
                    f"Report quality by {facet} and set a target for the kinds that grew",
                    "detect",
                    f"The weekly report shows the rate of each {facet} with its interval for 4 weeks",
                ),
            ),
            **common,
        )
    return _answer("no_match", told + ".", evidence_against=(told,), **common)


def _picture(given: PatternInput, facet: str, split: Split) -> Picture:
    words = given.facet(facet)
    rows = []
    for value in sorted(set(words[given.during]) | set(words[given.before]), key=str)[:8]:
        one = compare(given, given.before & (words == value), given.during & (words == value))
        if one is not None:
            rows.append(PictureRow(f"{facet} {value}" if value else "not recorded", one.first, one.second))
    return Picture("baseline", "incident", given.facts.unit, tuple(rows))


def _answer(answer: str, sentence: str, **fields: object) -> PatternFinding:
    return PatternFinding(NAME, TITLE, Layer.INFRASTRUCTURE, answer, sentence, **fields)  # type: ignore[arg-type]
