"""Attribution from end to end: fit, windows, explanations, verdicts, and the words on top. Pure."""

from postmortem.attribution.columns import to_columns
from postmortem.attribution.explain import Explained, credible_sets, explain, interactions_of, mix_sentence
from postmortem.attribution.fit import fit_case
from postmortem.attribution.recovery import endings, find_recovery, levelled_series
from postmortem.attribution.settle import experiments
from postmortem.attribution.shapes import (
    AttributionCase,
    AttributionResult,
    Hypothesis,
    NeverLoggedRow,
    NeverObservedRow,
    SignalFacts,
)
from postmortem.attribution.verdicts import layer_findings
from postmortem.attribution.windows import Windows, find_onset, measure_windows, signal_series
from postmortem.attribution.wording import (
    difference_text,
    levels,
    movement,
    probability_text,
    signal_facts,
)

METHOD = "fine-mapping-2"
CERTAIN, LEADING = 0.9, 0.5
_FEW = 4  # changes that a headline still calls a handful


def attribute(case: AttributionCase) -> AttributionResult:
    """Say what made the signal worse, how sure that is, and what is ruled out.

    Raises UserError, with a sentence that says what to do, when there is too little to compare.
    """
    fit = fit_case(case)
    signal = signal_facts(case.signal, case.worse, binary=fit.columns.is_binary)
    onset = find_onset(fit)
    windows = measure_windows(fit, onset)
    explained = explain(fit, windows, signal)
    sets = credible_sets(fit)
    series = levelled_series(fit, windows)
    ended = endings(fit, series, windows)
    everything = to_columns(case.cells) if case.incident else fit.columns
    return AttributionResult(
        method=METHOD,
        headline=_headline(explained, sets, signal),
        lede=_lede(explained, sets, windows, signal),
        signal=signal,
        baseline=windows.baseline,
        incident=windows.incident,
        drop=windows.drop,
        onset=onset,
        series=signal_series(everything),
        hypotheses=explained.hypotheses,
        layers=layer_findings(
            fit, explained=explained, windows=windows, onset=onset, signal=signal, ended=ended
        ),
        credible_sets=sets,
        never_observed=tuple(
            NeverObservedRow(row.change_id, row.layer, row.reason) for row in fit.reconciliation.never_observed
        ),
        never_logged=tuple(
            NeverLoggedRow(
                row.facet, row.layer, row.from_version, row.to_version, row.at, row.trace_count,
                ", ".join(f"{name} {value}" for name, value in row.scope.items()),
            )
            for row in fit.reconciliation.never_logged
        ),
        mix=explained.mix,
        experiments=experiments(fit, windows, explained, signal),
        recovery=find_recovery(series, windows),
        endings=ended,
        interactions=interactions_of(fit, signal),
        trace_count=case.trace_count,
        with_signal_count=everything.trace_count,
        change_count=len(case.changes),
    )  # fmt: skip


def _headline(explained: Explained, sets: tuple[tuple[str, ...], ...], signal: SignalFacts) -> str:
    top = explained.hypotheses[0]
    fall = movement(signal)
    sure = [one for one in explained.hypotheses if one.kind == "change" and one.probability >= CERTAIN]
    if len(sure) > 1 and top in sure:
        return f"{_counted(len(sure))} changes explain the {fall}: " + "; ".join(_named(one) for one in sure)
    if top.probability >= CERTAIN:
        return {
            "change": f"One change explains the {fall}: {_named(top)}",
            "unlogged": f"No logged change explains the {fall}: {_small(_named(top))}",
            "mix": f"The traffic mix explains the {fall}, {probability_text(top.probability)}",
            "none": f"No change explains the {fall}: it is an ordinary swing, {probability_text(top.probability)}",
        }[top.kind]
    if top.probability >= LEADING:
        return {
            "change": f"One change is the leading suspect: {_named(top)}",
            "unlogged": f"Probably no logged change: {_small(_named(top))}",
            "mix": f"Probably the traffic mix, {probability_text(top.probability)}",
            "none": f"Probably an ordinary swing, {probability_text(top.probability)}",
        }[top.kind]
    if sets and 1 < len(sets[0]) <= _FEW and top.kind == "change":
        titles = {one.changes[0]: one.title for one in explained.hypotheses if one.kind == "change"}
        return f"{_counted(len(sets[0]))} changes cannot be told apart: " + "; ".join(titles[i] for i in sets[0])
    return f"The data cannot tell what caused the {fall}"


def _lede(explained: Explained, sets: tuple[tuple[str, ...], ...], windows: Windows, signal: SignalFacts) -> str:
    first = (
        f"{signal.label} went from {levels(windows.baseline.level, signal)} before to "
        f"{levels(windows.incident.level, signal)} in the incident: {difference_text(windows.drop, signal)}."
    )
    top = explained.hypotheses[0]
    others = [one for one in explained.hypotheses[1:] if one.probability < top.probability]
    parts = []
    if top.kind == "change" and sets:
        own = next((ids for ids in sets if top.changes[0] in ids), None)
        if own and len(own) == 1:
            parts.append("The 90% credible set holds this change alone")
        elif own:
            parts.append(f"The 90% credible set holds {len(own)} changes")
    if others:
        parts.append(f"{'the' if parts else 'The'} next best explanation is {_quoted(others[0])}")
    second = ", and ".join(parts) + "." if parts else ""
    third = mix_sentence(explained.mix, signal) if top.kind != "mix" else top.sentence
    return " ".join(text for text in (first, second, third) if text)


def _named(one: Hypothesis) -> str:
    return f"{one.title}, {probability_text(one.probability)}"


def _small(text: str) -> str:
    """As the middle of a sentence."""
    return text[:1].lower() + text[1:]


def _quoted(one: Hypothesis) -> str:
    title = one.title if one.kind == "change" else _small(one.title)
    return f"{title} ({probability_text(one.probability)})"


def _counted(number: int) -> str:
    return {2: "Two", 3: "Three", 4: "Four"}.get(number, str(number))
