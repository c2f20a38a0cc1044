"""Pattern 11, noisy neighbour: short requests wait behind other tenants' long prompts. Pure.

Spearman's rank correlation of the wait of short requests with what other tenants sent in the same ten minutes, with
Fisher's (1921) interval; the decode time of the same requests is the control: queueing delays the first token alone.
"""

import re
from dataclasses import dataclass

import numpy as np
from scipy import stats

from postmortem.attribution.intervals import Z95
from postmortem.attribution.patterns.compare import FEWEST, compare, level_number
from postmortem.attribution.patterns.shapes import (
    Floats,
    Masks,
    Number,
    PatternFinding,
    PatternInput,
    Picture,
    PictureRow,
    SuggestedAction,
)
from postmortem.attribution.shapes import Estimate
from postmortem.attribution.wording import difference_text, signal_facts
from postmortem.lib.layers import Layer

NAME, TITLE = "noisy_neighbour", "Noisy neighbour"
BIN_SECONDS = 600.0
_LEAST_RHO = 0.15
DECODE_SHARE = 0.25  # of the decode time or rate: less than this is not what makes people wait
_LOAD = re.compile(r"neighbou?r.*token|other.*token|tokens?_in_flight", re.I)
_RATE = re.compile(r"tokens?_per_second|decode_rate", re.I)
_LOG = (
    "time to first token of every request",
    "input tokens of every request",
    "the tenant on every trace, with all tenants of the shared inference imported",
)


def detect(given: PatternInput) -> PatternFinding:
    """Match when short requests' first token follows the other tenants' load, and decoding and own load do not."""
    waits = given.of_signal("time_to_first_token")
    tokens = np.array([np.nan if t.input_tokens is None else t.input_tokens for t in given.traces], dtype=np.float64)
    load = _load_of_others(given, tokens)
    there = (_known_share(waits), _known_share(tokens), _known_share(load.others))
    missing = tuple(text for text, share in zip(_LOG, there, strict=True) if share <= 0.3)
    known = np.isfinite(waits) & np.isfinite(tokens) & np.isfinite(load.others)
    if missing or (known & given.during).sum() < 2 * FEWEST:
        return _answer(
            "not_enough_data",
            "Waiting cannot be set against other tenants' load with what the traces record.",
            missing=missing or ("more traces of the incident window",),
        )
    short = known & (tokens <= np.nanmedian(tokens[known]))
    facts = signal_facts("time_to_first_token", "higher", binary=False)
    rise = compare(given, short & given.before, short & given.during, values=waits, worse="higher")
    others, own = load.others, load.own
    rows = short & given.during
    follows = _rank(waits[rows], others[rows])
    decode, decode_worse, decode_unit = _decoding(given, waits)
    slower = compare(given, short & given.before, short & given.during, values=decode, worse=decode_worse)
    with_own = compare(given, short & given.before, short & given.during, values=own, worse="higher")
    numbers = [
        Number(
            "Wait follows others' load, rank correlation",
            follows.estimate,
            follows.interval,
            int(rows.sum()),
            "",
            "short requests in the incident",
        )
    ]
    if rise is not None:
        numbers += [
            level_number("First token, baseline", rise.first, "s"),
            level_number("First token, incident", rise.second, "s"),
        ]
    if slower is not None:
        numbers += [
            level_number("Decoding, baseline", slower.first, decode_unit),
            level_number("Decoding, incident", slower.second, decode_unit),
        ]
    busy = others >= np.quantile(others[rows], 2 / 3)
    picture = _picture(given, rows, busy, waits)
    common = {"numbers": tuple(numbers), "picture": picture}
    if rise is None or slower is None:
        return _answer(
            "not_enough_data",
            "Too few short requests in one of the two windows.",
            missing=("traces from both windows",),
            **common,
        )
    follow_text = f"rank correlation {follows.estimate:.2f} ({follows.interval[0]:.2f} to {follows.interval[1]:.2f})"
    if not rise.is_harm:
        return _answer(
            "no_match", f"Short requests do not wait longer: {difference_text(rise.difference, facts)}.", **common
        )
    decode_harm = slower.is_harm and slower.harm.estimate > DECODE_SHARE * max(slower.first.mean, 1e-9)
    own_rose = (
        with_own is not None and with_own.is_harm and with_own.harm.estimate > 0.5 * max(with_own.first.mean, 1e-9)
    )
    if follows.interval[0] > _LEAST_RHO and not decode_harm and not own_rose:
        told = (
            f"The first token of short requests follows what other tenants send ({follow_text}), "
            "and decoding is as fast as before"
        )
        return _answer(
            "match",
            told + ".",
            evidence_for=(told,),
            traces=given.ids(rows & busy & (waits > np.nanmedian(waits[rows]))),
            actions=(
                SuggestedAction(
                    "Schedule fairly between tenants, or split long prompts into chunks",
                    "prevent",
                    "Time to first token of short requests is back in its baseline interval for 7 days",
                ),
            ),
            **common,
        )
    reasons = (
        [f"the wait does not follow other tenants' load ({follow_text})"] if follows.interval[0] <= _LEAST_RHO else []
    )
    reasons += ["decoding got slower too"] if decode_harm else []
    reasons += ["the tenants' own load rose"] if own_rose else []
    return _answer(
        "no_match",
        f"Short requests wait longer, but {' and '.join(reasons)}.",
        evidence_against=tuple(reasons),
        **common,
    )


