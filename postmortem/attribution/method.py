"""Attribution from end to end: fit, windows, explanations, verdicts, and the words on top. Pure."""

from postmortem.attribution.apart import credible_sets
from postmortem.attribution.columns import to_columns
from postmortem.attribution.explain import explain, interactions_of
from postmortem.attribution.fit import fit_case
from postmortem.attribution.headline import headline, lede
from postmortem.attribution.ran_on import versions_ran
from postmortem.attribution.recovery import endings, find_recovery, levelled_series
from postmortem.attribution.settle import experiments
from postmortem.attribution.shapes import (
    AttributionCase,
    AttributionResult,
    NeverLoggedRow,
    NeverObservedRow,
)
from postmortem.attribution.verdicts import layer_findings
from postmortem.attribution.windows import find_onset, measure_windows, signal_series
from postmortem.attribution.wording import signal_facts

METHOD = "fine-mapping-4"


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
        headline=headline(explained, sets, windows.drop, signal),
        lede=lede(explained, sets, windows, signal),
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
        versions=versions_ran(everything, case.changes, windows.baseline, windows.incident),
        trace_count=case.trace_count,
        with_signal_count=everything.trace_count,
        change_count=len(case.changes),
    )  # fmt: skip
