"""The causal graph as its editor sees it, and the steps that undo and redo take."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.http import QueryDict

from postmortem.accounts import audit
from postmortem.accounts.models import AuditEntry, Person
from postmortem.actions import selectors
from postmortem.actions.undo import undo, undone_ids
from postmortem.attribution.selectors import latest_finding
from postmortem.changes.models import Change
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.lib.layers import LAYERS
from postmortem.review import factors as review
from postmortem.review.causal_graph import CausalGraph, GraphCheck, check_graph, layout
from postmortem.review.folding import GraphView, folded, kept_nodes
from postmortem.review.models import ContributingFactor
from postmortem.review.suggesting import ChangeSketch, Suggestion, suggest_factors

_STEPS = Q(action__startswith="factor.") | Q(action__startswith="edge.") | Q(action__startswith="risk.")
_REMEMBERED = 400  # latest entries of a person among which steps are looked for
PER_ROW = 6
WHOLE = GraphView()
_NAMED = 3  # cuts that a sentence names


def graph_state(incident: Incident, person: Person, view: GraphView = WHOLE) -> dict[str, Any]:
    """Everything that the editor draws of `view`, as JSON values: nodes with places, arrows, checks, suggestions.

    `x` is in widths of a node, `y` in rows; an arrow of id 0 runs through factors that are folded away. The checks
    are of the whole graph. The number of queries does not grow with the graph.
    """
    whole = selectors.graph(incident)
    check = check_graph(whole)
    graph = whole if view.is_whole else folded(whole, kept_nodes(whole, view, check.open_nodes))
    placed = layout(graph, per_row=PER_ROW)
    rows = {row.pk: row for row in incident.factors.select_related("change", "risk_accepted_by")}
    nodes = []
    for node in graph.nodes:
        row, (x, y) = rows[node.id], placed.positions.get(node.id, (0.5, 0))
        nodes.append(
            {
                "id": node.id, "kind": node.kind, "kind_label": row.get_kind_display(), "layer": node.layer,
                "text": node.text, "change": row.change.external_id if row.change else "",
                "change_summary": row.change.summary if row.change else "", "revision": row.revision,
                "cut_by": list(graph.cut.get(node.id, ())), "x": x, "y": y,
            }
        )  # fmt: skip
    edges = [
        {
            "id": edge.id, "cause": edge.cause, "effect": edge.effect, "claim": edge.claim,
            "route": [list(point) for point in placed.routes.get((edge.cause, edge.effect), ())],
        }
        for edge in graph.edges
    ]  # fmt: skip
    steps = _steps(incident, person)
    return {
        "nodes": nodes, "edges": edges, "width": placed.width, "rows": placed.rows,
        "total": len(whole.nodes), "check": check_state(whole, check),
        "suggestions": [_told(one) for one in suggestions(incident)],
        "may_undo": bool(steps[0]), "may_redo": bool(steps[1]),
    }  # fmt: skip


def graph_view(asked: QueryDict) -> GraphView:
    """The view that a request asks for: `hide` (layers), `around` (a factor), `open` (1: only paths that nothing cuts).

    Words that are none of these hide nothing.
    """
    around = asked.get("around", "")
    return GraphView(
        hidden=frozenset(asked.getlist("hide")) & {str(layer) for layer in LAYERS},
        around=int(around) if around.isdecimal() and len(around) < 19 else 0,
        only_open=asked.get("open") == "1",
    )


def check_state(graph: CausalGraph, check: GraphCheck) -> dict[str, Any]:
    """What networkx says of the graph, as JSON values and in sentences."""
    said = []
    if not check.is_acyclic:
        said.append("The arrows run in a circle; take one of them out.")
    if not check.has_impact:
        said.append("There is no impact yet; the first factor brings it.")
    elif not check.connects_cause_to_impact:
        said.append("Nothing leads to the impact yet.")
    if check.orphans:
        count = len(check.orphans)
        said.append(f"{count} factor{' leads' if count == 1 else 's lead'} nowhere.")
    if check.uncut_paths:
        count, more = len(check.uncut_paths), "More than " if check.more_uncut_paths else ""
        words = [f"“{graph.node(node).text[:60]}”" for node in check.cut_suggestion]
        rest = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
        fewest = ", ".join(words[:_NAMED]) + rest
        said.append(f"{more}{count} path{' is' if count == 1 else 's are'} not cut; fewest cuts: {fewest}.")
    return {
        "acyclic": check.is_acyclic, "connected": check.connects_cause_to_impact, "orphans": list(check.orphans),
        "uncut_paths": [list(path) for path in check.uncut_paths], "more_uncut_paths": check.more_uncut_paths,
        "open_nodes": sorted(check.open_nodes), "cut_suggestion": list(check.cut_suggestion), "sentences": said,
        "good": check.is_cut and not check.orphans,
    }  # fmt: skip


def suggestions(incident: Incident) -> list[Suggestion]:
    """What the latest finding suggests and the graph does not hold yet."""
    finding = latest_finding(incident)
    if finding is None:
        return []
    factors = list(incident.factors.select_related("change"))
    ids = {str(one) for row in finding.result.get("hypotheses") or [] for one in row.get("changes") or []}
    changes = Change.objects.filter(feature=incident.feature_id, external_id__in=ids)
    return suggest_factors(
        finding.result,
        {row.external_id: ChangeSketch(row.external_id, row.layer, row.summary, row.rollout) for row in changes},
        there={factor.change.external_id for factor in factors if factor.change},
        texts={factor.text for factor in factors},
        onset=incident.onset_at,
        detected=incident.detected_at,
    )


def adopt_suggestion(*, incident: Incident, by: Person, key: str) -> ContributingFactor:
    """Add what a finding suggests, connected to the impact, as one step. Raises UserError, PermissionDenied."""
    wanted = next((one for one in suggestions(incident) if one.key == key), None)
    if wanted is None:
        raise UserError("This suggestion is gone; the graph or the attribution has changed meanwhile.")
    change = incident.feature.changes.filter(external_id=wanted.change).first() if wanted.change else None
    return add_connected(
        incident=incident, by=by, kind=wanted.kind, layer=wanted.layer, text=wanted.text, change=change
    )


def add_connected(
    *,
    incident: Incident,
    by: Person,
    kind: str,
    layer: str,
    text: str,
    change: Change | None = None,
    leads_to: ContributingFactor | None = None,
    claim: str = "",
) -> ContributingFactor:
    """Add a factor that leads to `leads_to`, or to the impact without one, as one step of undo."""
    with transaction.atomic(), audit.together():
        factor = review.add_factor(incident=incident, by=by, kind=kind, layer=layer, text=text, change=change)
        effect = leads_to or incident.factors.filter(kind=ContributingFactor.Kind.IMPACT).first()
        if effect is not None and effect.pk != factor.pk:
            review.connect(cause=factor, effect=effect, by=by, claim=claim)
    return factor


def undo_step(*, incident: Incident, by: Person) -> str:
    """Take back the person's own latest step in the graph; returns its subject. Raises UserError without one."""
    return _take_back(incident, by, 0, "There is nothing of yours to undo in this graph.")