@dataclass(frozen=True, slots=True)
class _Load:
    """Prompt tokens that other tenants, and that the tenant itself, had under way; NaN where nobody knows."""

    others: Floats
    own: Floats


def _load_of_others(given: PatternInput, tokens: Floats) -> _Load:
    """As a score tells it, else what the traces of other tenants sent in the same ten minutes."""
    told = next((name for name in given.score_names() if _LOAD.search(name)), None)
    if told is not None:
        return _Load(given.of_signal(told), np.zeros(given.seconds.size))
    tenants = given.facet("tenant")
    if len(set(tenants) - {""}) < 2:
        return _Load(np.full(given.seconds.size, np.nan), np.zeros(given.seconds.size))
    counted = np.nan_to_num(tokens)
    bins = np.unique((given.seconds // BIN_SECONDS).astype(np.int64), return_inverse=True)[1].reshape(-1)
    names = np.unique(tenants.astype(str), return_inverse=True)[1].reshape(-1)
    pair = bins * (int(names.max()) + 1) + names
    own = np.bincount(pair, counted)[pair]
    return _Load(np.where(tenants == "", np.nan, np.bincount(bins, counted)[bins] - own), own)


def _decoding(given: PatternInput, waits: Floats) -> tuple[Floats, str, str]:
    """How fast tokens came: values, the direction that is worse, the unit. A recorded rate before the time it took."""
    rate = next((name for name in given.score_names() if _RATE.search(name)), None)
    if rate is not None:
        return given.of_signal(rate), "lower", "score"
    return given.of_signal("latency") - waits, "higher", "s"


def _known_share(values: Floats) -> float:
    return float(np.isfinite(values).mean()) if values.size else 0.0


def _rank(waits: Floats, load: Floats) -> Estimate:
    if waits.size < FEWEST or np.ptp(waits) == 0 or np.ptp(load) == 0:
        return Estimate(0.0, (-1.0, 1.0))
    rho = float(stats.spearmanr(waits, load).statistic)
    half = Z95 / np.sqrt(waits.size - 3)
    low, high = np.tanh(np.arctanh(np.clip(rho, -0.999, 0.999)) + np.array([-half, half]))
    return Estimate(rho, (float(low), float(high)))


def _picture(given: PatternInput, rows: Masks, busy: Masks, waits: Floats) -> Picture:
    bursts = (("others quiet", rows & ~busy), ("others busy", rows & busy))
    short = given.before & np.isfinite(waits)
    found = []
    for name, inside in bursts:
        one = compare(given, short, inside, values=waits, worse="higher")
        if one is not None:
            found.append(PictureRow(name, one.first, one.second))
    return Picture("baseline", "incident", "s", tuple(found))


def _answer(answer: str, sentence: str, **fields: object) -> PatternFinding:
    return PatternFinding(NAME, TITLE, Layer.INFRASTRUCTURE, answer, sentence, **fields)  # type: ignore[arg-type]
