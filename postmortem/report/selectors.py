"""Reads of the report: the gate, and the pictures of the latest finding."""

from dataclasses import dataclass

from postmortem.actions import selectors as actions
from postmortem.actions.models import ActionItem
from postmortem.attribution.models import Finding
from postmortem.attribution.selectors import finding_is_stale, latest_finding
from postmortem.changes.selectors import change_records
from postmortem.incidents.models import Incident
from postmortem.incidents.selectors import facilitators
from postmortem.report.charts.data import SignatureData, exposed_data, signature_data
from postmortem.report.charts.exposed import exposed_chart
from postmortem.report.charts.signature import signature_chart
from postmortem.report.gate import ActionFacts, GateFacts, GateRule, LayerFacts, check_gate
from postmortem.report.models import Report
from postmortem.review.causal_graph import CausalGraph, GraphCheck, check_graph
from postmortem.review.models import ContributingFactor
from postmortem.review.selectors import facilitator_sign, layer_summaries
from postmortem.traces.selectors import evidence_counts


@dataclass(frozen=True)
class OverviewPicture:
    """The latest finding in words and as the signature picture, drawn for wide and for narrow screens."""

    headline: str
    lede: str
    wide: str
    narrow: str


def gate(incident: Incident) -> list[GateRule]:
    """Every rule that stands between `incident` and publication, met or not. The number of queries is bounded."""
    return check_gate(gate_facts(incident))


def gate_facts(incident: Incident) -> GateFacts:
    """What the gate asks, as stored now."""
    summaries = layer_summaries(incident)
    items = [item for item in actions.actions_for(incident) if item.status != ActionItem.Status.DROPPED]
    instruments = [item.layer for item in items if item.kind == ActionItem.Kind.INSTRUMENT]
    graph = actions.graph(incident)
    check = check_graph(graph)
    finding = latest_finding(incident)
    sign = facilitator_sign(incident)
    return GateFacts(
        layers=tuple(
            LayerFacts(
                layer=one.layer,
                verdict=one.verdict.value if one.verdict else "",
                evidence_count=one.evidence_count,
                lead=one.lead.name if one.lead else "",
                proposed=one.proposed,
                probability=one.probability,
                signed=one.signed,
                signature_withdrawn=one.signature_withdrawn,
                factor_count=one.factor_count,
                instrument_count=instruments.count(str(one.layer)),
            )
            for one in summaries
        ),
        summary=incident.summary,
        impact=incident.impact,
        onset=incident.onset_at,
        detected=incident.detected_at,
        mitigated=incident.mitigated_at,
        trace_count=evidence_counts(incident).traces,
        change_count=incident.feature.changes.count(),
        finding_number=finding.number if finding else None,
        finding_stale=finding is not None and finding_is_stale(incident, finding),
        actions=tuple(_action_facts(item) for item in items),
        facilitators=tuple(person.name for person in facilitators(incident)),
        facilitator_signed=sign.signed,
        facilitator_signature_withdrawn=sign.withdrawn,
        **_graph_facts(graph, check),
    )


def _action_facts(item: ActionItem) -> ActionFacts:
    return ActionFacts(
        item.number, item.title, item.owner.name, item.owner.is_active,
        has_due_date=item.due_on is not None, has_verification=bool(item.verification.strip()),
    )  # fmt: skip


def chart_data(incident: Incident) -> SignatureData | None:
    """What the signature picture shows of the latest finding; None before the first run."""
    finding = latest_finding(incident)
    if finding is None:
        return None
    return signature_data(
        finding.result,
        change_records(incident),
        onset=incident.onset_at,
        detected=incident.detected_at,
        mitigated=incident.mitigated_at,
    )


def overview_chart(incident: Incident) -> OverviewPicture | None:
    """The signature picture of the latest finding for the overview page; None before the first run."""
    finding, data = latest_finding(incident), chart_data(incident)
    if finding is None or data is None or not data.series:
        return None
    return OverviewPicture(
        headline=str(finding.result.get("headline", "")),
        lede=str(finding.result.get("lede", "")),
        wide=signature_chart(data, variant="screen"),
        narrow=signature_chart(data, variant="narrow"),
    )


def exposed_charts(finding: Finding) -> dict[str, str]:
    """Change id, or "unlogged", to its picture of exposed against unexposed over time where there is one."""
    charts = {}
    for hypothesis in finding.result["hypotheses"]:
        data = exposed_data(finding.result, hypothesis)
        if data is not None:
            charts[next(iter(hypothesis["changes"]), hypothesis["kind"])] = exposed_chart(data, variant="screen")
    return charts


def reports(incident: Incident) -> list[Report]:
    """Published versions, newest first, without their bytes."""
    return list(incident.reports.select_related("published_by").defer("record"))


def latest_report(incident: Incident) -> Report | None:
    """The newest published version."""
    return incident.reports.select_related("published_by").first()


def _graph_facts(graph: CausalGraph, check: GraphCheck) -> dict[str, object]:
    words = {node.id: node.text for node in graph.nodes}
    factors = [node for node in graph.nodes if node.kind != ContributingFactor.Kind.IMPACT]
    return {
        "factor_count": len(factors),
        "graph_acyclic": check.is_acyclic,
        "has_impact_node": check.has_impact,
        "connects_cause_to_impact": check.connects_cause_to_impact,
        "orphans": tuple(words[node] for node in check.orphans),
        "uncut_paths": tuple(tuple(words[node] for node in path) for path in check.uncut_paths),
        "more_uncut_paths": check.more_uncut_paths,
        "cut_suggestion": tuple(words[node] for node in check.cut_suggestion),
    }
