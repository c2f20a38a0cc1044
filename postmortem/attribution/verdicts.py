"""What is proposed for each of the four layers, with the evidence for and against. People decide. Pure."""

import math
from collections.abc import Mapping, Sequence

from postmortem.attribution.contrasts import ChangeContrast
from postmortem.attribution.explain import Explained, is_harm
from postmortem.attribution.fit import ChangeFit, Fit, layer_probabilities
from postmortem.attribution.shapes import Ending, EvidenceText, LayerFinding, OnsetFinding, ProposedVerdict, SignalFacts
from postmortem.attribution.windows import Windows
from postmortem.attribution.wording import (
    amount,
    apart,
    change_title,
    difference_text,
    facet_title,
    level_text,
    moment_text,
    movement,
    movement_text,
    plural,
    probability_text,
    signed,
)
from postmortem.changes.reconcile import NeverObserved
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer

RULED_IN = 0.9
RULED_OUT = 0.05
HIDDEN_SHARE = 0.25  # a layer is ruled out only if less than this share of the harm could hide in it
HINT = 0.5  # log Bayes factor from which a change, masked by a larger cause, keeps its layer open
SUSPECT = 0.05  # from here on a change speaks for its layer
_MOST_FOR, _MOST_AGAINST = 4, 5
_MISFIT_FROM = 100  # a Bayes factor beyond it of a change that is no suspect


def layer_findings(
    fit: Fit,
    *,
    explained: Explained,
    windows: Windows,
    onset: OnsetFinding | None,
    signal: SignalFacts,
    ended: Sequence[Ending],
) -> tuple[LayerFinding, ...]:
    """Four findings, one a layer, in the order of the layers; `ended` tells what came back when suspects ended."""
    probabilities = layer_probabilities(fit)
    sign = -1.0 if signal.worse == "lower" else 1.0
    harm = max(sign * windows.drop.estimate, 0.0)
    findings = []
    for layer in Layer:
        hidden = _hidden_harm(fit, layer)
        verdict = _verdict(
            fit, layer=layer, probability=probabilities[layer], hidden=hidden, harm=harm, explained=explained
        )
        speaking = (*_for(fit, layer, explained, onset, signal), *_of_ends(fit, layer, ended, went=True))
        if verdict == "open" and not speaking:
            speaking = _why_open(fit, layer, probability=probabilities[layer], hidden=hidden, harm=harm, signal=signal)
        against = _against(fit, layer=layer, explained=explained, onset=onset, signal=signal, hidden=hidden, harm=harm)
        against = (*_of_ends(fit, layer, ended, went=False), *against)
        findings.append(LayerFinding(layer, probabilities[layer], verdict, hidden, speaking, against))
    return tuple(findings)


def _hidden_harm(fit: Fit, layer: Layer) -> float | None:
    """The largest harm that one change of the layer could still hide, in the signal's unit; None if unbounded."""
    bounds = [one.hidden_harm for one, change in _of_layer(fit, layer)]
    if any(bound is None for bound in bounds):
        return None
    return max((bound for bound in bounds if bound is not None), default=0.0)


def _of_layer(fit: Fit, layer: Layer) -> list[tuple[ChangeFit, ChangeRecord]]:
    return [(fit.changes[i], change) for i, change in enumerate(fit.case.changes) if change.layer is layer]


def _verdict(
    fit: Fit, *, layer: Layer, probability: float, hidden: float | None, harm: float, explained: Explained
) -> ProposedVerdict:
    if probability >= RULED_IN:
        return "ruled_in"
    # An unlogged step without a layer could lie in any of the four.
    unknown = fit.unlogged.probability / len(Layer) if fit.unlogged.layer is None else 0.0
    if probability + unknown >= RULED_OUT or hidden is None or hidden >= HIDDEN_SHARE * harm:
        return "open"
    if any(one.hint > HINT for one, _ in _of_layer(fit, layer)):
        return "open"
    has_changes = any(change.layer is layer for change in fit.case.changes)
    if not has_changes and explained.hypotheses[0].probability < RULED_IN:
        return "open"
    return "ruled_out"


