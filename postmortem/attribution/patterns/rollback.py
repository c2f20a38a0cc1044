"""Pattern 6, rollback that did not recover: the code is restored and the users are not. Pure."""

from datetime import datetime

import numpy as np

from postmortem.attribution.patterns.compare import FEWEST, compare, level_number
from postmortem.attribution.patterns.shapes import (
    PatternFinding,
    PatternInput,
    Picture,
    PictureRow,
    SuggestedAction,
)
from postmortem.attribution.wording import difference_text, moment_text
from postmortem.lib.layers import Layer

NAME, TITLE = "rollback_without_recovery", "Rollback that did not recover"
RECOVERED_SHARE = 0.25  # of the harm: less than this left counts as back to baseline


def detect(given: PatternInput) -> PatternFinding:
    """Match when users first seen before the rollback stay worse while new ones recover, or when nobody recovers."""
    moment = _moment(given)
    if moment is None:
        return _answer(
            "not_enough_data",
            "Neither a rollback is in the log nor a mitigation time in the record.",
            missing=("rollbacks in the change log, and when the incident was mitigated",),
        )
    after = given.seconds >= moment.timestamp()
    start = given.incident[0].timestamp()
    hurt = (given.seconds >= start) & ~after
    harm = compare(given, given.before, hurt)
    if harm is None or int(after.sum()) < FEWEST:
        return _answer(
            "not_enough_data",
            f"Fewer than {FEWEST} traces follow the rollback of {moment_text(moment)}.",
            missing=("traces from the days after the rollback",),
        )
    if not harm.is_harm:
        return _answer("no_match", "Nothing was worse before the rollback, so there was nothing to recover.")
    everybody = compare(given, given.before, after)
    who = np.array([trace.user_id or trace.session_id for trace in given.traces], dtype=object)
    exposed = set(who[hurt]) - {""}
    old = after & np.isin(who, sorted(exposed, key=str)) & (who != "")
    new = after & ~old & (who != "")
    carried, fresh = compare(given, given.before, old), compare(given, given.before, new)
    limit = RECOVERED_SHARE * harm.harm.estimate
    rows = [PictureRow("before the rollback", harm.first, harm.second)]
    numbers = [
        level_number("Baseline", harm.first, given.facts.unit),
        level_number("Before the rollback", harm.second, given.facts.unit),
    ]
    for name, one in (("everybody after", everybody), ("seen before", carried), ("new after", fresh)):
        if one is not None:
            rows.append(PictureRow(name, one.first, one.second))
            numbers.append(level_number(name.capitalize(), one.second, given.facts.unit))
    common = {"numbers": tuple(numbers), "picture": Picture("baseline", "then", given.facts.unit, tuple(rows))}
    if (
        everybody is not None
        and everybody.is_harm
        and everybody.harm.estimate > 2 * limit
        and (fresh is None or fresh.harm.estimate > 2 * limit)
    ):
        left = difference_text(everybody.difference, given.facts)
        told = f"After {moment_text(moment)} the signal is still {left} from the baseline"
        return _answer(
            "match",
            f"{told}: nobody is back, so what was rolled back is probably not the cause.",
            evidence_for=(told,),
            traces=given.ids(after & given.is_worse_than(harm.first.mean)),
            actions=(
                SuggestedAction(
                    "Look for the cause that the rollback did not remove",
                    "learn",
                    "A verdict IN for one layer with evidence",
                ),
            ),
            **common,
        )
    if carried is None or fresh is None:
        if everybody is not None and not everybody.is_harm:
            return _answer("no_match", "After the rollback the signal is back at its baseline.", **common)
        return _answer(
            "not_enough_data",
            "Too few traces tell who had been exposed before the rollback.",
            missing=("a user or session id on every trace",),
            **common,
        )
    if carried.is_harm and carried.harm.estimate > limit and fresh.harm.estimate <= max(limit, fresh.error):
        told = (
            f"Users first exposed before the rollback are still {difference_text(carried.difference, given.facts)} "
            f"from the baseline; new ones are {difference_text(fresh.difference, given.facts)} from it"
        )
        return _answer(
            "match",
            told + ".",
            evidence_for=(told,),
            traces=given.ids(old & given.is_worse_than(harm.first.mean)),
            actions=(
                SuggestedAction(
                    "Clear the state that exposed users carry (cache, memory, session summaries)",
                    "recover",
                    "The signal of users exposed before the rollback is within the baseline interval for 7 days",
                ),
            ),
            **common,
        )
    return _answer(
        "no_match",
        "After the rollback, users exposed before it and new ones are both back near the baseline.",
        evidence_against=(f"Exposed before: {difference_text(carried.difference, given.facts)} from the baseline",),
        **common,
    )


def _moment(given: PatternInput) -> datetime | None:
    """When the last rollback was complete, else when the incident was mitigated."""
    done = [change.until for change in given.changes if change.is_rollback and change.until >= given.incident[0]]
    return max(done) if done else given.mitigated_at


def _answer(answer: str, sentence: str, **fields: object) -> PatternFinding:
    return PatternFinding(NAME, TITLE, Layer.INFRASTRUCTURE, answer, sentence, **fields)  # type: ignore[arg-type]
