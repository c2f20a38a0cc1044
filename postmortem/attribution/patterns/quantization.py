"""Pattern 1, quantization slippage: a cheaper build of "the same" model holds on average and fails in a slice. Pure."""

import re

import numpy as np

from postmortem.attribution.patterns.compare import (
    FALSE_DISCOVERIES,
    FEWEST,
    Compared,
    Sides,
    Slice,
    compare,
    exposed_sides,
    number_of,
    slices,
)
from postmortem.attribution.patterns.shapes import (
    Masks,
    Number,
    PatternFinding,
    PatternInput,
    Picture,
    PictureRow,
    SuggestedAction,
)
from postmortem.attribution.wording import change_title, difference_text
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer

NAME, TITLE = "quantization_slippage", "Quantization slippage"
SLICES = ("segment", "intent", "prompt", "language", "tenant", "region")
_CHEAPER = re.compile(
    r"\b(int[48]|fp(4|8|16)|bf16|nf4|awq|gptq|gguf|quanti[sz]\w*|distill\w*|precision|turbo|mini build|engine)\b", re.I
)
_BUILD = ("precision", "quantization", "engine", "weights", "weights_revision")  # of a model change's details
_STRUCTURED = re.compile(r"json|schema|structured|parse|retr(y|ies)", re.I)
_GOOD = re.compile(r"valid|ok|pass|success", re.I)
REST_SHARE = 0.25  # of a fall: less than this beside it is next to nothing
_LOG = "the precision, engine and weights revision of every model change (details: precision, engine, weights_revision)"


def detect(given: PatternInput) -> PatternFinding:
    """Match when a slice falls with the cheaper build, or structured output fails more, while the rest holds."""
    model_changes = [change for change in given.changes if change.layer is Layer.MODEL]
    cheaper = [change for change in model_changes if _is_cheaper(change)]
    if not cheaper:
        if model_changes:
            return _answer(
                "not_enough_data",
                "The log has model changes, and none says whether precision, engine or weights changed.",
                missing=(_LOG,),
            )
        return _answer("no_match", "No model change is in the log, so no cheaper build was rolled out.")
    answers = [_of_change(given, change) for change in cheaper]
    order = {"match": 0, "no_match": 1, "not_enough_data": 2}
    return min(answers, key=lambda one: order[one.answer])


def _is_cheaper(change: ChangeRecord) -> bool:
    text = f"{change.summary} {change.from_version or ''} {change.to_version or ''}"
    return any(change.details.get(name) for name in _BUILD) or bool(_CHEAPER.search(text))


def _of_change(given: PatternInput, change: ChangeRecord) -> PatternFinding:
    sides = exposed_sides(given, change)
    whole = compare(given, sides.without, sides.with_it, times=sides.times)
    title = change_title(change)
    if whole is None:
        return _answer(
            "not_enough_data",
            f"{title}: fewer than {FEWEST} traces with the signal ran on one of the two sides.",
            missing=("the served model of every trace (facet model_version or model_served)",),
        )
    looks = slices(given, SLICES, sides.without, sides.with_it, sides.times)
    structured = _structured(given, sides)
    if not looks and not structured:
        return _answer(
            "not_enough_data",
            f"{title}: the traces record no slice and no structured-output check to look at.",
            missing=("a slice of the traffic (segment, intent, language)", "a score for structured-output failures"),
        )
    least = _least_harm(given)
    found = [
        one
        for one in looks
        if one.q < FALSE_DISCOVERIES and one.compared.is_harm and one.compared.harm.estimate >= least
    ]
    early = [one for one in found if _fell_before(given, one, sides)]
    fallen = [one for one in found if one not in early]
    bad = _in_slices(given, fallen)
    rest = compare(given, sides.without & ~bad, sides.with_it & ~bad, times=sides.times) if fallen else whole
    rising = [name for name, one in structured if one.is_clear_harm]
    common = {
        "numbers": _numbers(given, whole, fallen or looks, structured),
        "picture": _picture(given, whole, fallen or looks),
    }
    how = "at the same time" if sides.times is not None else "comparing after with before"
    whole_text = f"{difference_text(whole.difference, given.facts)}, {how}"
    against = tuple(f"{one.name} had fallen before the swap already" for one in early)
    if rest is None or (rest.is_harm and not _is_small(rest, fallen)):
        caution = "" if sides.times is not None else "; whatever else began then is in it"
        return _answer(
            "no_match",
            f"{title}: all traffic got worse with it ({whole_text}{caution}), which is no slippage of a slice.",
            evidence_against=(f"All traffic: {whole_text}", *against),
            **common,
        )
    if not fallen and not rising:
        return _answer(
            "no_match",
            f"{title}: the aggregate holds ({whole_text}), and none of {len(looks)} slices fell by more than the rest.",
            evidence_against=against,
            **common,
        )
    told = [f"{one.name}: {difference_text(one.compared.difference, given.facts)}" for one in fallen]
    told += [f"{name} rose" for name in rising]
    holds = f"the rest holds ({difference_text(rest.difference, given.facts)}, {how})"
    return _answer(
        "match",
        f"{title}: {holds}, and {'; '.join(told[:3])}.",
        evidence_for=tuple(told),
        evidence_against=against,
        traces=given.ids(sides.with_it & (bad if fallen else True) & given.is_worse_than(whole.first.mean)),
        actions=(
            SuggestedAction(
                "Gate model builds on every slice, not on the average alone",
                "prevent",
                "No slice of the release evaluation falls by more than 2 points, checked for the next 3 releases",
            ),
        ),
        **common,
    )


