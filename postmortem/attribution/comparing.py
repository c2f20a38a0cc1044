"""Two attribution runs side by side: what each says, and what changed between them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOVED = 0.05  # a probability that moved by less reads the same
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ProbabilityMove:
    """A hypothesis whose probability differs; None where a run does not know it."""

    title: str
    layer: str
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class RunComparison:
    """What a later run says otherwise, and why it may. `reasons` are sentences; none: the inputs are the same."""

    verdicts: tuple[tuple[str, str, str], ...]  # layer, before, after
    moves: tuple[ProbabilityMove, ...]
    reasons: tuple[str, ...]
    leader_before: str
    leader_after: str

    @property
    def disagrees(self) -> bool:
        """Whether a verdict or the leading explanation differs."""
        return bool(self.verdicts) or self.leader_before != self.leader_after


def compare_runs(before: Json, after: Json) -> RunComparison:
    """Compare two runs, each with `result`, `parameters`, `code_version`, `inputs_sha256`."""
    old, new = before["result"], after["result"]
    verdicts = {row["layer"]: row["verdict"] for row in old["layers"]}
    moved = tuple(
        (row["layer"], verdicts.get(row["layer"], ""), row["verdict"])
        for row in new["layers"]
        if verdicts.get(row["layer"]) != row["verdict"]
    )
    return RunComparison(
        moved, _moves(old["hypotheses"], new["hypotheses"]), tuple(_reasons(before, after)),
        _key(old["hypotheses"][0]), _key(new["hypotheses"][0]),
    )  # fmt: skip


def _key(hypothesis: Json) -> str:
    return str(hypothesis["changes"][0]) if hypothesis["changes"] else str(hypothesis["kind"])


def _moves(old: Sequence[Json], new: Sequence[Json]) -> tuple[ProbabilityMove, ...]:
    before = {_key(one): one for one in old}
    after = {_key(one): one for one in new}
    found = []
    for key in dict.fromkeys([*after, *before]):
        one, other = before.get(key), after.get(key)
        low = None if one is None else float(one["probability"])
        high = None if other is None else float(other["probability"])
        if abs((high or 0.0) - (low or 0.0)) >= MOVED:
            told = other or one or {}
            found.append(ProbabilityMove(str(told["title"]), str(told.get("layer") or ""), low, high))
    return tuple(sorted(found, key=lambda move: -abs((move.after or 0.0) - (move.before or 0.0))))


def _reasons(before: Json, after: Json) -> list[str]:
    known, now = (run["parameters"].get("retirements") for run in (before, after))
    moved = ["The calendar of model retirements has changed."] if known and now and known != now else []
    if before["code_version"] != after["code_version"]:
        moved.append("The method's code differs.")
    if before["inputs_sha256"] == after["inputs_sha256"]:
        return moved
    old, new = before["parameters"].get("inputs"), after["parameters"].get("inputs")
    told: list[str] = []
    if not old or not new:
        told.append("The inputs differ; the older run did not write down which.")
    else:
        told += _changes_said(old.get("changes", []), new.get("changes", []))
        for name, words in (("traces", "traces"), ("scores", "scores of the signal")):
            if old.get(name) != new.get(name):
                told.append(f"{words.capitalize()}: {old.get(name, 0):,} → {new.get(name, 0):,}.")
        for name in sorted(set(old) | set(new) - {"changes", "evidence", "traces", "scores"}):
            if name not in {"changes", "evidence", "traces", "scores"} and old.get(name) != new.get(name):
                label = name.replace("_", " ").capitalize()
                told.append(f"{label}: {old.get(name) or 'not set'} → {new.get(name) or 'not set'}.")
        if not told and old.get("evidence") != new.get("evidence"):
            told.append("Other bytes are in evidence.")
    return told + moved


def _changes_said(old: Sequence[Sequence[Any]], new: Sequence[Sequence[Any]]) -> list[str]:
    before, after = ({str(row[0]): list(row[1:]) for row in rows} for rows in (old, new))
    added = sorted(after.keys() - before.keys())
    gone = sorted(before.keys() - after.keys())
    corrected = sorted(key for key in before.keys() & after.keys() if before[key] != after[key])
    told = []
    for words, keys in (
        ("added to the log", added),
        ("no longer in the log", gone),
        ("corrected in the log", corrected),
    ):
        if keys:
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            told.append(
                f"{len(keys)} {'change' if len(keys) == 1 else 'changes'} {words}: {', '.join(keys[:5])}{more}."
            )
    return told
