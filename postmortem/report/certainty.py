"""How sure a record is of what it found, in two paragraphs without a term of statistics. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from postmortem.report import present
from postmortem.report.charts import wording

_LEAST_RIVAL = 0.005  # what rounds to less than 0.01 is no rival
_MORE_THAN_ALL = 1.02
_P = re.compile(r"\bP (?:([<>]) )?(\d)")
_BOUNDS = {"": "", "<": "under ", ">": "over "}


def how_sure(record: Mapping[str, Any]) -> list[str]:
    """Two short paragraphs for the brief: what explains it and why we believe it, and what could still be wrong."""
    if not record["finding"]:
        return ["No attribution was run on the evidence."]
    result = record["finding"]["result"]
    first, *rest = result["hypotheses"]
    is_mix = first["kind"] == "mix"
    told = f"{first['title']}. {first['sentence']}" if is_mix else first["sentence"]
    sure = f"{present.opening(record)[0]} {told} {_what_grew(result) if is_mix else ''}".strip()
    likely = [one for one in rest[:3] if one["probability"] >= _LEAST_RIVAL]
    if likely:
        rivals = "; ".join(f"“{one['title']}” ({wording.p_text(one['probability'])})" for one in likely)
        doubt = f"What could still be wrong: {rivals}."
        if first["probability"] + sum(one["probability"] for one in likely) > _MORE_THAN_ALL:
            doubt += " Several can be true at once, so the probabilities need not add up to 1."
    else:
        doubt = "No other explanation reaches a probability of 0.01." if rest else ""
    doubts = [doubt, "" if is_mix else _of_the_mix(result), _unlogged_besides(result, first)]
    return [_in_plain_words(text) for text in (sure, " ".join(one for one in doubts if one)) if text]


def _of_the_mix(result: Mapping[str, Any]) -> str:
    mix, unit = result.get("mix"), result["signal"]["unit"]
    if not mix:
        return ""
    bounds = f" ({wording.interval(mix['mix_interval'], unit)})" if mix.get("mix_interval") else ""
    part, whole = wording.change(mix["mix"], unit), wording.change(mix["total"], unit)
    return f"The traffic mix accounts for {part}{bounds} of {whole}."


def _what_grew(result: Mapping[str, Any]) -> str:
    """Whose part of the traffic grew most, and that its level was another one all along."""
    mix, unit, baseline = result.get("mix"), result["signal"]["unit"], result["windows"].get("baseline")
    groups = [one for one in (mix or {}).get("groups") or [] if one.get("mean_before") is not None]
    if not mix or not groups or not baseline:
        return ""
    grown = max(groups, key=lambda one: float(one["share_after"] - one["share_before"]))
    count = f" (n {grown['count_before']:,})" if grown.get("count_before") else ""
    return (
        f"What grew: {mix['facet']} {grown['value']}, from {grown['share_before']:.0%} to {grown['share_after']:.0%} "
        f"of the traffic. Its level was {wording.level(grown['mean_before'], unit)} before{count}, "
        f"that of all traffic {wording.level(baseline['mean'], unit)}."
    )


def _unlogged_besides(result: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    """How many versions stand in no log, beside the one that the first paragraph names."""
    moves = result["reconciliation"]["never_logged"]
    named = [one for one in moves if f"{one['from']} → {one['to']}," in first["title"]]
    count = len(moves) - len(named)
    if not count:
        return ""
    more = " more" if named else ""
    return (
        f"{count}{more} version{'s' if count > 1 else ''} seen in the traces stand{'' if count > 1 else 's'} in no log."
    )


def _in_plain_words(text: str) -> str:
    """ "P > 0.99" as people say it: the brief is for readers to whom P says nothing."""
    return _P.sub(lambda found: f"probability {_BOUNDS[found[1] or '']}{found[2]}", text)
