"""The signature picture: the signal over time and, under it, every logged change in four lanes. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from postmortem.lib.layers import LAYERS, Layer
from postmortem.report.charts import wording
from postmortem.report.charts.axis import TimeScale, ValueScale, time_ticks, value_scale, value_ticks
from postmortem.report.charts.bars import draw_lane
from postmortem.report.charts.bracket import draw_bracket
from postmortem.report.charts.captions import alternative_text, bin_words, level_words
from postmortem.report.charts.data import SignatureData, Span
from postmortem.report.charts.lanes import Label, Lane, lay_out_lane, share_steps
from postmortem.report.charts.markers import place_markers
from postmortem.report.charts.styles import STEPS, STYLES, Style
from postmortem.report.charts.svg import Drawing, clean, paint, shorten, text_width

_DASHES = {"onset": None, "detected": "6 4", "mitigated": "1.5 3"}


def signature_chart(data: SignatureData, *, width: float | None = None, variant: str = "screen") -> str:
    """The picture as SVG text. `variant` is screen, narrow, print or compact.

    Compact is print for many changes on little paper. `width` (px, pt in print) is drawn to, not scaled.

    Raises ValueError when there is nothing to draw: no series.
    """
    if not data.series:
        raise ValueError("a signature picture needs a series")
    return _Signature(data, _resized(STYLES[variant], width)).draw()


def lane_labels(data: SignatureData, *, variant: str = "screen") -> list[tuple[Label, float]]:
    """Every placed lane label with the top of its lane, for tests and for lists beside the picture."""
    picture = _Signature(data, STYLES[variant])
    found, top = [], 0.0
    for lane in picture.lanes:
        found += [(label, top) for label in lane.labels]
        top += lane.height + 100
    return found


class _Signature:
    def __init__(self, data: SignatureData, style: Style) -> None:
        self.data, self.style = data, style
        self.time = _time_scale(data, style)
        self.shown = [mark for mark in data.changes if mark.until >= self.time.start and mark.at <= self.time.end]
        cause = data.cause
        self.cause = cause if cause in self.shown else None
        self.lanes: list[Lane] = [
            lay_out_lane(
                layer.value,
                [mark for mark in self.shown if mark.layer == layer],
                place=self.time.x,
                style=style.lane,
                cause=self.cause,
            )
            for layer in LAYERS
        ]
        self.out = Drawing()

    def draw(self) -> str:
        """Top to bottom: captions, signal, markers' words, lanes, axis, key."""
        s = self.style
        plot_top = self._title_height() + s.size * 3.1
        values = self._values()
        scale = value_scale(values, top=plot_top + 4, bottom=plot_top + s.plot, bounds=_bounds(self.data.unit))
        markers = self._placed_markers()
        rows = max((row for _, row, _, _ in markers), default=-1) + 1
        lanes_top = plot_top + s.plot + (rows * s.size * 2.5 + s.size * 0.9 if rows else s.size * 0.6)
        tops, bottom = self._lane_tops(lanes_top)
        self._windows(plot_top, scale)
        self._falls(plot_top, tops)
        self._grid(scale)
        self._marker_lines(markers, plot_top, lanes_top, tops)
        self._signal(scale, plot_top)
        self._marker_words(markers, plot_top + s.plot)
        self._lane_frames(tops, bottom)
        for lane, top in zip(self.lanes, tops, strict=True):
            draw_lane(self.out, lane, top, time=self.time, style=s)
        axis_bottom = self._axis(bottom)
        height = self._key(axis_bottom)
        return self.out.svg(
            width=s.width, height=height, unit=s.unit, title=alternative_text(self.data),
            classes="pmchart-narrow" if s.heads else "",
        )  # fmt: skip

    # ---- signal ----

    def _title_height(self) -> float:
        return self.style.size * 2.9 if self.style.heads else 2.0

    def _values(self) -> list[float]:
        means = [span.level.mean for span in self.data.series]
        ends = sorted([span.level.low for span in self.data.series] + [span.level.high for span in self.data.series])
        # A bin of a few traces has a huge interval; it may run out of the picture.
        cut = len(ends) // 50
        kept = ends[cut : len(ends) - cut] or ends
        windows = [span.level.mean for span in (self.data.baseline, self.data.incident) if span]
        return [*means, *windows, kept[0], kept[-1]]

    def _windows(self, top: float, scale: ValueScale) -> None:
        s, bottom = self.style, top + self.style.plot
        spans = [
            (name, span) for name, span in (("Baseline", self.data.baseline), ("Incident", self.data.incident)) if span
        ]
        for _, span in spans:
            left, right = self.time.x(span.start), self.time.x(span.end)
            self.out.rect(left, top, right - left, bottom - top, fill="raise")
            self.out.line(left, top, right, top, stroke="ink", stroke_width=s.line * 0.9)
        edge = s.width - s.pad
        for name, span in reversed(spans):
            title = f"{name} window" if not s.heads else name
            level = f"{wording.level(span.level.mean, self.data.unit)}"
            if not s.heads:
                level = level_words(self.data, span)
            width = max(text_width(title, s.size, bold=True), text_width(level, s.small))
            x = max(min(self.time.x(span.start), edge - width), 0)
            self.out.text(x, top - s.size * 1.55, title, size=s.size, fill="ink", bold=True)
            self.out.text(x, top - s.size * 0.45, level, size=s.small)
            edge = x - s.size

    def _grid(self, scale: ValueScale) -> None:
        s = self.style
        ticks = value_ticks(scale.low, scale.high, round(s.plot / s.size / 2.2))
        for tick, text in zip(ticks, wording.axis_levels(ticks, self.data.unit), strict=True):
            y = scale.y(tick)
            self.out.line(s.gutter, y, s.width - s.pad, y, stroke="rule", stroke_width=s.line * 0.5)
            shown = text.rstrip("% s").lstrip("$") if s.heads else text
            self.out.text(s.gutter - s.size * 0.6, y + s.small * 0.35, shown, size=s.small, fill="ink3", anchor="end")
        self._axis_title(scale)

    def _axis_title(self, scale: ValueScale) -> None:
        s = self.style
        note = f"{bin_words(self.data.series)} means, 95% interval"
        unit = {"share": "%", "s": "seconds", "USD": "USD"}.get(self.data.unit, "")
        if s.heads:
            title = shorten(self.data.label + (f", {unit}" if unit else ""), s.width, s.size, bold=True)
            self.out.text(0, s.size, title, size=s.size, fill="ink", bold=True)
            self.out.text(0, s.size * 2.15, note, size=s.small, fill="ink3")
            return
        room = s.gutter - s.size * 3.5
        y = scale.top + s.size * 0.3
        for line in _wrapped(self.data.label, room, s.size, bold=True)[:3]:
            self.out.text(0, y, line, size=s.size, fill="ink", bold=True)
            y += s.size * 1.25
        for line in _wrapped(note, room, s.small)[:3]:
            self.out.text(0, y + 1, line, size=s.small, fill="ink3")
            y += s.small * 1.3

    def _signal(self, scale: ValueScale, top: float) -> None:
        s, data = self.style, self.data
        for run in _runs(data.series):
            upper = [(self.time.x(span.middle), scale.y(span.level.high)) for span in run]
            lower = [(self.time.x(span.middle), scale.y(span.level.low)) for span in run]
            self.out.path(upper + lower[::-1], fill="ink", close=True, fill_opacity=0.15)
        if data.baseline:
            y = scale.y(data.baseline.level.mean)
            self.out.line(
                s.gutter, y, s.width - s.pad, y, stroke="ink2", stroke_width=s.line * 0.6,
                stroke_dasharray=f"{s.line * 3.2:.3g} {s.line * 2.2:.3g}",
            )  # fmt: skip
        for run in _runs(data.series):
            points = [(self.time.x(span.middle), scale.y(span.level.mean)) for span in run]
            if len(points) == 1:
                self.out.element("circle", cx=points[0][0], cy=points[0][1], r=s.line * 1.2, **paint(fill="ink"))
            self.out.path(points, stroke="ink", stroke_width=s.line, stroke_linejoin="round")
        draw_bracket(self.out, data, time=self.time, scale=scale, top=top, style=s)

    # ---- markers ----

    def _placed_markers(self) -> list[tuple[str, int, str, float]]:
        """(name, row of its words, anchor, place) for each known moment on the axis; words never overlap."""
        moments = [("onset", self.data.onset), ("detected", self.data.detected), ("mitigated", self.data.mitigated)]
        known = [(name, at) for name, at in moments if at and self.time.holds(at)]
        edges = (self.style.gutter - 4, self.style.width)
        widths = [(name, self.time.x(at), self._marker_width(name)) for name, at in known]
        return place_markers(widths, gap=self.style.size * 0.45, edges=edges)

    def _marker_lines_of(self, name: str) -> tuple[str, str]:
        at = {"onset": self.data.onset, "detected": self.data.detected, "mitigated": self.data.mitigated}[name]
        title = "Onset, estimated" if name == "onset" and self.data.onset_is_estimate else name.capitalize()
        return title, wording.moment(at) if at else ""

    def _marker_width(self, name: str) -> float:
        title, moment = self._marker_lines_of(name)
        s = self.style
        return max(text_width(title, s.size, bold=True), text_width(moment, s.small))

    def _marker_lines(
        self, markers: list[tuple[str, int, str, float]], top: float, lanes_top: float, tops: list[float]
    ) -> None:
        s = self.style
        for name, _, _, x in markers:
            dash = _DASHES[name]
            self.out.line(
                x, top, x, lanes_top, stroke="ink", stroke_width=s.line * (1.0 if dash is None else 0.8),
                stroke_dasharray=dash if s.unit == "" or dash is None else "3 2" if name == "detected" else "1 1.6",
            )  # fmt: skip

    def _marker_words(self, markers: list[tuple[str, int, str, float]], top: float) -> None:
        s = self.style
        for name, row, anchor, x in markers:
            title, moment = self._marker_lines_of(name)
            place = x + s.size * 0.45 * (1 if anchor == "start" else -1)
            y = top + s.size * (1.3 + 2.5 * row)
            width = self._marker_width(name)
            left = place if anchor == "start" else place - width
            self.out.rect(left - 1, y - s.size, width + 2, s.size * 2.4, fill="paper", fill_opacity=0.85)
            self.out.text(place, y, title, size=s.size, fill="ink", bold=True, anchor=anchor)
            self.out.text(place, y + s.size * 1.15, moment, size=s.small, anchor=anchor)

    # ---- lanes ----

    def _lane_tops(self, top: float) -> tuple[list[float], float]:
        s, tops = self.style, []
        for lane in self.lanes:
            top += s.size * 1.75 if s.heads else s.size * 0.25
            tops.append(top)
            two_lines = not s.heads and self._lane_probability(lane.layer) is not None
            top += max(lane.height, s.size * 2.7 if two_lines else 0) + s.size * 0.25
        return tops, top

    def _lane_probability(self, layer: str) -> float | None:
        found = dict(self.data.layer_probability).get(layer)
        return found if found is not None and (found >= 0.03 or self.style.heads) else None

    def _lane_frames(self, tops: list[float], bottom: float) -> None:
        s = self.style
        for place, (lane, top) in enumerate(zip(self.lanes, tops, strict=True)):
            line = top - (s.size * 1.75 if s.heads else s.size * 0.25)
            self.out.line(0, line, s.width, line, stroke="rule2" if place == 0 else "rule", stroke_width=s.line * 0.6)
            is_cause = self.cause is not None and self.cause.layer == lane.layer
            probability = self._lane_probability(lane.layer)
            y = top - s.size * 0.45 if s.heads else top + s.lane.row / 2 + s.size * 0.36
            self.out.glyph(lane.layer, s.size * 0.45, y - s.size * 0.34, s.size * 0.8)
            self.out.text(
                s.size * 1.25,
                y,
                Layer(lane.layer).label,
                size=s.size,
                fill="ink" if is_cause else "ink2",
                bold=is_cause,
            )
            if probability is not None:
                x, anchor, dy = (s.width, "end", 0.0) if s.heads else (s.size * 1.25, "start", s.size * 1.2)
                self.out.text(
                    x, y + dy, wording.p_text(probability), size=s.small, bold=is_cause,
                    fill="ink" if is_cause else "ink3", anchor=anchor,
                )  # fmt: skip
        self.out.line(0, bottom, s.width, bottom, stroke="rule2", stroke_width=s.line * 0.6)

    def _falls(self, top: float, tops: list[float]) -> None:
        """Lines from the signal to the steps of the cause, and to nothing else."""
        for lane, lane_top in zip(self.lanes, tops, strict=True):
            for bar in lane.bars:
                if bar.is_cause:
                    for at, _, _ in share_steps(bar.mark):
                        x = self.time.x(at)
                        self.out.line(
                            x, top, x, lane_top + bar.y + bar.height / 2, stroke=lane.layer,
                            stroke_width=self.style.line * 0.8, stroke_dasharray=f"{self.style.line * 1.3:.2g}",
                        )  # fmt: skip

    # ---- axis and key ----

    def _axis(self, top: float) -> float:
        s = self.style
        edge = -1.0
        for tick in time_ticks(self.time, s.small):
            x = self.time.x(tick.at)
            self.out.line(x, top, x, top + s.size * 0.35, stroke="rule2", stroke_width=s.line * 0.6)
            width = text_width(tick.label, s.small)
            if x + s.size * 0.2 > edge and x + width <= s.width:
                self.out.text(x, top + s.size * 1.4, tick.label, size=s.small, fill="ink2" if tick.strong else "ink3")
                edge = x + width + s.small * 0.5
        return top + s.size * 1.9

    def _key(self, top: float) -> float:
        """The shading key; wraps on narrow screens. Gives the picture's height."""
        s = self.style
        y, x = top + s.size * 1.3, 0.0
        title = "Probability that the change is a cause"
        self.out.text(x, y, title, size=s.small, fill="ink2")
        x += text_width(title, s.small) + s.size
        entries: list[tuple[str, float | None, str]] = [(words, opacity, "") for _, opacity, words in STEPS]
        entries += [("rollback", None, "outline"), ("reached no trace", None, "dotted")]
        for words, opacity, kind in entries:
            width = s.swatch + s.size * 0.45 + text_width(words, s.small)
            if x + width > s.width:
                x, y = 0.0, y + s.size * 1.6
            box = (x, y - s.swatch * 0.82, s.swatch, s.swatch)
            if opacity is not None:
                self.out.rect(*box, fill="ink", stroke="ink", fill_opacity=opacity, stroke_width=s.line * 0.5)
            else:
                dash = f"{s.line * 1.1:.2g} {s.line * 1.1:.2g}" if kind == "dotted" else None
                self.out.rect(*box, fill="", stroke="ink", stroke_width=s.line * 0.7, stroke_dasharray=dash)
            self.out.text(x + s.swatch + s.size * 0.45, y, words, size=s.small, fill="ink2")
            x += width + s.size * 1.1
        if not s.unit and self.data.baseline:
            words = "expected from the baseline"
            width = s.swatch * 1.6 + s.size * 0.45 + text_width(words, s.small)
            if x + width > s.width:
                x, y = 0.0, y + s.size * 1.6
            middle, end = y - s.swatch * 0.35, x + s.swatch * 1.6
            self.out.line(x, middle, end, middle, stroke="ink2", stroke_width=s.line * 0.7, stroke_dasharray="5 3.5")
            self.out.text(end + s.size * 0.45, y, words, size=s.small, fill="ink2")
        hidden = len(self.data.changes) - len(self.shown)
        if hidden:
            y += s.size * 1.6
            word = "change lies" if hidden == 1 else "changes lie"
            self.out.text(0, y, f"{hidden} {word} outside this span.", size=s.small, fill="ink3")
        return y + s.size * 0.6


