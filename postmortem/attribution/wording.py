"""Numbers and sentences as leaders read them: short, exact, each with its interval and count. Pure."""

from datetime import datetime

from postmortem.attribution.shapes import Estimate, Interval, Level, SignalFacts
from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import describe_duration
from postmortem.traces.signals import SIGNALS, signal_label

NEGLIGIBLE = 0.005  # a probability below it is written as "P < 0.01"


def signal_facts(name: str, worse: str, *, binary: bool) -> SignalFacts:
    """Label, kind and unit of a signal; scores of 0 and 1 are shares."""
    built_in = SIGNALS.get(name)
    unit = "share" if binary else (built_in.unit if built_in else "score")
    return SignalFacts(name, signal_label(name), worse, "binary" if binary else "continuous", unit)


def signed(text: str) -> str:
    """A typographic minus instead of a hyphen."""
    return text.replace("-", "−")


def level_text(value: float, signal: SignalFacts) -> str:
    """A level with its unit: "79.3%", "1.8 s", "$0.0120", "0.713"."""
    return signed(_with_unit(_level_digits(value, signal), signal))


def _level_digits(value: float, signal: SignalFacts) -> str:
    if signal.unit == "share":
        return f"{100 * value:.1f}"
    if signal.unit == "s":
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{value:.4f}" if signal.unit == "USD" else f"{value:.3g}" if abs(value) >= 10 else f"{value:.3f}"


def _with_unit(digits: str, signal: SignalFacts) -> str:
    return {"share": f"{digits}%", "s": f"{digits} s", "USD": f"${digits}"}.get(signal.unit, digits)


def levels(level: Level, signal: SignalFacts) -> str:
    """Level with interval and count: "79.3% (77.8 to 80.7), n 3,092"."""
    low, high = (signed(_level_digits(bound, signal)) for bound in level.interval)
    return f"{level_text(level.mean, signal)} ({low} to {high}), n {level.count:,}"


def difference_text(estimate: Estimate, signal: SignalFacts) -> str:
    """Difference with interval: "−13.0 points (−14.7 to −11.2)", "+0.84 s (0.61 to 1.07)"."""
    return f"{points(estimate.estimate, signal)} ({interval_text(estimate.interval, signal)})"


def points(value: float, signal: SignalFacts) -> str:
    """A difference with sign and unit."""
    digits = _without_minus_zero(_level_digits(value, signal))
    plus = "+" if float(digits) > 0 else ""
    unit = {"share": " points", "s": " s", "USD": " USD"}.get(signal.unit, "")
    return signed(f"{plus}{digits}{unit}")


def amount(value: float, signal: SignalFacts) -> str:
    """A size without sign: "0.9 points", "0.30 s"."""
    return points(abs(value), signal).lstrip("+")


def interval_text(interval: Interval, signal: SignalFacts) -> str:
    """Bounds of a difference without unit."""
    return " to ".join(signed(_without_minus_zero(_level_digits(bound, signal))) for bound in interval)


def _without_minus_zero(digits: str) -> str:
    return digits if float(digits) else digits.lstrip("-")


def probability_text(probability: float) -> str:
    """ "P 0.97"."""
    return f"P {probability_digits(probability)}"


def probability_digits(probability: float) -> str:
    """ "0.97", "> 0.99", "< 0.01"; never quite 0 or 1, as a model never is."""
    if probability >= 1 - NEGLIGIBLE:
        return "> 0.99"
    return "< 0.01" if probability < NEGLIGIBLE else f"{probability:.2f}"


def moment_text(moment: datetime) -> str:
    """ "9 March 09:20" (UTC)."""
    return f"{moment.day} {moment:%B %H:%M} UTC"


def apart(earlier: datetime, later: datetime) -> str:
    """How far apart two moments are, in words."""
    return describe_duration(later - earlier)


def change_title(change: ChangeRecord) -> str:
    """What the log says the change was, else its id."""
    return change.summary.strip() or change.id


def movement(signal: SignalFacts) -> str:
    """What the signal did: "drop" or "rise"."""
    return "drop" if signal.worse == "lower" else "rise"


def movement_text(harm: float, signal: SignalFacts) -> str:
    """How far the signal went the wrong way: "a drop of 13.2 points", or that it did not."""
    word = movement(signal)
    return f"a {word} of {amount(harm, signal)}" if harm > 0 else f"no {word} over all traffic"


def facet_words(facet: str) -> str:
    """A version facet as people say it: "served model" for `model_served`; others keep their names."""
    return {
        "model_served": "served model",
        "model_version": "model version",
        "prompt_version": "prompt version",
        "index_version": "index version",
        "judge_version": "judge version",
        "tool_schema": "tool schema",
    }.get(facet, facet)


def facet_title(facet: str) -> str:
    """A version facet at the start of a sentence: "Served model"."""
    words = facet_words(facet)
    return words[:1].upper() + words[1:] if words != facet else facet


def p_value_text(chance: float) -> str:
    """A p-value: "p 0.012", "p < 0.001"."""
    return "p < 0.001" if chance < 0.001 else f"p {chance:.2g}"


def plural(count: int, noun: str) -> str:
    """ "1 change", "1,204 traces"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
