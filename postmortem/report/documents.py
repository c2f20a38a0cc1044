"""A record as a document: three views, five formats, two audiences. Everything comes from the record alone."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.html import escape
from django.utils.safestring import mark_safe

from postmortem.lib.hashing import canonical_json
from postmortem.lib.markdown import render_markdown
from postmortem.report import aftermath, picture_data, present
from postmortem.report.action_csv import actions_csv
from postmortem.report.annex_view import annex_of
from postmortem.report.branding import DEFAULT_COLOUR
from postmortem.report.certainty import how_sure
from postmortem.report.charts.clock_lines import clocks_chart
from postmortem.report.charts.data import SignatureData, exposed_data
from postmortem.report.charts.exposed import exposed_chart
from postmortem.report.charts.graph import graph_bands
from postmortem.report.charts.mix import mix_chart, mix_data
from postmortem.report.charts.signature import signature_chart
from postmortem.report.charts.svg import shorten, text_width
from postmortem.report.clipping import clipped
from postmortem.report.contents import with_contents
from postmortem.report.directions import with_directions
from postmortem.report.external import for_outside, left_out_sentence
from postmortem.report.front import with_picture_placed
from postmortem.report.harmless import harmless
from postmortem.report.limits import bounded
from postmortem.report.markdown_view import render_markdown_view
from postmortem.report.pattern_rows import pattern_rows
from postmortem.report.pdf import render_pdf, room_below
from postmortem.report.sections import VERDICT_KEY, is_leading, ledger_key, mix_words, role_of
from postmortem.report.unfinished import unfinished
from postmortem.review.causal_graph import CausalGraph

VIEWS = {"brief": "Leadership brief", "full": "Full report", "annex": "Article 73 annex"}
FORMATS = {"pdf": "PDF", "html": "HTML", "md": "Markdown", "json": "JSON", "csv": "CSV of the actions"}
_MEDIA_TYPES = {
    "pdf": "application/pdf",
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
}
_STYLESHEET = Path(settings.BASE_DIR) / "static" / "report" / "report.css"
_DRAFT_STYLESHEET = _STYLESHEET.with_name("report-draft.css")
_SCREEN_STYLESHEET = _STYLESHEET.with_name("report-screen.css")
_CHARTS_STYLESHEET = _STYLESHEET.with_name("charts.css")
# The brief has two pages: what is longer than this belongs into the full report.
_BRIEF_PAGES = 2
_BRIEF_TEXT, _BRIEF_ACTIONS, _BRIEF_DECISIONS = 520, 9, 4
# Density, characters of a piece of evidence, actions, picture, characters of a paragraph: from roomy to what always
# fits, on the first page as on the second.
_BRIEF_STEPS = (
    ("", 300, _BRIEF_ACTIONS, "print", _BRIEF_TEXT),
    ("close", 300, _BRIEF_ACTIONS, "print", _BRIEF_TEXT),
    ("close", 140, _BRIEF_ACTIONS, "compact", _BRIEF_TEXT),
    ("close", 140, _BRIEF_ACTIONS, "compact", 320),
    *(("close", 110, count, "compact", 240) for count in (7, 5, 3, 2)),
)
# What fits whatever people wrote: every text of the record that short.
_CLIPPED_TO = (160, 80, 40)
_COLOUR, _BASE64 = re.compile(r"#[0-9a-f]{6}"), re.compile(r"[A-Za-z0-9+/]+={0,2}")
_MOST_LOGO = 600_000
_BEFORE_HOURS = re.compile(r"(?<=\d) (?=(?:h|min|days?)\b)")
_BEFORE_NUMBER, _BEFORE_BOUND = re.compile(r"\b([nP]) (?=\d|&[lg]t;)"), re.compile(r"(\u00a0&[lg]t;) (?=\d)")
# What a running head has for the organisation and the view, pt.
_HEAD_ROOM = 172
_ARROW = re.compile(r"(\b[\w.]{1,8}) → ([\w.]{1,8}(?!\w))")
_HYPHENED, _LONGEST_UNBROKEN = re.compile(r"(?<![\w&;-])\w+(?:-[\w.]+)+"), 22
# On a phone tables scroll sideways, which needs a stop for the keyboard; the ledger stands in a box that has one.
_TABLE = re.compile(r'<table(?! class="dense ledger")')
# From so many rows on a full report is long enough for a table of contents.
_CONTENTS_FROM = 80
# From so many rows or characters on a PDF is rendered in the background: about 25 pages, two seconds.
_LONG_ROWS, _LONG_TEXT = 250, 60_000
# A picture of the clocks tells more than their row of figures from so many known ones on.
_CLOCKS_DRAWN_FROM = 3


@dataclass(frozen=True, slots=True)
class Document:
    """Rendered bytes with their media type, a file name for downloads, and the hash of an HTML page's own styles."""

    data: bytes
    media_type: str
    filename: str
    style_hash: str = ""


