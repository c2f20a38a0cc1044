"""Two traces of one incident with what differs between them: texts, versions, facets, steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from postmortem.changes.records import ChangeRecord
from postmortem.changes.selectors import version_records
from postmortem.changes.versions import Version, version_tuple
from postmortem.incidents.models import Incident
from postmortem.traces.compare import MOST_STEPS, StepPair, TextDifference, compare_texts, pair_steps
from postmortem.traces.models import Trace
from postmortem.traces.reading import masked_reading
from postmortem.traces.records import ObservationRecord, TraceRecord
from postmortem.traces.selectors import TraceReading
from postmortem.traces.tree import flatten


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two traces as it is shown."""

    trace: Trace
    reading: TraceReading
    steps: list[ObservationRecord]
    versions: dict[str, Version]

    @property
    def asked(self) -> str:
        """The question: the trace's own, else the first that an observation has."""
        return self.reading.input or next((step.input for step in self.steps if step.input), self.trace.input_preview)

    @property
    def answered(self) -> str:
        """The answer: the trace's own, else the root's, else the last."""
        outputs = [step.output for step in self.steps if step.output]
        root = self.steps[0].output if self.steps else ""
        return self.reading.output or root or (outputs[-1] if outputs else self.trace.output_preview)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that the page and the API show of two traces."""

    left: Side
    right: Side
    asked: TextDifference
    answered: TextDifference
    versions: list[tuple[str, Version, Version]]
    facets: list[tuple[str, str, str]]
    steps: list[StepPair]

    @property
    def moved(self) -> list[tuple[str, Version, Version]]:
        """Versions that differ and are known on both sides."""
        return [row for row in self.versions if row[1].value != row[2].value and row[1].value and row[2].value]


def compare(incident: Incident, left: Trace, right: Trace) -> Comparison:
    """Compare two traces of one incident, masked. Raises UserError when stored bytes were tampered with."""
    changes = version_records(incident)
    sides = [_side(trace, changes) for trace in (left, right)]
    one, other = sides
    names = sorted({*one.trace.facets, *other.trace.facets} - set(one.versions))
    return Comparison(
        one,
        other,
        compare_texts(one.asked, other.asked),
        compare_texts(one.answered, other.answered),
        [(name, one.versions[name], other.versions[name]) for name in one.versions],
        [(name, one.trace.facets.get(name, ""), other.trace.facets.get(name, "")) for name in names],
        pair_steps(one.steps, other.steps),
    )


def _side(trace: Trace, changes: Sequence[ChangeRecord]) -> Side:
    record = TraceRecord(trace.external_id, trace.timestamp, dict(trace.facets))
    versions = {version.facet: version for version in version_tuple(record, changes)}
    reading = masked_reading(trace, range(MOST_STEPS))
    return Side(reading.trace, reading, [node.observation for node in flatten(reading.roots)], versions)
