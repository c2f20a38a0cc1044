"""Counterfactual replay: which failing traces to run again without a change, and what the results say. Pure.

Sources: McNemar 1947 (exact test of discordant pairs); Agresti and Min 2005 (interval of a difference of paired
rates: half a pair added to each cell); Newcombe 1998 where the two sides are different traces.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from postmortem.attribution.intervals import Z95, newcombe_difference, wilson_interval
from postmortem.attribution.shapes import Estimate, Level
from postmortem.attribution.wording import signed
from postmortem.lib.errors import UserError
from postmortem.traces.records import TraceRecord
from postmortem.traces.signals import signal_value

MOST_LINES = 20_000
MENDED_AT_LEAST = 0.1  # an upper bound below this says that the change is not what fails these traces
FEWEST = 10
Direction = Literal["for", "against", "undecided"]
_WITH, _WITHOUT = "with", "without"


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """Good answers with the change and without it, and the difference (without − with).

    `pairs` counts traces that were run both ways; `chance` is McNemar's exact p, None without pairs.
    """

    with_change: Level
    without_change: Level
    difference: Estimate
    pairs: int
    chance: float | None
    direction: Direction


def failing_traces(traces: Sequence[TraceRecord], signal: str, worse: str, count: int) -> list[TraceRecord]:
    """Up to `count` failing traces, spread evenly over time: a signal of 0 and 1 that is bad, else the worst tenth."""
    known = [(trace, value) for trace in traces if (value := signal_value(trace, signal)) is not None]
    if not known:
        return []
    values = np.array([value for _, value in known])
    if np.isin(values, (0.0, 1.0)).all():
        bad = values == (0.0 if worse == "lower" else 1.0)
    else:
        edge = np.quantile(values, 0.1 if worse == "lower" else 0.9)
        bad = values <= edge if worse == "lower" else values >= edge
    failing = [trace for (trace, _), is_bad in zip(known, bad, strict=True) if is_bad]
    if len(failing) <= count:
        return failing
    places = np.linspace(0, len(failing) - 1, count).round().astype(int)
    return [failing[place] for place in places]


def read_results(data: bytes, known: Mapping[str, object] | set[str]) -> list[tuple[str, str, bool]]:
    """(trace, "with" or "without", good) of a file of results, one JSON object a line: id, arm, good.

    `known` are the ids of the incident's traces. Raises UserError naming the line that is wrong.
    """
    found: dict[tuple[str, str], bool] = {}
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("The results are not UTF-8 text.") from error
    for line, piece in enumerate(text.split("\n"), start=1):
        if not piece.strip():
            continue
        if line > MOST_LINES:
            raise UserError(f"The results have more than {MOST_LINES:,} lines.")
        try:
            row = json.loads(piece)
        except (ValueError, RecursionError) as error:
            raise UserError(f"Line {line}: this is not JSON; write one result a line.") from error
        key, good = _result(row, line, known)
        if found.setdefault(key, good) is not good:
            raise UserError(f"Line {line}: trace {key[0][:60]} has two different results {key[1]} the change.")
    if not found:
        raise UserError("The results are empty; write one result a line.")
    return [(identifier, arm, good) for (identifier, arm), good in found.items()]


def _result(row: Any, line: int, known: Mapping[str, object] | set[str]) -> tuple[tuple[str, str], bool]:
    shape = '{"id": "…", "arm": "with" or "without", "good": true or false}'
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise UserError(f"Line {line}: a result is an object like {shape}.")
    if row.get("arm") not in (_WITH, _WITHOUT):
        raise UserError(f"Line {line}: “arm” says “with” or “without” the change.")
    if row["id"] not in known:
        raise UserError(f"Line {line}: this incident has no trace {row['id'][:60]}.")
    good = row.get("good")
    if good not in (True, False, 0, 1):
        raise UserError(f"Line {line}: “good” is true or false.")
    return (row["id"], str(row["arm"])), bool(good)


def outcome_of(results: Sequence[tuple[str, str, bool]]) -> ReplayOutcome:
    """What the replay says of the change. Raises UserError with fewer than FEWEST results on a side."""
    sides: dict[str, dict[str, bool]] = {_WITH: {}, _WITHOUT: {}}
    for identifier, arm, good in results:
        sides[arm][identifier] = good
    for arm, side in sides.items():
        if len(side) < FEWEST:
            raise UserError(f"Only {len(side)} results are “{arm}” the change; a replay needs at least {FEWEST}.")
    levels = {arm: _level(side) for arm, side in sides.items()}
    both = sides[_WITH].keys() & sides[_WITHOUT].keys()
    chance = None
    if len(both) >= FEWEST:
        mended = sum(sides[_WITHOUT][name] and not sides[_WITH][name] for name in both)
        broken = sum(sides[_WITH][name] and not sides[_WITHOUT][name] for name in both)
        difference = _paired(mended, broken, len(both))
        chance = float(stats.binomtest(mended, mended + broken).pvalue) if mended + broken else 1.0
    else:
        one, other = sides[_WITHOUT], sides[_WITH]
        difference = newcombe_difference(sum(one.values()), len(one), sum(other.values()), len(other))
    low, high = difference.interval
    direction: Direction = "for" if low > 0 else "against" if high < MENDED_AT_LEAST else "undecided"
    return ReplayOutcome(
        levels[_WITH], levels[_WITHOUT], difference, len(both) if chance is not None else 0, chance, direction
    )


def outcome_text(outcome: ReplayOutcome, title: str) -> str:
    """One sentence for the record, with counts and interval."""
    low, high = outcome.difference.interval
    pairs = f", {outcome.pairs:,} traces run both ways" if outcome.pairs else ""
    difference = signed(f"{100 * outcome.difference.estimate:+.1f} points ({100 * low:.1f} to {100 * high:.1f})")
    return (
        f"Replay of failing traces: {_share(outcome.without_change)} turn good without “{title}”, "
        f"{_share(outcome.with_change)} with it; difference {difference}{pairs}"
    )


def _share(level: Level) -> str:
    return f"{100 * level.mean:.1f}% of {level.count:,}"


def _level(side: Mapping[str, bool]) -> Level:
    good = sum(side.values())
    return Level(len(side), good / len(side), wilson_interval(good, len(side)))


def _paired(mended: int, broken: int, pairs: int) -> Estimate:
    estimate = (mended - broken) / pairs
    more, less, size = mended + 0.5, broken + 0.5, pairs + 2.0
    shifted = (more - less) / size
    half = Z95 * math.sqrt(max((more + less) / size - shifted**2, 0.0) / size)
    return Estimate(estimate, (max(shifted - half, -1.0), min(shifted + half, 1.0)))
