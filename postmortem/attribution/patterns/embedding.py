"""Pattern 7, embedding churn: the index was built with one encoder and queries use another. Pure.

Kolmogorov and Smirnov's two-sample distance tells whether similarity scores moved (scipy.stats.ks_2samp).
"""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import stats

from postmortem.attribution.intervals import wilson_interval
from postmortem.attribution.patterns.compare import (
    FALSE_DISCOVERIES,
    FEWEST,
    Compared,
    compare,
    false_discovery_rates,
    level_number,
    number_of,
    recorded,
)
from postmortem.attribution.patterns.shapes import (
    Masks,
    Number,
    PatternFinding,
    PatternInput,
    Picture,
    PictureRow,
    SuggestedAction,
    Words,
)
from postmortem.attribution.wording import difference_text, p_value_text
from postmortem.lib.layers import Layer

NAME, TITLE = "embedding_churn", "Embedding churn"
_SIMILARITY = re.compile(r"similarity|retrieval_score|top_score|relevance_score|cosine", re.I)
_RECALL = re.compile(r"recall|known_item|hit_rate", re.I)
_QUERY_FACETS = ("query_encoder", "encoder_query")
_DATED = ("embedding_date", "embedded_at")
_LEAST_DISTANCE, _LARGEST_CHANCE = 0.1, 1e-3
_ACTION = SuggestedAction(
    "Refuse a query whose encoder differs from the index's, and re-embed what is left",
    "prevent",
    "Encoder of the index and of the query agree in 100% of traces for 7 days; known-item recall is back at its level",
)


def detect(given: PatternInput) -> PatternFinding:
    """Match when encoders differ, when similarity moves while recall falls, or failures split by embedding date."""
    found = _detect(given)
    numbers, told = _of_manifests(given)
    return replace(found, numbers=found.numbers + numbers, evidence_for=found.evidence_for + told)


def _detect(given: PatternInput) -> PatternFinding:
    both = given.before | given.during
    index, query = _encoders(given, both)
    told = bool(both.any()) and float(((index != "") & (query != ""))[both].mean()) > 0.2
    if told:
        found = _disagreement(given, index, query)
        if found is not None:
            return found
    similarity = next((name for name in given.score_names() if _SIMILARITY.search(name)), None)
    moved = _similarity(given, similarity) if similarity else None
    if moved is not None and moved.answer == "match":
        return moved
    split = _partial(given)
    if split is not None or moved is not None:
        return split or moved  # type: ignore[return-value]  # one of them is there
    if told:
        return _agreement(given, index, query)
    return _answer(
        "not_enough_data",
        "The traces tell neither both encoders, of the index and of the query, nor how similar what was found was.",
        missing=(
            "facets query_encoder and index_encoder (a corpus manifest tells the index's as well)",
            "a similarity score of the best hit, and known-item recall from a daily probe",
        ),
    )


def _agreement(given: PatternInput, index: Words, query: Words) -> PatternFinding:
    """Encoders that agree, or that differed as often before the incident."""
    known = (index != "") & (query != "")
    differs = known & (index != query)
    counts = [
        (name, int((differs & window).sum()), int((known & window).sum()))
        for name, window in (("baseline", given.before), ("incident", given.during))
    ]
    numbers = tuple(
        Number("Encoders differ", some / count, wilson_interval(some, count), count, "share", name)
        for name, some, count in counts
        if count
    )
    told = "Index and query use the same encoder in every trace that records both"
    if differs.any():
        told = "Encoders differ no more often than before the incident"
    return _answer("no_match", f"{told}.", numbers=numbers, evidence_against=(told,))


def _encoders(given: PatternInput, both: Masks) -> tuple[Words, Words]:
    """The encoder of the index that each trace asked, and of its query; "" where nobody tells.

    A trace's `encoder` is the query's where something else tells of the index (a corpus manifest, `index_encoder`),
    for what an embedding step of the trace ran on is that; it is the index's where `query_encoder` tells of the query.
    """
    traced, told = given.facet("encoder"), _told_of_index(given)
    asked = next((given.facet(name) for name in _QUERY_FACETS if recorded(given.facet(name), both) > 0.2), None)
    if asked is not None:
        return np.where(told == "", traced, told), asked
    if recorded(told, both) > 0.2:
        return told, traced
    return traced, np.full(traced.size, "", dtype=object)


