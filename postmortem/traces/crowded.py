"""Facets with so many values that they tell traces apart instead of grouping them. No Django here."""

from dataclasses import dataclass, field

from postmortem.traces.records import TraceRecord

MOST_VALUES = 5_000  # of one facet, counted and remembered while a file is read
_MOST_FACETS = 100


@dataclass(slots=True)
class CrowdedFacets:
    """Counts values of facets up to a bound, so that a million of them cost no memory."""

    values: dict[str, set[str]] = field(default_factory=dict)
    crowded: dict[str, None] = field(default_factory=dict)

    def add(self, record: TraceRecord) -> None:
        """Look at one trace."""
        for name, value in record.facets.items():
            if name in self.crowded:
                continue
            known = self.values.get(name)
            if known is None:
                if len(self.values) >= _MOST_FACETS:
                    continue
                known = self.values[name] = set()
            known.add(value)
            if len(known) > MOST_VALUES:
                self.crowded[name] = None
                del self.values[name]

    def notes(self) -> list[str]:
        """One sentence for each such facet."""
        return [
            f"The facet “{name[:80]}” has more than {MOST_VALUES:,} different values: it tells traces apart and "
            "groups them hardly; leave it out of filters and segments."
            for name in self.crowded
        ]