def redo_step(*, incident: Incident, by: Person) -> str:
    """Do the step again that was taken back last. Raises UserError without one."""
    return _take_back(incident, by, 1, "There is nothing to do again.")


def _take_back(incident: Incident, by: Person, which: int, nothing: str) -> str:
    entries = _steps(incident, by)[which]
    if not entries:
        raise UserError(nothing)
    with transaction.atomic(), audit.together():
        for entry in entries:
            undo(entry=entry, incident=incident, by=by)
    return entries[-1].subject


def _steps(incident: Incident, person: Person) -> tuple[list[AuditEntry], list[AuditEntry]]:
    """The entries to undo for an undo and for a redo, in that order each; three queries."""
    mine = AuditEntry.objects.filter(_STEPS, incident_number=incident.number, person=person)
    entries = list(mine.order_by("-id")[:_REMEMBERED])
    undone = undone_ids(incident)
    fresh = [entry for entry in entries if entry.undoes_id is None]
    fresh_ids = {entry.pk for entry in fresh}
    standing = [entry for entry in fresh if entry.pk not in undone]
    taken_back = [entry for entry in entries if entry.undoes_id in fresh_ids and entry.pk not in undone]
    newest = max((entry.pk for entry in standing if entry.pk not in _redone(entries)), default=0)
    redo = [entry for entry in taken_back if entry.pk > newest]
    return _batch(standing), _batch(redo)


def _redone(entries: Sequence[AuditEntry]) -> set[int]:
    """Fresh entries that stand again because their undo was undone: they do not end what can be redone."""
    by_id = {entry.pk: entry for entry in entries}
    redone = set()
    for entry in entries:
        before = by_id.get(entry.undoes_id or 0)
        if before is not None and before.undoes_id is not None:
            redone.add(before.undoes_id)
    return redone


def _batch(entries: list[AuditEntry]) -> list[AuditEntry]:
    if not entries:
        return []
    first = entries[0]
    return [entry for entry in entries if entry.batch == first.batch] if first.batch else [first]


def _told(one: Suggestion) -> dict[str, str]:
    return {"key": one.key, "kind": one.kind, "layer": one.layer, "text": one.text, "why": one.why}