def _told_of_index(given: PatternInput) -> Words:
    """The encoder of each trace's index version by corpus manifests, else by the trace's `index_encoder`."""
    known: dict[str, str] = {}
    for change in given.changes:
        encoder = change.details.get("encoder")
        if change.facet == "index_version" and isinstance(encoder, Mapping):
            for version, name in ((change.from_version, encoder.get("from")), (change.to_version, encoder.get("to"))):
                if version and isinstance(name, str) and name:
                    known[version] = name
    stated = given.facet("index_encoder")
    if not known:
        return stated
    versions = given.facet("index_version")
    inferred = np.array([known.get(str(version), "") for version in versions], dtype=object)
    return np.where(inferred == "", stated, inferred)


def _of_manifests(given: PatternInput) -> tuple[tuple[Number, ...], tuple[str, ...]]:
    """What corpus manifests tell of a partial re-embedding, as numbers and evidence."""
    for change in reversed(given.changes):
        embedding = change.details.get("embedding")
        if change.layer is not Layer.RETRIEVAL or not isinstance(embedding, Mapping):
            continue
        stale, count = embedding.get("stale"), embedding.get("of")
        if isinstance(stale, int) and isinstance(count, int) and 0 < stale <= count:
            interval = wilson_interval(stale, count)
            label = "Documents embedded by another encoder"
            told = f"{stale:,} of {count:,} documents of the index are still embedded by another encoder"
            return (Number(label, stale / count, interval, count, "share", "corpus manifest"),), (told,)
    return (), ()


def _disagreement(given: PatternInput, index: np.ndarray, query: np.ndarray) -> PatternFinding | None:
    known = (index != "") & (query != "")
    differ = known & (index != query)
    during, before = known & given.during, known & given.before
    if during.sum() < FEWEST:
        return None
    now, count = int((differ & during).sum()), int(during.sum())
    earlier = float(differ[before].mean()) if before.any() else 0.0
    interval = wilson_interval(now, count)
    if interval[0] <= max(earlier, 0.02):
        return None
    told = f"In {now:,} of {count:,} traces of the incident the query's encoder is not the index's"
    compared = compare(given, during & ~differ, during & differ)
    numbers = [Number("Encoders differ", now / count, interval, count, "share", "incident")]
    picture = None
    if compared is not None:
        told += f"; there the signal differs by {difference_text(compared.difference, given.facts)}"
        numbers += [
            level_number("Encoders agree", compared.first, given.facts.unit, "incident"),
            level_number("Encoders differ", compared.second, given.facts.unit, "incident"),
        ]
        row = PictureRow(given.facts.label, compared.first, compared.second)
        picture = Picture("encoders agree", "encoders differ", given.facts.unit, (row,))
    return _answer(
        "match",
        told + ".",
        numbers=tuple(numbers),
        picture=picture,
        evidence_for=(told,),
        traces=given.ids(differ & given.during),
        actions=(_ACTION,),
    )


