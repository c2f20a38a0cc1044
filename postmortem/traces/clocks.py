"""Signs that a clock was wrong when traces were recorded: nothing is corrected, people are told. No Django here."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from postmortem.traces.records import TraceRecord

AHEAD = timedelta(minutes=10)  # what clocks may differ and a trace in the future may be told by
APART = timedelta(hours=1)


@dataclass(slots=True)
class _Doubt:
    count: int = 0
    largest: timedelta = timedelta(0)
    example: str = ""

    def add(self, trace_id: str, by: timedelta) -> None:
        self.count += 1
        if by > self.largest:
            self.largest, self.example = by, trace_id


@dataclass(slots=True)
class ClockDoubts:
    """Collects doubts over traces; `now` is when they are read, UTC."""

    now: datetime
    future: _Doubt = field(default_factory=_Doubt)
    apart: _Doubt = field(default_factory=_Doubt)
    scored: _Doubt = field(default_factory=_Doubt)

    def add(self, record: TraceRecord) -> None:
        """Look at one trace with its observations and scores."""
        if record.timestamp > self.now + AHEAD:
            self.future.add(record.external_id, record.timestamp - self.now)
        if by := _steps_apart(record):
            self.apart.add(record.external_id, by)
        begins = [score.timestamp for score in record.score_records if score.timestamp]
        if begins and record.timestamp - min(begins) > APART:
            self.scored.add(record.external_id, record.timestamp - min(begins))

    def notes(self) -> list[str]:
        """One sentence for each kind of doubt."""
        found = []
        for doubt, what in (
            (self.future, "begin in the future, up to {by} from now: the clock that wrote them was wrong"),
            (
                self.apart,
                "have steps up to {by} outside of the step that called them: clocks differ, so their latency and order "
                "are not certain",
            ),
            (self.scored, "were scored up to {by} before they began: one of the clocks was wrong"),
        ):
            if doubt.count:
                subject = f"{doubt.count:,} traces" if doubt.count > 1 else "One trace"
                said = what if doubt.count > 1 else _of_one(what)
                found.append(f"{subject} {said.format(by=_hours(doubt.largest))} (e.g. {doubt.example[:60]}).")
        return found


def _steps_apart(record: TraceRecord) -> timedelta:
    """How far a step lies outside of its parent, where that is more than an hour; else nothing."""
    spans = {item.external_id: item for item in record.observations}
    worst = timedelta(0)
    for item in record.observations:
        parent = spans.get(item.parent_id or "")
        if parent is None or parent is item:
            continue
        worst = max(worst, parent.start - item.start)
        if parent.end is not None and item.kind != "EVENT":
            worst = max(worst, item.start - parent.end)
    return worst if worst > APART else timedelta(0)


def _of_one(what: str) -> str:
    for many, one in (("begin ", "begins "), ("have ", "has "), ("were scored", "was scored"), ("they", "it"),
                      ("wrote them", "wrote it"), ("their", "its")):  # fmt: skip
        what = what.replace(many, one)
    return what


def _hours(by: timedelta) -> str:
    hours = by / timedelta(hours=1)
    if hours >= 72:
        return f"{hours / 24:,.0f} days"
    return f"{hours:,.0f} h" if hours >= 2 else f"{by / timedelta(minutes=1):,.0f} min"
