"""The ranked explanations: every logged change once, one unlogged step, the traffic mix, and nothing at all. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from postmortem.attribution.candidates import OLD_ALTOGETHER
from postmortem.attribution.contrasts import (
    EXPOSED,
    UNEXPOSED,
    ChangeContrast,
    contrast_of,
    exposed_series,
    levelled_signal,
    like_with_like,
    unlogged_contrast,
)
from postmortem.attribution.fit import ChangeFit, Fit, UnloggedFit
from postmortem.attribution.intervals import Z95
from postmortem.attribution.mix import mix_split
from postmortem.attribution.shapes import Arithmetic, Estimate, Hypothesis, Interaction, MixSplit, SignalFacts
from postmortem.attribution.windows import Windows
from postmortem.attribution.wording import (
    change_title,
    difference_text,
    facet_title,
    facet_words,
    level_text,
    moment_text,
    movement,
    plural,
    points,
    probability_text,
    signed,
)

PICTURES = 5  # leading hypotheses that get exposed against unexposed over time
INTERACTION_SHOWN, MOST_INTERACTIONS = 0.05, 3
_LIKELY = 0.5


@dataclass(frozen=True, slots=True)
class Explained:
    """The ranked hypotheses, each change's comparison, and the split of the drop."""

    hypotheses: tuple[Hypothesis, ...]
    contrasts: Mapping[str, ChangeContrast | None]
    mix: MixSplit | None


def explain(fit: Fit, windows: Windows, signal: SignalFacts) -> Explained:
    """All hypotheses by probability, the most likely first."""
    groups = like_with_like(fit)
    contrasts = {
        change.id: contrast_of(fit, position, groups)
        if fit.changes[position].prior > 0 or _ran_all_along(fit, position)
        else None
        for position, change in enumerate(fit.case.changes)
    }
    split_by_facet = mix_split(
        fit.columns.signal,
        fit.baseline.groups,
        windows.before,
        windows.after,
        each=fit.columns.count,
        squares=fit.columns.squares,
    )
    ranked = [_of_change(fit, position, contrasts, signal) for position in range(len(fit.case.changes))]
    ranked.append(_of_unlogged(fit, unlogged_contrast(fit, groups), signal))
    ranked.append(_of_mix(fit.null * fit.mix_share, split_by_facet, signal))
    ranked.append(_of_nothing(fit.null * (1 - fit.mix_share), windows, signal))
    ranked.sort(key=lambda one: -one.probability)
    return Explained(tuple(_with_pictures(fit, ranked)), contrasts, split_by_facet)


def _with_pictures(fit: Fit, ranked: list[Hypothesis]) -> list[Hypothesis]:
    places = {change.id: position for position, change in enumerate(fit.case.changes)}
    levelled = levelled_signal(fit)
    pictured = []
    for rank, one in enumerate(ranked):
        series = None
        if rank < PICTURES and one.arithmetic:
            if one.kind == "change":
                place = places[one.changes[0]]
                series = exposed_series(fit, fit.exposures.shares[:, place], fit.case.changes[place].at, levelled)
            elif fit.unlogged.start is not None:
                series = exposed_series(fit, fit.unlogged.shares, fit.unlogged.start, levelled)
        pictured.append(
            Hypothesis(
                one.kind, one.changes, one.layer, one.probability, one.effect, one.title, one.sentence,
                one.arithmetic, series,
            )
        )  # fmt: skip
    return pictured


def _of_change(
    fit: Fit, position: int, contrasts: Mapping[str, ChangeContrast | None], signal: SignalFacts
) -> Hypothesis:
    change, model = fit.case.changes[position], fit.changes[position]
    contrast = contrasts[change.id]
    arithmetic = None if contrast is None else _arithmetic(fit, contrast, model)
    return Hypothesis(
        "change", (change.id,), change.layer, model.probability,
        contrast.difference if contrast else None, change_title(change),
        _change_sentence(fit, position, contrast, signal), arithmetic,
    )  # fmt: skip


def _arithmetic(fit: Fit, contrast: ChangeContrast, model: ChangeFit | UnloggedFit) -> Arithmetic:
    return Arithmetic(
        exposed=contrast.exposed, unexposed=contrast.unexposed, difference=contrast.difference,
        strata=contrast.strata, z=model.z, log_bayes_factor=model.log_bayes_factor,
        prior=model.prior, inflation=fit.inflation, probability=model.probability,
        observed=contrast.observed, inferred=contrast.inferred, expected=contrast.expected,
    )  # fmt: skip


def _change_sentence(fit: Fit, position: int, contrast: ChangeContrast | None, signal: SignalFacts) -> str:
    change, model = fit.case.changes[position], fit.changes[position]
    unseen = {row.change_id: row for row in fit.reconciliation.never_observed}
    if change.id in unseen:
        row = unseen[change.id]
        if row.came_later:
            return f"{row.reason.rstrip('.')}, so it cannot be a cause."
        return f"It reached no trace, so it cannot be a cause. {row.reason}"
    if _ran_all_along(fit, position):
        return (
            f"{100 * model.ran_before:.0f}% of its traffic already ran on it in the quiet time before the incident, "
            "so it cannot explain what came after and is not among the suspects."
        )
    if model.prior == 0.0:
        return "It began after the problem was detected, so it is not among the suspects."
    if contrast is None:
        return _nothing_to_compare(fit, position)
    exposed, unexposed = contrast.exposed, contrast.unexposed
    numbers = (
        f"{level_text(exposed.mean, signal)} with it (n {exposed.count:,}) against "
        f"{level_text(unexposed.mean, signal)} without (n {unexposed.count:,}): "
        f"{difference_text(contrast.difference, signal)}"
    )
    if contrast.same_time:
        text = f"At the same time, in requests of the same kind: {numbers}."
    else:
        text = f"Too few traces ran without it at the same time, so this compares after with before: {numbers}."
        if model.probability < 0.05 and is_harm(contrast.difference, signal):
            text += " Other traffic, or another change, explains that difference better."
    return f"{text} {_basis_text(contrast)}"


