"""The finding in a headline and three sentences, as leaders read it. Pure."""

from postmortem.attribution.explain import Explained, mix_sentence
from postmortem.attribution.shapes import CredibleSet, Estimate, Hypothesis, MixSplit, SignalFacts
from postmortem.attribution.windows import Windows
from postmortem.attribution.wording import NEGLIGIBLE, difference_text, levels, movement, probability_text

CERTAIN, LEADING = 0.9, 0.5
_EVEN = 0.6  # a twin with so much of the leader's probability leaves no leader
_FEW = 4  # changes that a headline still calls a handful
# Explanations of one harm share a probability of 1; what goes beyond it says that two of them did harm.
_TOGETHER = 1.1
Sets = tuple[CredibleSet, ...]


def headline(explained: Explained, sets: Sets, drop: Estimate, signal: SignalFacts) -> str:
    """What did it and how sure that is; what the average does not show is called harm, not a drop or a rise."""
    top = explained.hypotheses[0]
    harm = f"the {movement(signal)}" if is_clear(drop, signal) else "what got worse"
    sure = [one for one in explained.hypotheses if one.kind == "change" and one.probability >= CERTAIN]
    if len(sure) > 1 and top in sure:
        return f"{_counted(len(sure))} changes explain {harm}: " + "; ".join(_named(one) for one in sure)
    if top.probability >= CERTAIN:
        return {
            "change": f"One change explains {harm}: {_named(top)}",
            "unlogged": f"No logged change explains {harm}: {_small(_named(top))}",
            "mix": f"The traffic mix explains {harm}, {probability_text(top.probability)}",
            "none": f"No change explains {harm}: it is an ordinary swing, {probability_text(top.probability)}",
        }[top.kind]
    twins = _twins(explained, sets)
    if top.probability >= LEADING and not (twins and twins[1].probability >= _EVEN * top.probability):
        return {
            "change": f"One change is the leading suspect: {_named(top)}",
            "unlogged": f"Probably no logged change: {_small(_named(top))}",
            "mix": f"Probably the traffic mix, {probability_text(top.probability)}",
            "none": f"Probably an ordinary swing, {probability_text(top.probability)}",
        }[top.kind]
    if twins:
        return f"{_counted(len(twins))} changes cannot be told apart: " + "; ".join(one.title for one in twins)
    return (
        f"The data cannot tell what caused the {movement(signal)}"
        if is_clear(drop, signal)
        else ("The data cannot tell whether any change did harm")
    )


def lede(explained: Explained, sets: Sets, windows: Windows, signal: SignalFacts) -> str:
    """How far the signal moved, how far the other explanations are, and what the mix accounts for."""
    clear = is_clear(windows.drop, signal)
    first = (
        f"{signal.label} went from {levels(windows.baseline.level, signal)} before to "
        f"{levels(windows.incident.level, signal)} in the incident: {difference_text(windows.drop, signal)}"
        f"{'' if clear else f', no clear {movement(signal)} over all traffic'}."
    )
    top, *others = explained.hypotheses
    parts = [
        first,
        _besides(top, others),
        _alternatives(top, others, sets, explained),
        _mix(top, explained.mix, signal, clear),
    ]
    return " ".join(text for text in parts if text)


def is_clear(drop: Estimate, signal: SignalFacts) -> bool:
    """Whether the signal moved the wrong way by more than chance over all traffic."""
    return drop.interval[1] < 0 if signal.worse == "lower" else drop.interval[0] > 0


def _besides(top: Hypothesis, others: list[Hypothesis]) -> str:
    """What the same data show on top of the first cause; sure ones are in the headline."""
    more = [one for one in others if _harms_too(top, one) and not (one.kind == "change" and one.probability >= CERTAIN)]
    if not more:
        return ""
    how = "probably" if sum(one.probability for one in more) >= LEADING else "perhaps"
    if len(more) == 1:
        return f"Besides it, {_quoted(more[0])} {how} did harm too."
    *first, last = (_quoted(one) for one in more[:_FEW])
    return f"Besides it, something more {how} did harm: {', '.join(first)} or {last}."


def _harms_too(top: Hypothesis, one: Hypothesis) -> bool:
    causes = {"change", "unlogged"}
    return top.kind in causes and one.kind in causes and top.probability + one.probability > _TOGETHER


def _alternatives(top: Hypothesis, others: list[Hypothesis], sets: Sets, explained: Explained) -> str:
    own = next((one for one in sets if top.kind == "change" and top.changes[0] in one.changes), None)
    rivals = [one for one in others if not _harms_too(top, one)]
    if top.probability < LEADING and not _twins(explained, sets):
        best = f"The best explanation is {_quoted(top)}"
        return f"{best}, the next {_quoted(rivals[0])}." if rivals else f"{best}."
    parts = []
    if len(sets) > 1 and all(len(one.changes) == 1 and not one.beside for one in sets):
        parts.append(f"{_counted(len(sets))} credible sets hold one change each")
    elif own:
        rivals = [one for one in rivals if not _is_in(own, one)]
        parts.append(f"The credible set holds {_held(own)}")
    if rivals and rivals[0].probability < NEGLIGIBLE:
        parts.append(f"{'no' if parts else 'No'} other explanation reaches P 0.01")
    elif rivals:
        parts.append(f"{'the' if parts else 'The'} next best explanation is {_quoted(rivals[0])}")
    return ", and ".join(parts) + "." if parts else ""


def _mix(top: Hypothesis, mix: MixSplit | None, signal: SignalFacts, clear: bool) -> str:
    if top.kind == "mix":
        return top.sentence
    return mix_sentence(mix, signal) if clear else ""


def _twins(explained: Explained, sets: Sets) -> list[Hypothesis]:
    """The few changes that share the lead and that the data cannot tell apart."""
    top = explained.hypotheses[0]
    if not sets or top.kind != "change" or top.changes[0] not in sets[0].changes:
        return []
    if sets[0].beside or not 1 < len(sets[0].changes) <= _FEW:
        return []
    return [one for one in explained.hypotheses if one.changes and one.changes[0] in sets[0].changes]


def _is_in(own: CredibleSet, one: Hypothesis) -> bool:
    kind = "none" if one.kind == "mix" else one.kind
    return kind in own.beside or bool(set(one.changes) & set(own.changes))


def _held(own: CredibleSet) -> str:
    count = len(own.changes)
    beside = [{"unlogged": "a step that no log mentions"}.get(kind, "no change at all") for kind in own.beside]
    if count == 1 and not beside:
        return "this change alone"
    names = ["this change" if count == 1 else f"{count} changes", *beside]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


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
