"""What reviewers' labels say of the two windows: failing shares with their intervals. No Django here."""

from collections.abc import Mapping
from dataclasses import dataclass

from postmortem.attribution.intervals import newcombe_difference, wilson_interval
from postmortem.attribution.shapes import Estimate, Level


@dataclass(frozen=True, slots=True)
class LabelLevels:
    """Failing share of each window that has labels (Wilson), and incident minus baseline (Newcombe) if both have."""

    windows: dict[str, Level]
    difference: Estimate | None


def label_levels(counts: Mapping[str, tuple[int, int]]) -> LabelLevels:
    """From {window: (labelled, failing)}."""
    levels = {
        name: Level(labelled, failing / labelled, wilson_interval(failing, labelled))
        for name, (labelled, failing) in counts.items()
        if labelled
    }
    difference = None
    if "baseline" in levels and "incident" in levels:
        (before, failing_before), (after, failing_after) = counts["baseline"], counts["incident"]
        difference = newcombe_difference(failing_after, after, failing_before, before)
    return LabelLevels(levels, difference)
