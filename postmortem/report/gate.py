"""What stands between a draft and publication: one list, asked by web, API and command line alike. No Django here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from postmortem.attribution.wording import probability_text
from postmortem.lib.clock import describe_duration
from postmortem.lib.layers import LAYERS, Layer

_VERDICT_WORDS = {"in": "IN", "out": "OUT", "insufficient": "INSUFFICIENT"}
_PATHS_SHOWN = 3
_EARLY_STAGES = ("overview", "evidence", "changes", "attribution")
_RECORD, _VERDICTS, _WORK, _SIGNATURES = range(4)  # the order in which what is missing is mended


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What the gate asks of one layer. `verdict` is "", in, out or insufficient; `probability` 0 to 1 or None."""

    layer: Layer
    verdict: str = ""
    evidence_count: int = 0
    lead: str = ""
    proposed: str = ""
    probability: float | None = None
    signed: bool = False
    signature_withdrawn: bool = False
    factor_count: int = 0
    instrument_count: int = 0


@dataclass(frozen=True, slots=True)
class ActionFacts:
    """One action item that was not dropped."""

    number: int
    title: str
    owner: str
    owner_active: bool = True
    has_due_date: bool = True
    has_verification: bool = True


@dataclass(frozen=True, slots=True)
class GateFacts:
    """All that the gate needs to know of an incident. Moments are UTC; `uncut_paths` hold the factors' words."""

    layers: tuple[LayerFacts, ...]
    summary: str = ""
    impact: str = ""
    onset: datetime | None = None
    detected: datetime | None = None
    mitigated: datetime | None = None
    trace_count: int = 0
    change_count: int = 0
    finding_number: int | None = None
    finding_stale: bool = False
    factor_count: int = 0
    graph_acyclic: bool = True
    has_impact_node: bool = False
    connects_cause_to_impact: bool = False
    orphans: tuple[str, ...] = ()
    uncut_paths: tuple[tuple[str, ...], ...] = ()
    more_uncut_paths: bool = False
    cut_suggestion: tuple[str, ...] = ()
    actions: tuple[ActionFacts, ...] = ()
    facilitators: tuple[str, ...] = ()
    facilitator_signed: bool = False
    facilitator_signature_withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class GateRule:
    """One condition. `stage` and `anchor` say where it is mended; `layer` is set where the rule is a layer's own."""

    id: str
    met: bool
    title: str
    detail: str
    stage: str
    anchor: str
    layer: str | None = None


def check_gate(facts: GateFacts) -> list[GateRule]:
    """Every rule that applies, met or not, in the order of the stages. Publishing needs all of them met."""
    return [
        *_record_rules(facts),
        *_evidence_rules(facts),
        *(rule for layer in facts.layers for rule in _layer_rules(layer)),
        *_graph_rules(facts),
        *_action_rules(facts),
        _facilitator_rule(facts),
    ]


def missing(rules: Sequence[GateRule]) -> list[GateRule]:
    """The rules that are not met."""
    return [rule for rule in rules if not rule.met]


def next_step(rules: Sequence[GateRule], order: Sequence[str] = ()) -> GateRule | None:
    """The missing rule to mend next: verdicts in the `order` of the layers, signatures when nothing else changes."""
    places = {layer: place for place, layer in enumerate(order)}

    def place(rule: GateRule) -> tuple[int, int]:
        kind = rule.id.partition("-")[0]
        if kind == "verdict":
            return _VERDICTS, places.get(rule.layer or "", 0)
        if kind == "signed":
            return _SIGNATURES, rule.layer is None
        return (_RECORD if rule.stage in _EARLY_STAGES else _WORK), 0

    return min(missing(rules), key=place, default=None)


def _record_rules(facts: GateFacts) -> Iterator[GateRule]:
    for name, text in (("summary", facts.summary), ("impact", facts.impact)):
        met = bool(text.strip())
        yield GateRule(
            name, met, f"The {name} is written" if met else f"The {name} is not written",
            "What happened, in two or three sentences that a reader from outside understands."
            if name == "summary" else "Who was touched, how badly and how we know.",
            "overview", f"field-{name}",
        )  # fmt: skip
    moments = (
        ("onset", "onset", facts.onset, "When the signal began to fall. The attribution proposes a time."),
        ("detected", "detection", facts.detected, "When the first person or alert noticed."),
        ("mitigated", "mitigation", facts.mitigated, "When the harm was stopped."),
    )
    for name, word, moment, detail in moments:
        met = moment is not None
        yield GateRule(
            name, met, f"The time of {word} is set" if met else f"The time of {word} is missing",
            detail, "overview", f"field-{name}_at",
        )  # fmt: skip
    if facts.onset and facts.mitigated and facts.mitigated < facts.onset:
        span = describe_duration(facts.onset - facts.mitigated)
        yield GateRule(
            "times-in-order", False, "Mitigation lies before the onset",
            f"By {span}; correct one of the two.", "overview", "field-mitigated_at",
        )  # fmt: skip


