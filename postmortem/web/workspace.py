"""The frame of one incident's pages: its stages, what is done and what is missing."""

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from postmortem.accounts.models import Person
from postmortem.attribution.selectors import finding_is_stale, latest_finding
from postmortem.incidents.models import Incident, Participant, ParticipantRole, Status
from postmortem.incidents.permissions import Capability, capabilities, require
from postmortem.incidents.selectors import get_incident
from postmortem.lib.layers import LAYERS
from postmortem.report.gate import GateRule, next_step
from postmortem.report.selectors import gate
from postmortem.review.meeting import AgendaItem, meeting_state, open_meeting
from postmortem.review.proposals import heard_order, proposed_verdict
from postmortem.traces.selectors import evidence_counts


@dataclass(frozen=True)
class Stage:
    """One line of the rail. `state` is done, missing, open or plain."""

    name: str
    label: str
    key: str
    url: str
    state: str
    icon: str
    line: str


@dataclass(frozen=True)
class Workspace:
    """What every page of an incident shows around its content."""

    stages: list[Stage]
    rules: list[GateRule]
    incident: Incident
    facilitator: str
    may: dict[str, bool]
    published: bool
    layer_order: tuple[str, ...] = ()
    meeting: AgendaItem | None = None  # what the meeting that is going on discusses now

    @property
    def missing(self) -> list[tuple[GateRule, str]]:
        """Rules that still stand between this incident and publication, each with where it is mended."""
        return [(rule, rule_url(self.incident, rule)) for rule in self.rules if not rule.met]

    @property
    def next_step(self) -> tuple[GateRule, str] | None:
        """What is best mended next, with where; None when nothing is missing."""
        rule = next_step(self.rules, self.layer_order)
        return None if rule is None else (rule, rule_url(self.incident, rule))

    @property
    def met(self) -> list[GateRule]:
        """Rules that are met."""
        return [rule for rule in self.rules if rule.met]


_STAGES = [
    ("overview", "Overview", "o", "incident-overview"),
    ("evidence", "Evidence", "e", "evidence"),
    ("changes", "Changes", "c", "changes"),
    ("attribution", "Attribution", "t", "attribution"),
    ("review", "Review", "r", "review"),
    ("actions", "Actions", "a", "actions"),
    ("report", "Report", "p", "report"),
]


def open_incident(request: HttpRequest, number: str, capability: Capability = Capability.VIEW) -> Incident:
    """The incident with `number`, 404 if the signed-in person may not see it, 403 without `capability`."""
    try:
        incident = get_incident(request.user, number)
    except Incident.DoesNotExist as error:
        raise Http404(f"There is no incident {number}, or you may not see it.") from error
    if capability is not Capability.VIEW:
        require(request.user, capability, incident)
    return incident


def build_workspace(incident: Incident, person: Person) -> Workspace:
    """Stages with one line each, from the gate and a few counts; the number of queries is bounded."""
    rules = gate(incident)
    counts = evidence_counts(incident)
    finding = latest_finding(incident)
    published = incident.status == Status.PUBLISHED
    lines = {
        "evidence": f"{counts.traces:,} traces, {counts.scores:,} scores" if counts.traces else "nothing imported",
        "attribution": _finding_line(incident, finding),
        "report": "published" if published else "draft, not frozen",
    }
    facilitator = (
        Participant.objects.filter(incident=incident, role=ParticipantRole.FACILITATOR)
        .values_list("person__name", flat=True)
        .first()
    )
    talk = open_meeting(incident)
    allowed = capabilities(person, incident)
    stages = []
    for name, label, key, route in _STAGES:
        open_rules = [rule for rule in rules if rule.stage == name and not rule.met]
        if name == "overview":
            open_rules = [rule for rule in rules if not rule.met]
        state, icon, line = _stage_state(name, open_rules, len(rules), lines.get(name, ""), published)
        url = reverse(route, args=[incident.number])
        stages.append(Stage(name=name, label=label, key=key, url=url, state=state, icon=icon, line=line))
    probabilities = {layer.value: proposed_verdict(finding.result if finding else None, layer)[1] for layer in LAYERS}
    return Workspace(
        stages=stages,
        layer_order=tuple(layer.value for layer in heard_order(probabilities, incident.suspected_layer)),
        rules=rules,
        incident=incident,
        facilitator=facilitator or "",
        may={capability.name.lower(): capability in allowed for capability in Capability},
        published=published,
        meeting=meeting_state(talk).current if talk else None,
    )


def render_stage(
    request: HttpRequest,
    template: str,
    incident: Incident,
    stage: str,
    context: dict[str, Any] | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    """Render a page of `incident` inside its workspace frame."""
    frame = {
        "incident": incident,
        "current_stage": stage,
        "stage_title": {name: label for name, label, _, _ in _STAGES}.get(stage, ""),
        "workspace": build_workspace(incident, request.user),
    }
    return render(request, template, frame | (context or {}), status=status)


def rule_url(incident: Incident, rule: GateRule) -> str:
    """Where a missing thing is mended."""
    routes = {name: route for name, _, _, route in _STAGES}
    if rule.stage == "review" and rule.layer:
        return reverse("review-layer", args=[incident.number, rule.layer]) + f"#{rule.anchor}"
    if rule.stage == "overview":
        return reverse("incident-edit", args=[incident.number]) + f"#{rule.anchor}"
    return reverse(routes[rule.stage], args=[incident.number]) + f"#{rule.anchor}"


def _stage_state(
    name: str, open_rules: list[GateRule], rule_count: int, line: str, published: bool
) -> tuple[str, str, str]:
    if published:
        return ("done", "done", line or "frozen in the report")
    if name == "overview":
        return ("missing" if open_rules else "done", "overview", f"{len(open_rules)} of {rule_count} missing")
    if name == "report":
        return ("open", "open", line)
    if open_rules:
        text = line if line and name in ("evidence",) else f"{len(open_rules)} missing"
        return ("missing", "missing", text)
    return ("done", "done", line or "complete")


def _finding_line(incident: Incident, finding: Any) -> str:
    if finding is None:
        return "not run"
    return f"run {finding.number}, " + ("inputs changed" if finding_is_stale(incident, finding) else "inputs unchanged")
