"""Pattern 4, deprecated base: a model that was retired, or silently replaced by its provider. Pure."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from postmortem.attribution.intervals import Moments, level_of, wilson_interval
from postmortem.attribution.patterns.compare import FEWEST, compare, level_number, number_of, recorded
from postmortem.attribution.patterns.retirements import retirements_of
from postmortem.attribution.patterns.shapes import (
    Masks,
    Number,
    PatternFinding,
    PatternInput,
    Picture,
    PictureRow,
    SuggestedAction,
)
from postmortem.attribution.wording import difference_text, facet_words, moment_text, plural
from postmortem.changes.reconcile import VersionMove, reconcile
from postmortem.lib.layers import Layer

NAME, TITLE = "deprecated_base", "Deprecated base"
GONE = frozenset({"404", "410", "model_not_found"})
_SERVED = ("model_served", "model_version")
_MOST_MODELS, _MOST_ACTIONS = 8, 3
_PIN = SuggestedAction(
    "Pin the provider's snapshot and alert when the served model changes",
    "detect",
    "An alert fires within 15 minutes of a served model id that no change log mentions, tested once by hand",
)


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What the calendar says of the models that the traces record."""

    told: tuple[str, ...]
    numbers: tuple[Number, ...]
    actions: tuple[SuggestedAction, ...]


def detect(given: PatternInput) -> PatternFinding:
    """Match when one model id starts to fail as gone, or what is served changes with no logged change."""
    models = given.facet("model")
    served = [name for name in _SERVED if recorded(given.facet(name), given.during) >= 0.2]
    ahead = _ahead(given)
    gone = _gone(given, ahead)
    if gone is not None:
        return gone
    if not served and (share := recorded(models, given.during)) < 0.2:
        said = (
            f"Only {share:.1%} of the incident's traces record a model, too few to see one fail or be replaced"
            if share
            else "The traces record neither the requested nor the served model"
        )
        known = "; ".join(ahead.told[:3])
        warned = (
            f"The calendar of retirements says of what is known: {known}."
            if known
            else "No warning of a retirement can be given without the model's name."
        )
        return _answer(
            "not_enough_data",
            f"{said}. {warned}",
            missing=("facet model (requested) and model_served or model_version (answered) on every trace",),
            **_told(ahead),
        )
    moves = [
        move
        for move in reconcile(given.changes, given.traces).never_logged
        if move.facet in _SERVED and move.at < given.incident[1]
    ]
    if moves:
        return _moved(given, moves[-1], ahead)
    if not served:
        return _answer(
            "not_enough_data",
            "The requested model is recorded and the served one is not, so a silent replacement would not show.",
            missing=("facet model_served or model_version (system fingerprint) from every answer",),
            **_told(ahead),
        )
    return _answer(
        "no_match",
        "Every model that was served is in a log, and none answered that it is gone.",
        evidence_against=("All served versions are logged",),
        picture=_served_picture(given, served[0]),
        **{**_told(ahead), "numbers": (*_none_gone(given), *ahead.numbers)},
    )


def _gone(given: PatternInput, ahead: _Ahead) -> PatternFinding | None:
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
        retired = retirements_of([str(model)], given.retirements).get(str(model))
        told = f"{int(during.sum()):,} of {during.size:,} requests to {model} fail since {moment_text(first)}"
        return _answer(
            "match",
            f"{told}; other models do not" + (f". It was to retire on {retired[1]:%-d %b %Y}." if retired else "."),
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
                *ahead.numbers,
            ),
            picture=_failing_picture(str(model), failing, (one, rest), (given.before, given.during)),
            evidence_for=(told, *ahead.told),
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


def _told(ahead: _Ahead) -> dict[str, Any]:
    return {"numbers": ahead.numbers, "evidence_for": ahead.told, "actions": ahead.actions}


def _none_gone(given: PatternInput) -> tuple[Number, ...]:
    """How many requests of the incident were answered that the model is gone."""
    codes = given.facet("status_code")[given.during]
    if not codes.size:
        return ()
    gone = int(np.isin(codes, sorted(GONE)).sum())
    interval = wilson_interval(gone, codes.size)
    return (Number("Answered that the model is gone", gone / codes.size, interval, codes.size, "share", "incident"),)


