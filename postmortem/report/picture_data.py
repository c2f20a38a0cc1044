"""What a record's pictures are drawn from: the changes, the graph, the clocks and the calendar. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from postmortem.changes.records import ChangeRecord
from postmortem.incidents.clocks import Clock, five_clocks
from postmortem.lib.clock import parse_moment
from postmortem.lib.layers import Layer
from postmortem.report.charts.calendar import DueAction, calendar_chart
from postmortem.report.charts.data import SignatureData, signature_data
from postmortem.review.causal_graph import CausalGraph, Edge, Node

Record = Mapping[str, Any]


def changes_of(record: Record) -> list[ChangeRecord]:
    """The record's changes as the join knows them, for drawing."""
    return [
        ChangeRecord(
            id=one["id"],
            layer=Layer(one["layer"]),
            at=parse_moment(one["at"]),
            until=parse_moment(one["until"]),
            rollout=one["rollout"],
            scope={facet: tuple(_listed(values)) for facet, values in (one["scope"] or {}).items()},
            facet=one["facet"] or None,
            to_version=one["to_version"] or None,
            from_version=one["from_version"] or None,
            canary_share=one["canary_share"],
            stage_facet=(one["stages"] or {}).get("facet"),
            stage_order=tuple((one["stages"] or {}).get("order", ())),
            summary=one["summary"],
            is_rollback=one["is_rollback"],
        )
        for one in record["changes"]
    ]


def picture_of(record: Record) -> SignatureData | None:
    """What the signature picture draws; None without a finding."""
    finding = record["finding"]
    if not finding or not finding["result"]["series"]:
        return None
    times = record["incident"]
    return signature_data(
        finding["result"],
        changes_of(record),
        onset=_moment(times["onset_at"]),
        detected=_moment(times["detected_at"]),
        mitigated=_moment(times["mitigated_at"]),
        reached=[one["id"] for one in record["changes"] if one["exposed_count"]],
    )


def graph_of(record: Record) -> CausalGraph:
    """The causal graph with what cuts it: actions that were not dropped and accepted risks."""
    cut: dict[int, tuple[str, ...]] = {}
    for action in record["actions"]:
        if action["cuts"] is not None and action["status"] != "dropped":
            cut[action["cuts"]] = (*cut.get(action["cuts"], ()), f"A-{action['number']}")
    for factor in record["factors"]:
        if factor["risk_accepted_by"]:
            cut[factor["id"]] = (*cut.get(factor["id"], ()), f"risk accepted by {factor['risk_accepted_by']}")
    return CausalGraph(
        nodes=tuple(Node(one["id"], one["kind"], one["layer"], one["text"]) for one in record["factors"]),
        edges=tuple(Edge(one["cause"], one["effect"], one["claim"]) for one in record["edges"]),
        cut=cut,
    )


def clock_spans(record: Record) -> list[Clock]:
    """The five clocks with their ends, for drawing."""
    incident = record["incident"]
    names = ("latent_since", "onset_at", "detected_at", "mitigated_at", "recovered_at", "users_recovered_at")
    return five_clocks(*(_moment(incident[name]) for name in names))


def calendar_of(record: Record) -> str:
    """The picture of the actions that were not dropped, from publication on where there is one."""
    publication = record.get("publication")
    rows = [
        DueAction(
            f"A-{one['number']}", one["title"], one["owner"], one["layer"], date.fromisoformat(one["due_on"]),
            one["status"],
        )
        for one in record["actions"]
        if one["status"] != "dropped"
    ]  # fmt: skip
    start = parse_moment(publication["published_at"]).date() if publication and calendar_has_start(record) else None
    return calendar_chart(rows, start=start, variant="print")


def calendar_has_start(record: Record) -> bool:
    """Whether the calendar shows the day of publication: one after the last due date would leave it empty."""
    publication = record.get("publication")
    due = [one["due_on"] for one in record["actions"] if one["status"] != "dropped"]
    return bool(publication and due and publication["published_at"][:10] <= max(due))


def _moment(text: str | None) -> Any:
    return parse_moment(text) if text else None


def _listed(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value]
