"""Pattern 2, corpus provenance gap: training data that nobody can account for. Pure.

A model change may carry `details.provenance`: added, removed, without_author, without_reviewer, without_licence
(rows), `unaccounted` (without author or reviewer), `topics` (value of the topic facet → added rows) and `topic_facet`
(intent unless told). Training-data manifests make it (changes.manifests.training).
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from postmortem.attribution.intervals import wilson_interval
from postmortem.attribution.patterns.compare import compare, exposed_sides, gap_between, number_of
from postmortem.attribution.patterns.shapes import (
    Number,
    PatternFinding,
    PatternInput,
    Picture,
    PictureRow,
    SuggestedAction,
)
from postmortem.attribution.wording import change_title, difference_text
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer

NAME, TITLE = "corpus_provenance_gap", "Corpus provenance gap"
_TRAINED = re.compile(r"fine.?tun|train|dataset|adapter|lora|distill|checkpoint", re.I)
_WHO = ("author", "reviewer")
_LOG = "a training-data manifest with each fine-tune: rows with source, author, reviewer and licence"
_ACTION = SuggestedAction(
    "Refuse training rows without author and reviewer",
    "prevent",
    "Share of added rows without author or reviewer is 0 in the next 2 training runs",
)


def detect(given: PatternInput) -> PatternFinding:
    """Match when rows without author or reviewer were added and failures concentrate in the topics they touch."""
    changes = [change for change in given.changes if change.layer is Layer.MODEL]
    told = [change for change in changes if isinstance(change.details.get("provenance"), Mapping)]
    if told:
        answers = [_of_change(given, change) for change in reversed(told)]
        order = {"match": 0, "no_match": 1, "not_enough_data": 2}
        return min(answers, key=lambda one: order[one.answer])
    if any(_TRAINED.search(change.summary) for change in changes):
        return _answer(
            "not_enough_data", "A model was trained or tuned, and no manifest says on which rows.", missing=(_LOG,)
        )
    return _answer("no_match", "No logged change trained or tuned a model.")


def _of_change(given: PatternInput, change: ChangeRecord) -> PatternFinding:
    manifest: Mapping[str, Any] = change.details["provenance"]
    added = _rows(manifest, "added")
    title = change_title(change)
    if added == 0:
        return _answer(
            "no_match",
            f"{title}: its manifest adds no rows.",
            numbers=(Number("Rows added", 0.0, None, _rows(manifest, "rows"), "", "training-data manifest"),),
            evidence_against=("No rows were added",),
        )
    unaccounted = _unaccounted(manifest, added)
    shares = tuple(
        Number(label, rows / added, wilson_interval(rows, added), added, "share", "training-data manifest")
        for label, rows in (
            ("Added rows without author or reviewer", unaccounted),
            ("Added rows without author", min(_rows(manifest, "without_author"), added)),
            ("Added rows without reviewer", min(_rows(manifest, "without_reviewer"), added)),
            ("Added rows without licence", min(_rows(manifest, "without_licence"), added)),
        )
    )
    share_text = f"{unaccounted:,} of {added:,} added rows have no author or no reviewer"
    facet = str(manifest.get("topic_facet") or "intent")
    topics = manifest.get("topics")
    touched = {str(name) for name, rows in topics.items() if _count(rows)} if isinstance(topics, Mapping) else set()
    words = given.facet(facet)
    sides = exposed_sides(given, change)
    without, with_it, times = sides.without, sides.with_it, sides.times
    inside = np.isin(words, sorted(touched))
    hit = compare(given, without & inside, with_it & inside, times=times)
    rest = compare(given, without & ~inside & (words != ""), with_it & ~inside & (words != ""), times=times)
    if not touched or hit is None or rest is None:
        return _answer(
            "not_enough_data",
            f"{title}: {share_text}; whether failures sit in their topics cannot be told.",
            numbers=shares,
            missing=(f"the facet {facet} on every trace, and the topics of added rows in the manifest",),
        )
    gap = gap_between(hit, rest)
    numbers = (
        *shares,
        number_of("Topics that the rows touch", hit, given.facts, "with it − without"),
        number_of("All other topics", rest, given.facts, "with it − without"),
    )
    picture = Picture(
        "without",
        "with it",
        given.facts.unit,
        (PictureRow("touched topics", hit.first, hit.second), PictureRow("other topics", rest.first, rest.second)),
    )
    sentence = (
        f"{title}: {share_text}; touched topics moved by {difference_text(hit.difference, given.facts)}, "
        f"the others by {difference_text(rest.difference, given.facts)}."
    )
    if gap.interval[0] > 0 and unaccounted:
        bad = with_it & inside & given.is_worse_than(hit.first.mean)
        return _answer(
            "match",
            sentence,
            numbers=numbers,
            picture=picture,
            traces=given.ids(bad),
            actions=(_ACTION,),
            evidence_for=(sentence,),
        )
    actions = (_ACTION,) if unaccounted else ()
    return _answer(
        "no_match", sentence, numbers=numbers, picture=picture, evidence_against=(sentence,), actions=actions
    )


def _unaccounted(manifest: Mapping[str, Any], added: int) -> int:
    """Added rows without author or reviewer; a record that has only both counts tells at least the larger."""
    told = manifest.get("unaccounted")
    counts = [_count(told)] if told is not None else [_rows(manifest, f"without_{name}") for name in _WHO]
    return min(max(counts), added)


def _rows(manifest: Mapping[str, Any], name: str) -> int:
    return _count(manifest.get(name))


def _count(value: object) -> int:
    return max(int(value), 0) if isinstance(value, (int, float)) and np.isfinite(value) else 0


def _answer(answer: str, sentence: str, **fields: object) -> PatternFinding:
    return PatternFinding(NAME, TITLE, Layer.MODEL, answer, sentence, **fields)  # type: ignore[arg-type]
