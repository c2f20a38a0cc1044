"""Sizes of the signature picture's variants, and the five shades of probability. Pure."""

from dataclasses import dataclass

from postmortem.report.charts.lanes import LaneStyle

# Five steps of probability: least P, how opaque, what the key says.
STEPS = (
    (0.0, 0.08, "under 0.01"),
    (0.01, 0.22, "0.01"),
    (0.05, 0.42, "0.05"),
    (0.5, 0.7, "0.5"),
    (0.9, 1.0, "0.9 and over"),
)


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes of one variant, in its own unit (px on screens, pt in print)."""

    width: float
    unit: str
    gutter: float
    pad: float
    size: float
    small: float
    plot: float
    line: float
    lane: LaneStyle
    heads: bool  # lane names stand above their rows instead of in the gutter
    swatch: float


def _lanes(**sizes: float) -> LaneStyle:
    return LaneStyle(soft_rows=int(sizes.pop("soft_rows")), **sizes)


STYLES = {
    "screen": Style(
        1120, "", 128, 8, 12, 11, 176, 1.6,
        _lanes(left=128, right=1112, size=11, row=21, cause_row=34, bar=14, least_bar=5, gap=7, soft_rows=2,
               most_label=230, labelled_from=0.0),
        heads=False, swatch=13,
    ),
    "narrow": Style(
        360, "", 34, 4, 11.5, 10.5, 132, 1.5,
        _lanes(left=34, right=356, size=10.5, row=16, cause_row=31, bar=11, least_bar=4, gap=5, soft_rows=1,
               most_label=190, labelled_from=2.0),
        heads=True, swatch=11,
    ),
    "print": Style(
        493, "pt", 78, 2, 7.6, 7.1, 104, 1,
        _lanes(left=78, right=491, size=7.1, row=13, cause_row=21, bar=8.5, least_bar=2.8, gap=4, soft_rows=1,
               most_label=150, labelled_from=0.0),
        heads=False, swatch=8,
    ),
    "compact": Style(
        493, "pt", 78, 2, 7.6, 7.1, 92, 1,
        _lanes(left=78, right=491, size=7.1, row=9, cause_row=19, bar=6, least_bar=2.8, gap=4, soft_rows=1,
               most_label=150, labelled_from=2.0),
        heads=False, swatch=8,
    ),
}  # fmt: skip


def step_of(probability: float) -> float:
    """Opacity of a bar for a probability."""
    return next(opacity for least, opacity, _ in reversed(STEPS) if probability >= least)
