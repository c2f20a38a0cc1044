"""Whether an action worked: a signal, a comparison, a threshold and a window, judged on traces. No Django here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from postmortem.attribution.intervals import mean_interval, wilson_interval
from postmortem.lib.errors import UserError

AT_LEAST, AT_MOST = "at_least", "at_most"
COMPARISONS = [(AT_LEAST, "at least"), (AT_MOST, "at most")]
MET, NOT_MET, UNSURE, NO_DATA = "met", "not_met", "unsure", "no_data"
OUTCOMES = [(MET, "Met"), (NOT_MET, "Not met"), (UNSURE, "Not sure yet"), (NO_DATA, "No fresh traces")]
MOST_DAYS = 90
_ENOUGH = 0.8  # share of the window that the traces must span
_FEWEST = 20  # traces below which nothing is said


@dataclass(frozen=True, slots=True)
class Plan:
    """How an action will be verified: `signal` is `comparison` `threshold` over `days` days (in the signal's unit)."""

    signal: str
    comparison: str
    threshold: float
    days: int

    def sentence(self) -> str:
        """ "grounded at least 0.92 for 7 days"."""
        words = dict(COMPARISONS)[self.comparison]
        return f"{self.signal} {words} {self.threshold:g} for {self.days} day{'' if self.days == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a window of traces says of a plan. `mean` and its 95 % interval are None without enough traces."""

    outcome: str
    start: datetime
    end: datetime
    count: int
    mean: float | None
    low: float | None
    high: float | None
    sentence: str


def checked_plan(signal: str, comparison: str, threshold: float | None, days: int | None) -> Plan:
    """The plan, if it can be checked. Raises UserError for whatever is missing or out of bounds."""
    signal = " ".join(signal.split())
    if not signal or len(signal) > 120:
        raise UserError("Name the signal that will show that it works, in up to 120 characters.")
    if comparison not in dict(COMPARISONS):
        raise UserError("Say whether the signal must be at least or at most the threshold.")
    if threshold is None or not math.isfinite(threshold):
        raise UserError("Give the threshold as a number, for example 0.92.")
    if days is None or not 1 <= days <= MOST_DAYS:
        raise UserError(f"The window has 1 to {MOST_DAYS} days.")
    return Plan(signal, comparison, float(threshold), days)


def judge(plan: Plan, values: Sequence[tuple[datetime, float]], after: datetime) -> Judgement:
    """Judge the newest `plan.days` days of `values` (time, value), counting only what came at or after `after`.

    Met needs the mean's 95 % interval (Wilson for rates, else Student) on the good side, from at least 20 traces
    that span four fifths of the window; not met needs all of it on the bad side; anything else is not sure.
    """
    fresh = sorted(pair for pair in values if pair[0] >= after)
    if not fresh:
        sentence = "No traces with this signal came after the incident; import a fresh window first."
        return Judgement(NO_DATA, after, after, 0, None, None, None, sentence)
    end = fresh[-1][0]
    start = max(after, end - timedelta(days=plan.days))
    window = [value for at, value in fresh if at >= start]
    first = next(at for at, _ in fresh if at >= start)
    count, mean = len(window), sum(window) / len(window)
    if set(window) <= {0.0, 1.0}:
        low, high = wilson_interval(sum(window), count)
    else:
        variance = sum((value - mean) ** 2 for value in window) / max(count - 1, 1)
        low, high = mean_interval(mean, variance, count)
    found = f"{plan.signal} was {mean:.4g} ({low:.4g} to {high:.4g}) over {count:,} traces"
    at_least = plan.comparison == AT_LEAST
    good, bad = (low >= plan.threshold, high < plan.threshold) if at_least else (
        high <= plan.threshold, low > plan.threshold
    )  # fmt: skip
    wanted = f"{dict(COMPARISONS)[plan.comparison]} {plan.threshold:g}"
    if count < _FEWEST:
        outcome, sentence = UNSURE, f"{found}: too few to tell; {_FEWEST} are needed."
    elif bad:
        outcome, sentence = NOT_MET, f"{found}: not {wanted}."
    elif end - first < _ENOUGH * timedelta(days=plan.days):
        days = (end - first) / timedelta(days=1)
        outcome, sentence = UNSURE, f"{found}, in {days:.1f} of {plan.days} days: the window is not over."
    elif good:
        outcome, sentence = MET, f"{found}: {wanted}, with its whole interval."
    else:
        outcome, sentence = UNSURE, f"{found}: the interval holds {plan.threshold:g}."
    return Judgement(outcome, start, end, count, mean, low, high, sentence)
