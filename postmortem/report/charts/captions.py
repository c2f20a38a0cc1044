"""The signature picture in words: its alternative text and its captions. Pure."""

from collections.abc import Sequence

from postmortem.lib.layers import LAYERS
from postmortem.report.charts import wording
from postmortem.report.charts.data import SignatureData, Span


def alternative_text(data: SignatureData) -> str:
    """What the picture shows, in numbers."""
    first, last = data.series[0].start, data.series[-1].end
    parts = [f"{data.label} from {wording.day(first)} to {wording.day(last)}, UTC."]
    for name, span in (("Baseline", data.baseline), ("Incident", data.incident)):
        if span:
            parts.append(f"{name} {level_words(data, span)}.")
    if data.drop:
        parts.append(f"Change {wording.change(data.drop[0], data.unit)} ({interval_words(data, data.drop)}).")
    moments = [
        f"{name} {wording.moment(at)}"
        for name, at in (("onset", data.onset), ("detected", data.detected), ("mitigated", data.mitigated))
        if at
    ]
    if moments:
        text = ", ".join(moments)
        parts.append(text[0].upper() + text[1:] + ".")
    logged = [mark for mark in data.changes if mark.logged]
    counts = ", ".join(f"{layer.value} {sum(mark.layer == layer for mark in logged)}" for layer in LAYERS)
    parts.append(f"{len(logged)} logged change{'' if len(logged) == 1 else 's'}: {counts}.")
    ranked = sorted(data.changes, key=lambda mark: -mark.probability)[:2]
    best = "Most probable cause" if data.cause else "Most probable change"
    for mark, rank in zip(ranked, (best, "Next"), strict=False):
        parts.append(f"{rank}: {mark.summary}, {wording.p_text(mark.probability)}, {wording.moment(mark.at)}.")
    return " ".join(parts)


def level_words(data: SignatureData, span: Span) -> str:
    """Level, interval and count: "92.2% (91.8 to 92.5), n 21,729"."""
    level = span.level
    bounds = wording.interval((level.low, level.high), data.unit)
    return f"{wording.level(level.mean, data.unit)} ({bounds}), n {level.count:,}"


def interval_words(data: SignatureData, estimate: tuple[float, float, float]) -> str:
    """The interval of an (estimate, low, high)."""
    return wording.interval((estimate[1], estimate[2]), data.unit)


def bin_words(series: Sequence[Span]) -> str:
    """How long a bin is: "6 h", "20 min"."""
    hours = sorted((span.end - span.start).total_seconds() / 3600 for span in series)[len(series) // 2]
    return f"{hours:.2g} h" if hours >= 1 else f"{hours * 60:.0f} min"