def _evidence_rules(facts: GateFacts) -> Iterator[GateRule]:
    yield GateRule(
        "evidence", facts.trace_count > 0, "Evidence is imported" if facts.trace_count else "No evidence is imported",
        f"{facts.trace_count:,} traces." if facts.trace_count else "Paste a trace link or upload an export.",
        "evidence", "import",
    )  # fmt: skip
    yield GateRule(
        "changes", facts.change_count > 0, "Change logs are present" if facts.change_count else "No change is logged",
        f"{facts.change_count:,} changes." if facts.change_count
        else "Bring the logs of model, prompt, retrieval and infrastructure.",
        "changes", "add",
    )  # fmt: skip
    if facts.finding_number is None:
        title, detail = "Attribution was not run", "It joins traces and changes and proposes a verdict for each layer."
    elif facts.finding_stale:
        title = "The attribution is out of date"
        detail = f"Evidence, changes or windows were altered after run {facts.finding_number}. Run it again."
    else:
        title, detail = "The attribution is up to date", f"Run {facts.finding_number}."
    met = facts.finding_number is not None and not facts.finding_stale
    yield GateRule("attribution", met, title, detail, "attribution", "run")


def _layer_rules(facts: LayerFacts) -> Iterator[GateRule]:
    layer, name = facts.layer.value, facts.layer.label
    word = _VERDICT_WORDS.get(facts.verdict, "")
    if not word:
        title = f"{name} has no verdict"
    elif not facts.evidence_count:
        title = f"{name} is {word} without evidence"
    else:
        title = f"{name} is {word}"
    yield GateRule(
        f"verdict-{layer}", bool(word) and facts.evidence_count > 0, title, _layer_detail(facts),
        "review", "verdict" if facts.evidence_count or not word else "evidence", layer,
    )  # fmt: skip
    if facts.verdict == "insufficient":
        met = facts.instrument_count > 0
        yield GateRule(
            f"instrument-{layer}", met,
            f"{name} is INSUFFICIENT and says what to log next time" if met
            else f"{name} is INSUFFICIENT and names nothing to log next time",
            f"{_count(facts.instrument_count, 'action item')} of kind instrument."
            if met else f"Add an action item of kind instrument for {layer}.",
            "actions", "new", layer,
        )  # fmt: skip
    if facts.verdict == "in":
        met = facts.factor_count > 0
        yield GateRule(
            f"factor-{layer}", met,
            f"{name} is IN and has a contributing factor" if met else f"{name} is IN and has no contributing factor",
            _count(facts.factor_count, "contributing factor") + "."
            if met else "Say what in this layer led to the impact: latent condition, trigger, amplifier or gap.",
            "review", "factors", layer,
        )  # fmt: skip
        yield _lead_rule(facts)


def _lead_rule(facts: LayerFacts) -> GateRule:
    layer, name = facts.layer.value, facts.layer.label
    met = facts.signed and not facts.signature_withdrawn
    if met:
        title = f"{name} is IN and its lead has signed"
        detail = f"{facts.lead}." if facts.lead else ""
    elif not facts.lead:
        title = f"{name} is IN and nobody leads it"
        detail = "Name a layer lead among the participants; the lead signs for the verdict."
    elif facts.signature_withdrawn:
        title = f"{name} changed after its lead signed"
        detail = f"{facts.lead} signed an earlier content and has to read it again."
    else:
        title = f"{name} is IN and its lead has not signed"
        detail = f"{facts.lead} leads this layer."
    return GateRule(f"signed-{layer}", met, title, detail, "review", "sign-off", layer)


def _layer_detail(facts: LayerFacts) -> str:
    lead = f"{facts.lead} leads this layer." if facts.lead else "Nobody leads this layer yet."
    proposal = ""
    if facts.proposed and facts.probability is not None:
        words = {"in": "rules it in", "out": "rules it out", "insufficient": "leaves it open"}
        said = words.get(facts.proposed, "has no word on it")
        proposal = f" The attribution {said}, {probability_text(facts.probability)}."
    evidence = (
        f" {_count(facts.evidence_count, 'piece')} of evidence." if facts.evidence_count else " No evidence added yet."
    )
    return lead + proposal + evidence