def _why_open(
    fit: Fit, layer: Layer, *, probability: float, hidden: float | None, harm: float, signal: SignalFacts
) -> tuple[EvidenceText, ...]:
    """What keeps a layer open that no change of its own speaks for."""
    own = _of_layer(fit, layer)
    if not own:
        return (EvidenceText("Nothing is sure enough to rule out a change of this layer that nobody logged"),)
    texts = []
    one, change = max(own, key=lambda pair: pair[0].hint)
    if one.hint > HINT:
        factor = f"Bayes factor {math.exp(one.hint):.1f}"
        if one.hint > math.log(_MISFIT_FROM):
            factor = f"Bayes factor over {_MISFIT_FROM}, part of which may be misfit of the leading explanation"
        texts.append(
            EvidenceText(
                f"{change_title(change)}: what the other explanations leave unexplained moves with it ({factor}): "
                "too little to call it a cause, too much to rule the layer out",
                change.id,
            )
        )
    loose = [change for one, change in own if one.hidden_harm is None]
    if loose:
        texts.append(
            EvidenceText(
                f"{change_title(loose[0])}: no traffic without it to compare with, so nothing bounds its harm",
                loose[0].id,
            )
        )
    if hidden is not None and hidden >= HIDDEN_SHARE * harm:
        texts.append(
            EvidenceText(
                f"{amount(hidden, signal)} of harm could still hide in {_one_of(len(own))} (95% bound), beside "
                f"{movement_text(harm, signal)}"
            )
        )
    if fit.unlogged.layer is None and fit.unlogged.probability / len(Layer) >= SUSPECT / 2:
        texts.append(
            EvidenceText(
                f"A step that no log mentions ({probability_text(fit.unlogged.probability)}) could lie in any layer"
            )
        )
    if not texts:
        texts.append(
            EvidenceText(f"Its changes share {probability_text(probability)}; none of them is a suspect by itself")
        )
    return tuple(texts[:_MOST_FOR])


def _one_of(count: int) -> str:
    return "its one logged change" if count == 1 else f"one of its {count:,} logged changes"


def _row_text(change: ChangeRecord, contrast: ChangeContrast, probability: float, signal: SignalFacts) -> str:
    how = "at the same time" if contrast.same_time else "comparing after with before"
    return (
        f"{change_title(change)}: {level_text(contrast.exposed.mean, signal)} with it, "
        f"{level_text(contrast.unexposed.mean, signal)} without, {how}: "
        f"{difference_text(contrast.difference, signal)}, "
        f"n {contrast.exposed.count:,} and {contrast.unexposed.count:,}; {probability_text(probability)}"
    )


def _for(
    fit: Fit, layer: Layer, explained: Explained, onset: OnsetFinding | None, signal: SignalFacts
) -> tuple[EvidenceText, ...]:
    texts: list[EvidenceText] = []
    if fit.unlogged.layer is layer and fit.unlogged.probability >= SUSPECT:
        best = next(one for one in explained.hypotheses if one.kind == "unlogged")
        texts.append(EvidenceText(f"{best.sentence.rstrip('.')}; {probability_text(best.probability)}"))
    for one in explained.hypotheses:
        if one.kind != "change" or one.layer is not layer or one.probability < SUSPECT:
            continue
        change = _change(fit, one.changes[0])
        contrast = explained.contrasts[change.id]
        if contrast is not None:
            texts.append(EvidenceText(_row_text(change, contrast, one.probability, signal), change.id))
        if onset is not None and onset.interval[0] <= change.at <= onset.interval[1]:
            texts.append(
                EvidenceText(
                    f"{change_title(change)} began {moment_text(change.at)}; the {movement(signal)} began between "
                    f"{moment_text(onset.interval[0])} and {moment_text(onset.interval[1])}",
                    change.id,
                )
            )
    leading = fit.unlogged.move
    texts += [
        EvidenceText(
            f"{facet_title(row.facet)} {row.from_version} → {row.to_version} appears in "
            f"{plural(row.trace_count, 'trace')} from {moment_text(row.at)}, and no log mentions it"
        )
        for row in fit.reconciliation.never_logged
        if row.layer is layer and row is not leading and (onset is None or row.at <= onset.interval[1])
    ]
    return tuple(texts[:_MOST_FOR])