def takes_long(record: Mapping[str, Any], *, view: str, form: str) -> bool:
    """Whether rendering takes seconds, so that nobody should wait for it with an open request."""
    if form != "pdf" or view == "brief":
        return False
    words = sum(len(text) for text in record["text"].values())
    return _rows(record) > _LONG_ROWS or words > _LONG_TEXT


def make_document(
    record: dict[str, Any],
    *,
    view: str,
    form: str,
    version: int | None,
    sha256: str,
    audience: str = "internal",
    fonts_url: str = "",
    on_page: Callable[[int], None] | None = None,
) -> Document:
    """Render `record`. `version` and `sha256` are those of a published report; None and "" mean a draft.

    `audience` external drops names, trace text and links by rule; JSON and CSV have no view of their own.

    `fonts_url` is where an HTML page on this site finds its fonts; a page that leaves the site uses the reader's.
    `on_page` is told each page of a PDF that is laid out. Raises KeyError for a view or format that does not exist.
    """
    if audience == "external":
        record = for_outside(record, sha256=sha256)
    what = {"json": "record", "csv": "actions"}.get(form, VIEWS[view] and view)
    stem = f"{record['incident']['number']}-{what}" + ("-external" if audience == "external" else "")
    name = f"{stem}{f'-v{version}' if version else '-draft'}.{form}"
    media_type = _MEDIA_TYPES[form]
    if form == "json":
        return Document(canonical_json(record), media_type, name)
    logo, brand_css = _brand(record)
    record = harmless(record)
    if form == "csv":
        return Document(actions_csv(record).encode(), media_type, name)
    record, cut = bounded(record)
    # Of the long lists the other views show the actions alone.
    cut = [one for one in cut if view == "full" or one.endswith(" actions")]
    if cut:
        record["cut"] = f"Not laid out here: {', '.join(cut)}. The record, as JSON, holds all."
    if form == "md":
        text = render_markdown_view(record, view=view, version=version, sha256=sha256)
        return Document(text.encode(), media_type, name)
    context = _context(record, view=view, version=version, sha256=sha256) | {"logo": logo}
    css = _STYLESHEET.read_text() + brand_css + ("" if version else _DRAFT_STYLESHEET.read_text())
    if form == "pdf":
        context["head_name"] = shorten(context["organisation"], _HEAD_ROOM - text_width(VIEWS[view], 8), 8, bold=True)
        return Document(_pdf(view, record, context, css, on_page), media_type, name)
    css += f"@media screen {{\n{_CHARTS_STYLESHEET.read_text()}}}\n{_SCREEN_STYLESHEET.read_text()}"
    html = render_to_string(f"report/{view}.html", context | {"css": mark_safe(css), "fonts_url": fonts_url})  # noqa: S308
    html = _TABLE.sub('<table tabindex="0"', with_contents(_with_words_held(html)))
    return Document(html.encode(), media_type, name, style_hash=_style_hash(css))


def _pdf(
    view: str,
    record: Mapping[str, Any],
    context: dict[str, Any],
    css: str,
    on_page: Callable[[int], None] | None,
) -> bytes:
    """The PDF; a brief that runs over its two pages is set closer and shorter until it fits."""
    if view != "brief":
        html = with_contents(_with_words_held(render_to_string(f"report/{view}.html", context)))
        placed = (with_picture_placed(one, lambda part: room_below(part, css, whole=html)) for one in [html])
        return render_pdf(placed, css, on_page=on_page).data

    def tries() -> Iterator[str]:
        yield from _briefs(record, context, _BRIEF_STEPS)
        for most in _CLIPPED_TO:
            short = clipped(record, most)
            made = _context(short, view=view, version=context["version"], sha256=context["sha256"])
            yield from _briefs(short, context | made, _BRIEF_STEPS[-3::2])

    return render_pdf(tries(), css, most_pages=_BRIEF_PAGES).data


