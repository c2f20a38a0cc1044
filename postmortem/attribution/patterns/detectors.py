"""All eleven detectors, in the order of their numbers. Pure."""

from collections.abc import Callable

from postmortem.attribution.patterns import (
    bias,
    deprecated,
    drift,
    embedding,
    evaluation,
    neighbour,
    pilot,
    provenance,
    quantization,
    retrograde,
    rollback,
)
from postmortem.attribution.patterns.shapes import PatternFinding, PatternInput

DETECTORS: tuple[Callable[[PatternInput], PatternFinding], ...] = (
    quantization.detect,
    provenance.detect,
    bias.detect,
    deprecated.detect,
    drift.detect,
    rollback.detect,
    embedding.detect,
    pilot.detect,
    evaluation.detect,
    retrograde.detect,
    neighbour.detect,
)


def detect_patterns(given: PatternInput) -> tuple[tuple[int, PatternFinding], ...]:
    """Every detector's answer with its pattern's number; those that match come first, then those that do not."""
    order = {"match": 0, "no_match": 1, "not_enough_data": 2}
    found = [(number, detect(given)) for number, detect in enumerate(DETECTORS, start=1)]
    return tuple(sorted(found, key=lambda pair: order[pair[1].answer]))