def _similarity(given: PatternInput, name: str) -> PatternFinding | None:
    values = given.of_signal(name)
    known = np.isfinite(values)
    one, other = values[known & given.before], values[known & given.during]
    if min(one.size, other.size) < FEWEST:
        return None
    test = stats.ks_2samp(one, other)
    distance, chance = float(test.statistic), float(test.pvalue)
    number = Number(
        f"Distance of {name}",
        distance,
        None,
        int(one.size + other.size),
        "",
        f"Kolmogorov-Smirnov, {p_value_text(chance)}",
    )
    recalls = [score for score in given.score_names() if _RECALL.search(score)]
    recall = (
        compare(given, given.before, given.during, values=given.of_signal(recalls[0]), worse="lower")
        if recalls
        else None
    )
    numbers = [number]
    picture = None
    if recall is not None:
        facts = given.facts_of(recalls[0], "lower")
        numbers += [
            level_number(f"{recalls[0]} before", recall.first, facts.unit),
            level_number(f"{recalls[0]} in the incident", recall.second, facts.unit),
        ]
        picture = Picture("baseline", "incident", facts.unit, (PictureRow(recalls[0], recall.first, recall.second),))
    errors = np.array([trace.has_error for trace in given.traces], dtype=float)
    noisy = compare(given, given.before, given.during, values=errors, worse="higher")
    if distance < _LEAST_DISTANCE or chance > _LARGEST_CHANCE:
        told = f"The distribution of {name} holds (distance {distance:.2f})"
        return _answer("no_match", told + ".", numbers=tuple(numbers), picture=picture, evidence_against=(told,))
    told = f"The distribution of {name} moved (distance {distance:.2f}, {p_value_text(chance)})"
    if recall is None:
        return _answer(
            "not_enough_data",
            told + "; without known-item recall nobody can say whether the right documents are still found.",
            numbers=tuple(numbers),
            evidence_for=(told,),
            missing=("known-item recall from a daily probe",),
        )
    if recall.is_harm and not (noisy is not None and noisy.is_harm and noisy.harm.estimate > 0.02):
        told += " with no more errors, and known-item recall fell"
        return _answer(
            "match",
            told + ".",
            numbers=tuple(numbers),
            picture=picture,
            evidence_for=(told,),
            traces=given.ids(given.during & known),
            actions=(_ACTION,),
        )
    return _answer(
        "no_match",
        told + ", and known-item recall did not fall.",
        numbers=tuple(numbers),
        picture=picture,
        evidence_against=("Known-item recall holds",),
    )


def _partial(given: PatternInput) -> PatternFinding | None:
    """Partial re-embedding: in the incident, and not before it, failures split by when documents were embedded.

    Each date is compared with all others, and the many dates are corrected for (Benjamini and Hochberg).
    """
    facet = next((name for name in _DATED if recorded(given.facet(name), given.during) > 0.2), None)
    if facet is None:
        return None
    words = given.facet(facet)
    looks: list[tuple[str, Compared]] = []
    for date in sorted(set(words[given.during]) - {""}, key=str):
        one = compare(given, given.during & (words != date) & (words != ""), given.during & (words == date))
        if one is not None:
            looks.append((str(date), one))
    rates = false_discovery_rates([(one.harm.estimate, one.error) for _, one in looks])
    split = [(date, one) for (date, one), q in zip(looks, rates, strict=True) if q < FALSE_DISCOVERIES]
    split = [(date, one) for date, one in split if not _was_there(given, words == date, words != "", one)]
    if not split:
        return None
    date, worst = max(split, key=lambda pair: pair[1].harm.estimate)
    told = (
        f"In the incident failures split by {facet}: {difference_text(worst.difference, given.facts)} with documents "
        f"of {date} against all others, one of {len(looks)} dates, and not so before"
    )
    return _answer(
        "match",
        told + ".",
        numbers=(number_of(f"{facet} {date}", worst, given.facts, "against all other dates"),),
        picture=Picture(
            "other dates",
            "this date",
            given.facts.unit,
            tuple(PictureRow(f"{facet} {date}", one.first, one.second) for date, one in split[:6]),
        ),
        evidence_for=(told,),
        traces=given.ids(given.during & (words == date) & given.is_worse_than(worst.first.mean)),
        actions=(_ACTION,),
    )


def _was_there(given: PatternInput, dated: Masks, known: Masks, during: Compared) -> bool:
    """Whether half of the split showed in the baseline already."""
    before = compare(given, given.before & known & ~dated, given.before & dated)
    return before is not None and before.harm.estimate > during.harm.estimate / 2


def _answer(answer: str, sentence: str, **fields: object) -> PatternFinding:
    return PatternFinding(NAME, TITLE, Layer.RETRIEVAL, answer, sentence, **fields)  # type: ignore[arg-type]