def _least_harm(given: PatternInput) -> float:
    """A slice that lost next to nothing beside the incident itself is not what the incident is about."""
    incident = compare(given, given.before, given.during)
    return REST_SHARE * incident.harm.estimate if incident is not None and incident.is_harm else 0.0


def _is_small(rest: Compared, fallen: list[Slice]) -> bool:
    """Whether what the rest lost is next to nothing beside what the slices lost."""
    worst = max((one.compared.harm.estimate for one in fallen), default=0.0)
    return rest.harm.estimate <= REST_SHARE * worst


def _numbers(
    given: PatternInput, whole: Compared, shown: list[Slice], structured: list[tuple[str, Compared]]
) -> tuple[Number, ...]:
    numbers = [number_of("All traffic", whole, given.facts, "with it − without")]
    numbers += [number_of(one.name, one.compared, given.facts, f"against the rest: q {one.q:.3f}") for one in shown[:5]]
    numbers += [number_of(name, one, given.facts_of(name, "higher"), "with it − without") for name, one in structured]
    return tuple(numbers)


def _picture(given: PatternInput, whole: Compared, shown: list[Slice]) -> Picture:
    named = [("All traffic", whole), *((one.name, one.compared) for one in shown[:6])]
    rows = tuple(PictureRow(name, one.first, one.second) for name, one in named)
    return Picture("without", "with it", given.facts.unit, rows)


def _fell_before(given: PatternInput, one: Slice, sides: Sides) -> bool:
    """Whether half of the slice's fall shows already within the traces that ran without the change."""
    rows = np.flatnonzero(sides.without & (given.facet(one.facet) == one.value))
    if sides.times is not None or rows.size < 2 * FEWEST:
        return False
    early, late = np.zeros(given.seconds.size, dtype=bool), np.zeros(given.seconds.size, dtype=bool)
    early[rows[: rows.size // 2]], late[rows[rows.size // 2 :]] = True, True
    trend = compare(given, early, late)
    return trend is not None and trend.is_harm and trend.harm.estimate > one.compared.harm.estimate / 2


def _structured(given: PatternInput, sides: Sides) -> list[tuple[str, Compared]]:
    found = []
    for name in given.score_names():
        if name == given.signal or not _STRUCTURED.search(name):
            continue
        worse = "lower" if _GOOD.search(name) else "higher"
        one = compare(given, sides.without, sides.with_it, values=given.of_signal(name), worse=worse, times=sides.times)
        if one is not None:
            found.append((name, one))
    return found


def _in_slices(given: PatternInput, fallen: list[Slice]) -> Masks:
    rows = np.zeros(given.seconds.size, dtype=bool)
    for one in fallen:
        rows |= given.facet(one.facet) == one.value
    return rows


def _answer(answer: str, sentence: str, **fields: object) -> PatternFinding:
    return PatternFinding(NAME, TITLE, Layer.MODEL, answer, sentence, **fields)  # type: ignore[arg-type]