def _failing_picture(model: str, failing: Masks, sides: tuple[Masks, Masks], windows: tuple[Masks, Masks]) -> Picture:
    """How often requests to the model, and to all others, failed in both windows."""
    rows = []
    for label, side in zip((model, "other models"), sides, strict=True):
        levels = [
            level_of(Moments.of(failing[side & window].astype(float)), binary=True) if (side & window).any() else None
            for window in windows
        ]
        rows.append(PictureRow(label, levels[0], levels[1]))
    return Picture("baseline", "incident", "share", tuple(rows))


def _served_picture(given: PatternInput, facet: str) -> Picture | None:
    """The signal on each served version, before and in the incident."""
    words = given.facet(facet)
    rows = []
    for value in sorted(set(words[given.during]) - {""})[:6]:
        inside = words == value
        levels = [
            level_of(Moments.of(given.values[rows_]), binary=given.facts.kind == "binary") if rows_.any() else None
            for rows_ in (inside & window & np.isfinite(given.values) for window in (given.before, given.during))
        ]
        if any(levels):
            rows.append(PictureRow(str(value), levels[0], levels[1]))
    return Picture("baseline", "incident", given.facts.unit, tuple(rows)) if rows else None


def _moved(given: PatternInput, move: VersionMove, ahead: _Ahead) -> PatternFinding:
    words = given.facet(move.facet)
    compared = compare(given, words == move.from_version, words == move.to_version)
    told = (
        f"{plural(move.trace_count, 'trace')} run on {facet_words(move.facet)} {move.to_version} "
        f"since {moment_text(move.at)}, and no change log mentions it"
    )
    known = given.during & (words != "")
    count, size = int((known & (words == move.to_version)).sum()), int(known.sum())
    numbers: tuple[Number, ...] = (
        Number(f"On {move.to_version}", count / size, wilson_interval(count, size), size, "share", "incident"),
    ) if size else ()  # fmt: skip
    picture = _served_picture(given, move.facet)
    if compared is not None:
        numbers += (
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
        numbers=numbers + ahead.numbers,
        picture=picture,
        evidence_for=(told, *ahead.told),
        traces=given.ids(given.during & (words == move.to_version)),
        actions=(_PIN, *ahead.actions),
    )


def _ahead(given: PatternInput) -> _Ahead:
    """Warns of every model in the traces, or brought by a logged change, whose retirement is known; nearest first."""
    facets = [given.facet(name) for name in ("model", *_SERVED)]
    seen = {str(word) for words in facets for word in set(words)} - {""}
    now = given.incident[1]
    logged = _logged_models(given) - seen
    known = sorted(retirements_of(seen | logged, given.retirements).items(), key=lambda pair: (pair[1][1], pair[0]))
    told, numbers, actions = [], [], []
    for model, (_, moment) in known[:_MOST_MODELS]:
        days = (moment - now).days
        when = f"{moment:%-d %b %Y}"
        by_log = " (by the change log; no trace records it)" if model in logged else ""
        told.append((f"{model} retires on {when}" if moment > now else f"{model} was to retire on {when}") + by_log)
        count = int(np.any([words == model for words in facets], axis=0).sum())
        numbers.append(
            Number(f"{model}: days to its retirement", float(days), None, count, "", "at the incident's end")
        )
        if moment > now:
            actions.append(
                SuggestedAction(
                    f"Move every call from {model} to a supported model before {when}",
                    "prevent",
                    f"No trace requests {model} for 7 days before {when}",
                )
            )
    return _Ahead(tuple(told), tuple(numbers), tuple(actions[:_MOST_ACTIONS]))


def _logged_models(given: PatternInput) -> set[str]:
    """The models that the logs say run at the end of the incident: of each target the one that was brought last."""
    latest: dict[tuple[object, ...], str] = {}
    for change in sorted(given.changes, key=lambda one: one.at):
        if change.facet in ("model", *_SERVED) and change.to_version and change.at <= given.incident[1]:
            scope = tuple(sorted((facet, tuple(sorted(values))) for facet, values in change.scope.items()))
            latest[(change.facet, scope)] = change.to_version
    return set(latest.values())


def _answer(answer: str, sentence: str, **fields: object) -> PatternFinding:
    return PatternFinding(NAME, TITLE, Layer.MODEL, answer, sentence, **fields)  # type: ignore[arg-type]