def _time_scale(data: SignatureData, style: Style) -> TimeScale:
    moments = [data.series[0].start, data.series[-1].end]
    for span in (data.baseline, data.incident):
        moments += [span.start, span.end] if span else []
    start, end = min(moments), max(moments)
    # Changes a little before the first trace belong to the picture; older ones are counted in words.
    reach = (end - start) * 0.12
    near = [mark.at for mark in data.changes if start - reach <= mark.at <= start]
    if near:
        start = min(near) - (end - start) * 0.01
    return TimeScale(start, end, style.gutter, style.width - style.pad)


def _resized(style: Style, width: float | None) -> Style:
    if width is None or width == style.width:
        return style
    return replace(style, width=width, lane=replace(style.lane, right=width - style.pad))


def _bounds(unit: str) -> tuple[float, float]:
    return (0.0, 1.0) if unit == "share" else (float("-inf"), float("inf"))


def _runs(series: Sequence[Span]) -> list[list[Span]]:
    """The series cut where bins are missing, so that no line bridges what was not seen."""
    if not series:
        return []
    width = sorted(span.end - span.start for span in series)[len(series) // 2]
    runs = [[series[0]]]
    for before, span in pairwise(series):
        if span.start - before.end > 2.5 * width:
            runs.append([])
        runs[-1].append(span)
    return runs


def _wrapped(text: str, room: float, size: float, *, bold: bool = False) -> list[str]:
    lines = [""]
    for word in clean(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size, bold=bold) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return [shorten(line, room + size * 0.5, size, bold=bold) for line in lines]