def _against(
    fit: Fit,
    *,
    layer: Layer,
    explained: Explained,
    onset: OnsetFinding | None,
    signal: SignalFacts,
    hidden: float | None,
    harm: float,
) -> tuple[EvidenceText, ...]:
    own = [change for change in fit.case.changes if change.layer is layer]
    if not own:
        return (EvidenceText("No change of this layer is in the log for this time"),)
    texts: list[EvidenceText] = []
    if hidden is not None and hidden < harm and hidden < harm * HIDDEN_SHARE * 2:
        texts.append(
            EvidenceText(
                f"At most {amount(hidden, signal)} of the {movement(signal)} of {amount(harm, signal)} could still "
                f"hide in {_one_of(len(own))} (95% bound)"
            )
        )
    missing = {row.change_id: _not_reached(row) for row in fit.reconciliation.never_observed}
    weak = [
        one
        for one in explained.hypotheses
        if one.kind == "change" and one.layer is layer and one.probability < SUSPECT and one.changes[0] not in missing
    ]
    for one in weak[:2]:
        change = _change(fit, one.changes[0])
        contrast = explained.contrasts[change.id]
        if contrast is None:
            continue
        if contrast.same_time or not is_harm(contrast.difference, signal):
            texts.append(EvidenceText(_row_text(change, contrast, one.probability, signal), change.id))
        else:
            texts.append(
                EvidenceText(
                    f"{change_title(change)}: {difference_text(contrast.difference, signal)} from before to after, "
                    f"which “{explained.hypotheses[0].title}” explains better; {probability_text(one.probability)}",
                    change.id,
                )
            )
    if onset is not None:
        late = [change for change in own if change.at > onset.interval[1] and change.id not in missing]
        texts += [
            EvidenceText(f"{change_title(change)} began {apart(onset.at, change.at)} after the onset", change.id)
            for change in late[:2]
        ]
    texts += [
        EvidenceText(f"{change_title(change)} {missing[change.id]}", change.id)
        for change in own
        if change.id in missing
    ][:2]
    return tuple(texts[:_MOST_AGAINST])


def _not_reached(row: NeverObserved) -> str:
    """What a change did that reached none of the traces compared."""
    if row.came_later:
        return row.reason.removeprefix("It ").rstrip(".")
    return f"reached no trace: {row.reason[:1].lower()}{row.reason[1:].rstrip('.')}"


def _of_ends(fit: Fit, layer: Layer, ended: Sequence[Ending], *, went: bool) -> tuple[EvidenceText, ...]:
    """Suspects whose end took most of the harm along (`went`), or left most of it there."""
    texts = []
    for one in ended:
        change, (low, high) = _change(fit, one.change), one.share.interval
        if change.layer is not layer or not (low > 0.5 if went else high < 0.5):
            continue
        gone = signed(f"{100 * one.share.estimate:.0f}% ({100 * low:.0f} to {100 * high:.0f})")
        # Over 100 %: better than before, within the noise.
        told = f"all ({gone.replace(' (', ', ', 1)}" if one.share.estimate >= 1 else gone if went else f"only {gone}"
        texts.append(
            EvidenceText(
                f"{change_title(change)} reached no trace after {moment_text(one.at)}, and "
                f"{told} of the harm of its traffic was gone then: {plural(one.during, 'trace')} with it, "
                f"{one.after:,} after",
                change.id,
            )
        )
    return tuple(texts)


def _change(fit: Fit, identifier: str) -> ChangeRecord:
    return next(change for change in fit.case.changes if change.id == identifier)


def describe_verdicts(findings: tuple[LayerFinding, ...]) -> Mapping[str, str]:
    """Layer → verdict, for logs and tests."""
    return {one.layer.value: one.verdict for one in findings}
