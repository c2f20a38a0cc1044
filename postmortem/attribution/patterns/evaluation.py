"""Pattern 9, invalidated RAG evaluation: the knowledge base moved and the benchmark did not. Pure."""

from collections.abc import Mapping

import numpy as np

from postmortem.attribution.intervals import wilson_interval
from postmortem.attribution.patterns.compare import FEWEST, compare, level_number
from postmortem.attribution.patterns.shapes import (
    Number,
    PatternFinding,
    PatternInput,
    Picture,
    PictureRow,
    SuggestedAction,
)
from postmortem.attribution.wording import difference_text
from postmortem.lib.layers import Layer

NAME, TITLE = "invalidated_rag_evaluation", "Invalidated RAG evaluation"
EVALUATION = ("evaluation", "eval", "benchmark", "test")
_FLAT_SHARE = 0.5


def detect(given: PatternInput) -> PatternFinding:
    """Match when the evaluation falls with the new corpus while live quality is flat."""
    environment = np.array([str(word).lower() for word in given.facet("environment")], dtype=object)
    evaluated = np.isin(environment, EVALUATION)
    if int((evaluated & np.isfinite(given.values)).sum()) < 2 * FEWEST:
        return _answer(
            "not_enough_data",
            "No evaluation runs are in evidence.",
            missing=("evaluation runs as traces with environment evaluation, and the index_version they ran on",),
        )
    versions = given.facet("index_version")
    before, after = _corpora(given, versions)
    if before is None or after is None:
        return _answer(
            "no_match",
            "The corpus did not change between the evaluation runs, so they measure the same thing.",
            missing=() if (versions != "").any() else ("facet index_version on every trace",),
        )
    tested = compare(given, evaluated & before, evaluated & after)
    live = compare(given, ~evaluated & before, ~evaluated & after)
    if tested is None or live is None:
        return _answer(
            "not_enough_data",
            f"Fewer than {FEWEST} evaluated or live traces ran on one of the two corpora.",
            missing=("an evaluation run on each version of the corpus",),
        )
    unit = given.facts.unit
    gold, gold_count = _gold(given)
    common = {
        "numbers": (
            *_gold_number(gold, gold_count),
            level_number("Evaluation, old corpus", tested.first, unit),
            level_number("Evaluation, new corpus", tested.second, unit),
            level_number("Live, old corpus", live.first, unit),
            level_number("Live, new corpus", live.second, unit),
        ),
        "picture": Picture(
            "old corpus",
            "new corpus",
            unit,
            (PictureRow("evaluation", tested.first, tested.second), PictureRow("live", live.first, live.second)),
        ),
    }
    told = (
        f"With the new corpus the evaluation moved by {difference_text(tested.difference, given.facts)}, "
        f"live quality by {difference_text(live.difference, given.facts)}"
    )
    extra = (f"{gold:,} gold documents were changed, removed or superseded",) if gold else ()
    flat = not live.is_harm and live.harm.estimate < _FLAT_SHARE * tested.harm.estimate
    if tested.is_clear_harm and flat:
        return _answer(
            "match",
            told + ".",
            evidence_for=(told, *extra),
            traces=given.ids(evaluated & after),
            actions=(
                SuggestedAction(
                    "Tie every evaluation set to a corpus version and rebuild its gold documents when it moves",
                    "prevent",
                    "Each evaluation run names the corpus version it was built on, and they agree in the next 3 runs",
                ),
            ),
            **common,
        )
    return _answer("no_match", told + ".", evidence_against=(told,), evidence_for=extra, **common)


def _corpora(given: PatternInput, versions: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Traces on the older and on the newest corpus, by the version they record, else by the last retrieval change."""
    seen = [str(word) for word in dict.fromkeys(versions) if word]
    if len(seen) >= 2:
        return np.isin(versions, seen[:-1]), versions == seen[-1]
    if seen:
        return None, None
    changes = [change for change in given.changes if change.layer is Layer.RETRIEVAL and change.at < given.incident[1]]
    if not changes:
        return None, None
    moment = changes[-1].until.timestamp()
    return given.seconds < moment, given.seconds >= moment


def _gold(given: PatternInput) -> tuple[int, int]:
    """Gold documents that were changed, removed or superseded before the incident's end, of how many; by manifests."""
    changed = count = 0
    for change in given.changes:
        documents = change.details.get("documents")
        if change.layer is Layer.RETRIEVAL and change.at < given.incident[1] and isinstance(documents, Mapping):
            changed += _whole(documents.get("gold_changed"))
            count = max(count, _whole(documents.get("gold")))
    return changed, count


def _gold_number(changed: int, count: int) -> tuple[Number, ...]:
    if not count:
        return ()
    share = min(changed, count) / count
    interval = wilson_interval(min(changed, count), count)
    return (Number("Gold documents that moved", share, interval, count, "share", "corpus manifests"),)


def _whole(value: object) -> int:
    return max(value, 0) if isinstance(value, int) and not isinstance(value, bool) else 0


def _answer(answer: str, sentence: str, **fields: object) -> PatternFinding:
    return PatternFinding(NAME, TITLE, Layer.RETRIEVAL, answer, sentence, **fields)  # type: ignore[arg-type]
