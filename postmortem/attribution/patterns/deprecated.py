"""Pattern 4, deprecated base: a model that was retired, or silently replaced by its provider. Pure."""

from datetime import datetime

import numpy as np

from postmortem.attribution.intervals import wilson_interval
from postmortem.attribution.patterns.compare import FEWEST, compare, level_number, number_of, recorded
from postmortem.attribution.patterns.shapes import (
    Number,
    PatternFinding,
    PatternInput,
    Picture,
    PictureRow,
    SuggestedAction,
)
from postmortem.attribution.wording import difference_text, moment_text, plural
from postmortem.changes.reconcile import VersionMove, reconcile
from postmortem.lib.layers import Layer

NAME, TITLE = "deprecated_base", "Deprecated base"
GONE = frozenset({"404", "410", "model_not_found"})
_SERVED = ("model_served", "model_version")
_PIN = SuggestedAction(
    "Pin the provider's snapshot and alert when the served model changes",
    "detect",
    "An alert fires within 15 minutes of a served model id that no change log mentions, tested once by hand",
)


def detect(given: PatternInput) -> PatternFinding:
    """Match when one model id starts to fail as gone, or what is served changes with no logged change."""
    models = given.facet("model")
    served = [name for name in _SERVED if recorded(given.facet(name), given.during) >= 0.2]
    warnings = _warnings(given)
    gone = _gone(given)
    if gone is not None:
        return gone
    if not served and recorded(models, given.during) < 0.2:
        return _answer(
            "not_enough_data",
            "The traces record neither the requested nor the served model.",
            missing=("facet model (requested) and model_served or model_version (answered) on every trace",),
        )
    moves = [
        move
        for move in reconcile(given.changes, given.traces).never_logged
        if move.facet in _SERVED and move.at < given.incident[1]
    ]
    if moves:
        return _moved(given, moves[-1], warnings)
    if not served:
        return _answer(
            "not_enough_data",
            "The requested model is recorded and the served one is not, so a silent replacement would not show.",
            missing=("facet model_served or model_version (system fingerprint) from every answer",),
            evidence_for=warnings,
        )
    return _answer(
        "no_match",
        "Every model that was served is in a log, and none answered that it is gone.",
        evidence_for=warnings,
        evidence_against=("All served versions are logged",),
    )


def _gone(given: PatternInput) -> PatternFinding | None:
    models, codes = given.facet("model"), given.facet("status_code")
    failing = np.isin(codes, sorted(GONE))
    if not failing.any():
        failing = np.array([trace.has_error for trace in given.traces], dtype=bool)
    for model in sorted(set(models[given.during]) - {""}):
        one, rest = models == model, (models != model) & (models != "")
        counts = [int((rows & given.during).sum()) for rows in (one, rest)]
        if counts[0] < FEWEST or not (one & given.before).any():
            continue
        before, during = failing[one & given.before], failing[one & given.during]
        others = float(failing[rest & given.during].mean()) if counts[1] else 0.0
        if before.mean() > 0.02 or during.mean() < 0.2 or others > during.mean() / 4:
            continue
        first = given.traces[int(np.flatnonzero(one & given.during & failing)[0])].timestamp
        interval = wilson_interval(int(during.sum()), during.size)
        retired = given.retirements.get(str(model))
        told = f"{int(during.sum()):,} of {during.size:,} requests to {model} fail since {moment_text(first)}"
        return _answer(
            "match",
            f"{told}; other models do not" + (f". It was to retire on {retired:%-d %b %Y}." if retired else "."),
            numbers=(
                Number(f"{model} fails", float(during.mean()), interval, during.size, "share", "incident"),
                Number(
                    f"{model} failed",
                    float(before.mean()),
                    wilson_interval(int(before.sum()), before.size),
                    before.size,
                    "share",
                    "baseline",
                ),
            ),
            evidence_for=(told,),
            traces=given.ids(one & given.during & failing),
            actions=(
                SuggestedAction(
                    f"Move every call from {model} to a supported model",
                    "mitigate",
                    f"No trace requests {model} for 7 days and the error rate is below 1%",
                ),
            ),
        )
    return None


def _moved(given: PatternInput, move: VersionMove, warnings: tuple[str, ...]) -> PatternFinding:
    words = given.facet(move.facet)
    compared = compare(given, words == move.from_version, words == move.to_version)
    told = (
        f"{plural(move.trace_count, 'trace')} run on {move.facet} {move.to_version} since {moment_text(move.at)}, "
        "and no change log mentions it"
    )
    numbers: tuple[Number, ...] = ()
    picture = None
    if compared is not None:
        numbers = (
            level_number(move.from_version, compared.first, given.facts.unit),
            level_number(move.to_version, compared.second, given.facts.unit),
            number_of("Difference", compared, given.facts),
        )
        row = PictureRow(given.facts.label, compared.first, compared.second)
        picture = Picture(move.from_version, move.to_version, given.facts.unit, (row,))
        told += f"; the signal differs by {difference_text(compared.difference, given.facts)}"
    return _answer(
        "match",
        told + ".",
        numbers=numbers,
        picture=picture,
        evidence_for=(told, *warnings),
        traces=given.ids(given.during & (words == move.to_version)),
        actions=(_PIN,),
    )


def _warnings(given: PatternInput) -> tuple[str, ...]:
    """Models of the traces whose retirement is known."""
    seen = set(given.facet("model")) | set(given.facet("model_served"))
    known: list[tuple[str, datetime]] = [(name, day) for name, day in given.retirements.items() if name in seen]
    return tuple(f"{name} retires on {day:%-d %b %Y}" for name, day in sorted(known, key=lambda pair: pair[1]))


def _answer(answer: str, sentence: str, **fields: object) -> PatternFinding:
    return PatternFinding(NAME, TITLE, Layer.MODEL, answer, sentence, **fields)  # type: ignore[arg-type]
