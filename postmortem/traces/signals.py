"""Signals: what got worse. Five are built in, everything else is the name of a score. No Django here."""

from dataclasses import dataclass

from postmortem.traces.records import TraceRecord


@dataclass(frozen=True, slots=True)
class SignalKind:
    """A built-in signal: name for people, unit of its values, the direction that is worse."""

    label: str
    unit: str
    worse: str


LABEL = "label"  # what reviewers said: 1 failing, 0 fine
LABEL_ID = "postmortem:label"  # of the score that carries the label which counts

SIGNALS: dict[str, SignalKind] = {
    "latency": SignalKind("Latency", "s", "higher"),
    "time_to_first_token": SignalKind("Time to first token", "s", "higher"),
    "cost": SignalKind("Cost", "USD", "higher"),
    "error": SignalKind("Error rate", "share", "higher"),
    LABEL: SignalKind("Failing, as reviewers labelled it", "share", "higher"),
}


def signal_value(record: TraceRecord, signal: str) -> float | None:
    """The signal's value for one trace: seconds, USD, 1 or 0 for errors and labels, or the score; None without one."""
    if signal == "error":
        return 1.0 if record.has_error else 0.0
    built_in = {
        "latency": record.latency_seconds,
        "time_to_first_token": record.time_to_first_token_seconds,
        "cost": record.cost_usd,
    }.get(signal)
    return built_in if built_in is not None else record.scores.get(signal)


def signal_label(name: str) -> str:
    """Name for people; a score keeps the name that its source gave it."""
    return SIGNALS[name].label if name in SIGNALS else name