def _graph_rules(facts: GateFacts) -> Iterator[GateRule]:
    yield GateRule(
        "graph-acyclic", facts.graph_acyclic,
        "The causal graph has no circle" if facts.graph_acyclic else "The causal graph runs in a circle",
        "" if facts.graph_acyclic else "Nothing can cause itself: take one arrow of the circle away.",
        "review", "graph",
    )  # fmt: skip
    if not facts.has_impact_node:
        detail = "Add the impact as a factor and draw an arrow from a cause to it."
    elif not facts.connects_cause_to_impact:
        detail = "Draw an arrow from a contributing factor to the impact."
    elif facts.orphans:
        detail = f"Lead nowhere: {_listed(facts.orphans)}."
    else:
        detail = f"{_count(facts.factor_count, 'factor')}."
    connected = facts.has_impact_node and facts.connects_cause_to_impact and not facts.orphans
    if connected:
        title = "The causal graph connects causes and impact"
    elif facts.has_impact_node and facts.connects_cause_to_impact:
        title = f"{_count(len(facts.orphans), 'factor')} of the causal graph {_verb(facts.orphans)} to no impact"
    else:
        title = "The causal graph connects no cause to the impact"
    yield GateRule("graph-connected", connected, title, detail, "review", "graph")
    if facts.connects_cause_to_impact and facts.graph_acyclic:
        yield _cut_rule(facts)


def _cut_rule(facts: GateFacts) -> GateRule:
    if not facts.uncut_paths:
        return GateRule(
            "paths-cut", True, "Every path from a cause to the impact is cut", "By an action item or an accepted risk.",
            "actions", "new",
        )  # fmt: skip
    count = len(facts.uncut_paths)
    number = f"More than {count}" if facts.more_uncut_paths else ("One" if count == 1 else str(count))
    title = (
        f"{number} path{'' if count == 1 else 's'} from a cause to the impact {'is' if count == 1 else 'are'} not cut"
    )
    detail = "; ".join(" → ".join(path) for path in facts.uncut_paths[:_PATHS_SHOWN]) + "."
    if facts.cut_suggestion:
        detail += f" Fewest cuts: {_listed(facts.cut_suggestion)}."
    return GateRule("paths-cut", False, title, detail, "actions", "new")


def _action_rules(facts: GateFacts) -> Iterator[GateRule]:
    ruled_in = [layer.layer.label for layer in facts.layers if layer.verdict == "in"]
    if ruled_in or facts.actions:
        met = bool(facts.actions)
        yield GateRule(
            "actions", met, f"{_count(len(facts.actions), 'action item')}" if met else "There is no action item",
            "" if met else f"{_listed(ruled_in)} {'is' if len(ruled_in) == 1 else 'are'} IN and nobody does anything.",
            "actions", "new",
        )  # fmt: skip
    for action in facts.actions:
        if not action.owner_active:
            yield GateRule(
                f"owner-{action.number}", False, f"A-{action.number} has no active owner",
                f"{action.owner} is not active any more. Hand “{action.title}” over.",
                "actions", f"action-{action.number}",
            )  # fmt: skip
        if not action.has_due_date:
            yield GateRule(
                f"due-{action.number}", False, f"A-{action.number} has no due date",
                f"Say when “{action.title}” is done.", "actions", f"action-{action.number}",
            )  # fmt: skip
        if not action.has_verification:
            yield GateRule(
                f"verification-{action.number}", False, f"A-{action.number} has no verification",
                f"Say what will show that “{action.title}” works.", "actions", f"action-{action.number}",
            )  # fmt: skip
    if facts.actions and all(action.owner_active for action in facts.actions):
        yield GateRule("owners", True, "Every action item has an active owner", "", "actions", "actions")


def _facilitator_rule(facts: GateFacts) -> GateRule:
    who = _listed(facts.facilitators)
    has, signs = ("has", "signs") if len(facts.facilitators) == 1 else ("have", "sign")
    met = facts.facilitator_signed and not facts.facilitator_signature_withdrawn
    if met:
        title, detail = "The facilitator has signed", who and f"{who}."
    elif not facts.facilitators:
        title, detail = "Nobody facilitates", "Name a facilitator among the participants; they sign the whole review."
    elif facts.facilitator_signature_withdrawn:
        title, detail = "The review changed after the facilitator signed", f"{who} {has} to read it again and sign."
    else:
        title, detail = "The facilitator has not signed", f"{who} {signs} for the whole review."
    return GateRule("signed-facilitator", met, title, detail, "review", "sign-off")


def empty_layers() -> tuple[LayerFacts, ...]:
    """Four layers of which nothing is known yet."""
    return tuple(LayerFacts(layer) for layer in LAYERS)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _verb(things: Sequence[str]) -> str:
    return "leads" if len(things) == 1 else "lead"


def _listed(things: Sequence[str]) -> str:
    shown = [str(thing) for thing in things[:4]] + ([f"{len(things) - 4} more"] if len(things) > 4 else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