def _briefs(record: Mapping[str, Any], context: dict[str, Any], steps: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    """The brief from roomy to close."""
    data = picture_data.picture_of(record)
    actions = [one for one in context["actions"] if one["status"] != "dropped"]
    for density, cell, most_actions, variant, paragraph in steps:
        fitted = {
            "summary": _html(_shortened(record["text"]["summary"], paragraph)),
            "how_sure": [_held(_shortened(one, paragraph)) for one in how_sure(record)],
            "density": density,
            "picture": _picture(data, variant),
            "layers": _brief_layers(record, cell),
            "brief_actions": actions[:most_actions],
            "more_actions": max(0, len(actions) - most_actions),
        }
        yield _with_words_held(render_to_string("report/brief.html", context | fitted))


def _held(text: str) -> str:
    """`text`, escaped, in which neither a short name with hyphens, like eu-west, nor "4 → 5" breaks over two lines."""
    return mark_safe(_ARROW.sub("\\1\u00a0→\u00a0\\2", _HYPHENED.sub(_unbroken, escape(text))))  # noqa: S308, escaped


def _unbroken(found: re.Match[str]) -> str:
    return f'<span class="nowrap">{found[0]}</span>' if len(found[0]) <= _LONGEST_UNBROKEN else found[0]


def _with_words_held(html: str) -> str:
    """`html` in which no line breaks between "n" or "P" and its number, or a number and its hours, and in which text
    from right to left keeps its full stop.
    """
    html = with_directions(_BEFORE_HOURS.sub("\u00a0", html))
    return _BEFORE_BOUND.sub("\\1\u00a0", _BEFORE_NUMBER.sub("\\1\u00a0", html))


def _brand(record: Mapping[str, Any]) -> tuple[str, str]:
    """The logo as a data: address and the rules for the organisation's colour; "" where the record has none."""
    brand = record.get("branding") or {}
    colour, logo = str(brand.get("colour", "")), str(brand.get("logo_png", ""))
    css = ""
    if _COLOUR.fullmatch(colour) and colour != DEFAULT_COLOUR:
        line = f"border-bottom-color: {colour};"
        heads = f"@top-left {{ {line} }} @top-right {{ {line} }}"
        css = f"h1 {{ color: {colour}; }} h2 {{ {line} }}\n@media print {{ @page {{ {heads} }} }}\n"
    is_base64 = bool(_BASE64.fullmatch(logo)) and len(logo) <= _MOST_LOGO
    return (f"data:image/png;base64,{logo}" if logo and is_base64 else ""), css


def _style_hash(css: str) -> str:
    """Source expression of a Content-Security-Policy that allows exactly this style element."""
    return f"'sha256-{b64encode(hashlib.sha256(css.encode()).digest()).decode()}'"


def _context(record: Mapping[str, Any], *, view: str, version: int | None, sha256: str) -> dict[str, Any]:
    text = record["text"]
    data = picture_data.picture_of(record)
    causes = present.causes(record)
    publication = record.get("publication") or {}
    shown = present.hypotheses(record)
    asked = present.decisions(record)[: _BRIEF_DECISIONS if view == "brief" else None]
    actions = present.actions(record)
    brief = view == "brief"
    headline, lede = present.opening(record)
    graph = picture_data.graph_of(record) if view == "full" else CausalGraph((), ())
    return {
        "view_name": VIEWS[view],
        "incident": record["incident"],
        "organisation": record["organisation"] or "Postmortem",
        "draft": version is None,
        "version": version,
        "sha256": sha256,
        "sha_short": f"{sha256[:8]} {sha256[8:16]} … {sha256[-8:]}" if sha256 else "not frozen",
        "publication": publication | {"on": present.when(publication.get("published_at"))},
        "summary": _html(_shortened(text["summary"], _BRIEF_TEXT) if brief else text["summary"]),
        "impact": _html(text["impact"]),
        "detection_gap": _html(text["detection_gap"]),
        "lessons": _html(text["lessons"]),
        "title": _held(record["incident"]["title"]),
        "headline": headline,
        "lede": lede,
        "finding": record["finding"],
        "figures": present.figures(record),
        "clocks": present.clocks(record),
        "picture": _picture(data, "print"),
        "signal_label": data.label if data else "",
        "how_sure": [_held(_shortened(one, _BRIEF_TEXT)) for one in how_sure(record)],
        "layers": _brief_layers(record, _BRIEF_STEPS[0][1]) if brief else present.layers(record),
        "actions": actions,
        "brief_actions": actions[:_BRIEF_ACTIONS],
        "more_actions": max(0, len(actions) - _BRIEF_ACTIONS),
        "decisions": list(filter(None, map(_inline, asked))),
        "causes": causes,
        "graph": [_svg(one) for one in graph_bands(graph, causes["uncut"], numbers=causes["numbers"])],
        "leading": [] if brief else [one | {"chart": _exposed(record, one)} for one in shown if is_leading(one)],
        "told_apart": present.told_apart(record),
        "others": [one for one in shown if not is_leading(one)],
        "verdict_key": VERDICT_KEY,
        "ledger_key": ledger_key(record),
        "ledger": present.ledger(record) if not brief else [],
        "timeline": [one | {"when": present.when(one["at"])} for one in record["timeline"]] if not brief else [],
        "reconciliation": present.reconciliation(record),
        "answers": present.answers(record) if not brief else [],
        "evidence": record["evidence"],
        "imports": [one | {"when": present.when(one["at"])} for one in record["evidence"]["imports"]],
        "participants": [one | {"role_label": role_of(one)} for one in record["participants"]],
        "signatures": present.signatures(record),
        "mix": mix_words(record),
        "versions": aftermath.versions(record) if not brief else [],
        "versions_note": aftermath.versions_note(record["finding"]["result"]) if record["finding"] else "",
        "containment": aftermath.containment(record) if not brief else [],
        "nothing_left": aftermath.NOTHING_LEFT,
        "residual": aftermath.residual_risk(record) if not brief else [],
        "mix_picture": _mix_picture(record) if view == "full" else "",
        "clocks_picture": _clocks_picture(record) if view == "full" else "",
        "calendar": _svg(picture_data.calendar_of(record)) if view == "full" else "",
        "calendar_has_start": picture_data.calendar_has_start(record),
        "patterns": pattern_rows(record) if view == "full" else [],
        "cut": record.get("cut", ""),
        "contents": view == "full" and _rows(record) >= _CONTENTS_FROM,
        "audience": record.get("audience"),
        "left_out": left_out_sentence(record),
        "unfinished": unfinished(record) if version is None else [],
        "annex": annex_of(record) if view == "annex" else None,
    }


def _picture(data: SignatureData | None, variant: str) -> str:
    return _svg(signature_chart(data, variant=variant)) if data else ""


def _brief_layers(record: Mapping[str, Any], cell: int) -> list[dict[str, Any]]:
    """One piece for, one against, each of at most `cell` characters: what fits a table on one page."""

    def first(pieces: list[dict[str, Any]]) -> str:
        return _shortened(pieces[0]["text"], cell) if pieces else "None recorded."

    return [
        layer
        | {
            "for_text": first(layer["evidence_for"]),
            "against_text": first(layer["evidence_against"]),
            "more_for": max(0, len(layer["evidence_for"]) - 1),
            "more_against": max(0, len(layer["evidence_against"]) - 1),
        }
        for layer in present.layers(record)
    ]


def _exposed(record: Mapping[str, Any], hypothesis: Mapping[str, Any]) -> str:
    data = exposed_data(record["finding"]["result"], hypothesis["raw"])
    return _svg(exposed_chart(data, variant="print")) if data and data.bins else ""


def _rows(record: Mapping[str, Any]) -> int:
    """About how long a full report gets."""
    pieces = sum(len(layer["evidence_for"]) + len(layer["evidence_against"]) for layer in record["layers"])
    return pieces + sum(len(record[part]) for part in ("changes", "actions", "timeline", "factors"))


def _clocks_picture(record: Mapping[str, Any]) -> str:
    """Only where it shows more than the row of figures: from three known clocks on."""
    spans = picture_data.clock_spans(record)
    known = sum(one.duration is not None for one in spans)
    return _svg(clocks_chart(spans, variant="print")) if known >= _CLOCKS_DRAWN_FROM else ""


def _mix_picture(record: Mapping[str, Any]) -> str:
    data = mix_data(record["finding"]["result"]) if record["finding"] else None
    return _svg(mix_chart(data, variant="print")) if data else ""


def _shortened(text: str, most: int) -> str:
    """Whole sentences up to `most` characters; the first one is cut at a word if it is longer."""
    if len(text) <= most:
        return text
    kept = text[:most]
    end = max(kept.rfind(". "), kept.rfind(".\n"), kept.rfind("? "), kept.rfind("! "))
    return kept[: end + 1] if end > most // 3 else kept[: kept.rfind(" ")].rstrip(" ,;:") + "…"


def _html(text: str) -> str:
    return mark_safe(render_markdown(text))  # noqa: S308


def _inline(text: str) -> str:
    """One line of Markdown without its paragraph."""
    html = render_markdown(text).strip()
    one = html.startswith("<p>") and html.endswith("</p>") and html.count("<p>") == 1
    return mark_safe(html[3:-4] if one else html)  # noqa: S308


def _svg(text: str) -> str:
    """A picture that our own functions drew, every text of it escaped."""
    return mark_safe(text)  # noqa: S308