def _ran_all_along(fit: Fit, position: int) -> bool:
    return fit.changes[position].ran_before >= OLD_ALTOGETHER


def _nothing_to_compare(fit: Fit, position: int) -> str:
    shares = fit.exposures.shares[:, position]
    if shares.max() < EXPOSED:
        return (
            f"It had reached at most {100 * shares.max():.0f}% of its traffic and no trace says which, "
            "so no two groups can be compared; only the level of all of it could show harm."
        )
    if shares.min() > UNEXPOSED:
        return "All traces ran with it, so there is nothing to compare it with."
    return "No kind of request ran both with and without it, so there is nothing to compare."


def is_harm(difference: Estimate, signal: SignalFacts) -> bool:
    """Whether the whole interval lies on the side that is worse."""
    low, high = difference.interval
    return high < 0 if signal.worse == "lower" else low > 0


def _basis_text(contrast: ChangeContrast) -> str:
    ran = contrast.observed + contrast.inferred + contrast.expected
    if contrast.observed == ran:
        return f"All {ran:,} exposed traces record it themselves."
    if contrast.observed == 0:
        return f"No trace records it: exposure of {plural(ran, 'trace')} is worked out from the log's scope and times."
    return f"{contrast.observed:,} of {ran:,} exposed traces record it themselves, the rest by scope and time."


def _of_unlogged(fit: Fit, contrast: ChangeContrast | None, signal: SignalFacts) -> Hypothesis:
    unlogged = fit.unlogged
    where = unlogged.what or "all traffic"
    effect = None
    if unlogged.start is not None and np.isfinite(unlogged.error):
        half = Z95 * unlogged.error
        effect = Estimate(unlogged.effect, (unlogged.effect - half, unlogged.effect + half))
    if unlogged.move is not None:
        move = unlogged.move
        title = f"{facet_title(move.facet)} {move.from_version} → {move.to_version}, in no log"
        sentence = (
            f"{plural(move.trace_count, 'trace')} ({where}) run on {facet_words(move.facet)} {move.to_version} since "
            f"{moment_text(move.at)}, and no change log mentions it"
        )
    elif unlogged.start is not None:
        title = f"A step in {where} that no log mentions"
        sentence = f"The best such step is in {where} from about {moment_text(unlogged.start)}"
    else:
        title, sentence = "A step that no log mentions", "The traces cover too little time to look for one"
    if effect is not None:
        moved = "it moved these traces" if unlogged.probability >= _LIKELY else "it would have moved these traces"
        sentence += f"; {moved} by {difference_text(effect, signal)}"
    return Hypothesis(
        "unlogged", (), unlogged.layer, unlogged.probability, effect, title, sentence + ".",
        None if contrast is None else _arithmetic(fit, contrast, unlogged),
    )  # fmt: skip


def _of_mix(probability: float, mix: MixSplit | None, signal: SignalFacts) -> Hypothesis:
    if mix is None:
        sentence = "The traces record no group whose share could have moved."
    else:
        sentence = (
            f"Of the change of {points(mix.total, signal)}, {difference_text(mix.mix, signal)} come from other "
            f"requests (by {mix.facet}) and {difference_text(mix.within, signal)} from within the same kind."
        )
    return Hypothesis("mix", (), None, probability, None, "The traffic mix moved, nothing got worse", sentence)


def _of_nothing(probability: float, windows: Windows, signal: SignalFacts) -> Hypothesis:
    sentence = f"The change of {difference_text(windows.drop, signal)} would be an ordinary swing."
    return Hypothesis(
        "none", (), None, probability, None, f"No cause: an ordinary swing, no {movement(signal)}", sentence
    )


def interactions_of(fit: Fit, signal: SignalFacts) -> tuple[Interaction, ...]:
    """Pairs of changes that the model takes for a cause only together, the most likely first."""
    found = []
    for pair in sorted(fit.pairs, key=lambda one: -one.probability)[:MOST_INTERACTIONS]:
        if pair.probability < INTERACTION_SHOWN:
            continue
        one, two = fit.case.changes[pair.one], fit.case.changes[pair.two]
        half = Z95 * pair.error
        effect = Estimate(pair.effect, (pair.effect - half, pair.effect + half))
        sentence = (
            f"“{change_title(one)}” and “{change_title(two)}” may do harm only together: "
            f"{difference_text(effect, signal)} where {plural(pair.traces, 'trace')} ran on both; "
            f"{probability_text(pair.probability)}."
        )
        found.append(Interaction((one.id, two.id), pair.probability, effect, pair.traces, sentence))
    return tuple(found)


def mix_sentence(mix: MixSplit | None, signal: SignalFacts) -> str:
    """What the mix accounts for, for the lede."""
    if mix is None:
        return ""
    return signed(f"The traffic mix accounts for {points(mix.mix.estimate, signal)} of {points(mix.total, signal)}.")
