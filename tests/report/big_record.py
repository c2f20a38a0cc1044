"""A record of size: 60 changes, 25 actions, 40 pieces of evidence, and texts as people really write them."""

import copy
import json
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from postmortem.lib.clock import format_moment, parse_moment

SAMPLE = Path(__file__).parent / "record-1-sample.json"
_START = parse_moment("2026-03-01T06:00:00Z")
_PEOPLE = (("Priya Nair", "Search"), ("Tomasz Wilk", "Platform"), ("Amara Obi", "Prompts"), ("Jun Sato", "Platform"),
           ("Aleksandra Wiśniewska-Kowalczyk", "Customer communication and quality"))  # fmt: skip
_CHANGES = {
    "model": ("Alias support-chat → 2026-02-{n:02}", "Temperature 0.{n} → 0.2 for the summariser", "Provider moved "
              "the route to a new region without a notice", "fp16 → int4 on the small model for intent {n}"),
    "prompt": ("Answer prompt v{n} → v{m}", "Refund examples v{n} → v{m}: three examples of partial refunds added, "
               "two of cancelled orders removed", "order_lookup schema +{n} fields", "Guardrail text v{n} → v{m}"),
    "retrieval": ("4,{n:03} documents added", "Reranker top-k 8 → {n}", "Filter acl-{n}", "Chunk size 512 → 7{n:02} "
                  "for the contracts of the northern region"),
    "infrastructure": ("Release 2026.10.{n}", "Judge prompt v{n} → v{m}", "Answer cache lifetime {n} h → {m} h",
                       "Autoscaler: at least {n} replicas"),
}  # fmt: skip
_EVIDENCE = (
    "Exposed 79.{n}% (n 3,0{n:02}), not exposed 92.3% (n 2,828) in the same hours: −13.0 points (−14.7 to −11.2).",
    "Trace of the customer who was told twice that the old rule holds; the passage that was quoted is of revision {n}.",
    "Dashboard https://grafana.example.org/d/{n:08x}/retrieval-quality?orgId=1&from=1772996400000&to=1773255600000"
    "&var-region=eu-west&var-index=help-centre-production-{n:04}&viewPanel=12",
    "`SELECT count(*) FROM passages WHERE encoder_id <> 'helix-3' AND index_name = 'help_centre_production_{n:04}'` "
    "gives 4,8{n:02} rows.",
    "Rate stays 2.{n} points low for 13 h after the rollback.",
    "The support desk in 東京 noted 「返金の案内が古い」 on {n} tickets; the desk in القاهرة "
    "wrote «الإجابة قديمة» 🙁 on {m}.",
)
_ENTRIES = (
    "The support desk counted another wave of wrong refund answers in eu-west: {n} in one hour.",
    "On call looked at latency and error rates, found both as always, and closed the page as noise ({n}).",
    "Amara asked in #help-centre whether anybody had touched the index; nobody had, and nobody looked at the encoder.",
    "Replay of {n} failing questions with the old encoder: {m} of them answered well.",
    "Mitigation tried: reranker off for eu-west. No difference in {n} minutes.",
)
_KINDS = ("latent_condition", "trigger", "amplifier", "missing_guard", "detection_gap")
_ACTIONS = (
    "Refuse to start when index and query encoder ids differ",
    "Start re-embedding from the encoder release instead of by hand, and let the release wait until the index is ready",
    "Hourly known-item recall alert, page under 0.85",
    "Empty the answer cache on every encoder or index change",
    "Log the example-set hash on every trace",
)


def big_record(
    *, changes: int = 60, actions: int = 25, evidence: int = 40, entries: int = 0, factors: int = 18, words: int = 1
) -> dict[str, Any]:
    """A record with as much of each; `evidence` in all, `words` times the sample's texts. The same every time."""
    chance, record = Random(6), json.loads(SAMPLE.read_text())
    record["changes"] = _changes(record["changes"], changes, chance)
    note = {"kind": "note", "source": "note", "layer": ""}
    record["timeline"] += [
        note | {"at": _at(chance.uniform(190, 290)), "text": _fill(chance.choice(_ENTRIES), number)}
        for number in range(entries)
    ]
    record["timeline"].sort(key=lambda one: one["at"])
    per_side = evidence // 8
    for layer in record["layers"]:
        for side in ("evidence_for", "evidence_against"):
            first = layer[side][0]
            more = (first | {"text": _fill(chance.choice(_EVIDENCE), number)} for number in range(per_side - 1))
            layer[side] = [first, *more]
    record["factors"], record["edges"] = _graph(record, factors, chance)
    record["actions"] = _actions(record, actions, chance)
    for key, text in record["text"].items():
        record["text"][key] = "\n\n".join([text] * words) if key != "decisions_requested" else text
    return record


def _fill(text: str, number: int) -> str:
    return text.format(n=number % 60 + 1, m=number % 60 + 2)


def _at(hours: float) -> str:
    return format_moment(_START + timedelta(minutes=round(hours * 60)))


def _changes(base: list[dict[str, Any]], count: int, chance: Random) -> list[dict[str, Any]]:
    found, number = copy.deepcopy(base[:count]), 0
    while len(found) < count:
        number += 1
        layer = chance.choice(tuple(_CHANGES))
        begun = chance.uniform(0, 320)
        rollout, hours = chance.choice((("instant", 0.0), ("instant", 0.0), ("ramp", 14.0), ("staged", 40.0)))
        found.append(
            base[0]
            | {
                "id": f"{layer}-x{number}", "layer": layer, "at": _at(begun), "until": _at(begun + hours),
                "rollout": rollout, "summary": _fill(chance.choice(_CHANGES[layer]), number),
                "exposed_count": chance.randrange(40_000), "exposed_share": round(chance.random(), 3),
                "stages": {"facet": "region", "order": ["eu-west", "us-east"]} if rollout == "staged" else None,
            }
        )  # fmt: skip
    return sorted(found, key=lambda one: one["at"])


def _graph(record: dict[str, Any], count: int, chance: Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The sample's six factors and more, each leading to a later one, so that all reach the impact."""
    factors, edges = copy.deepcopy(record["factors"]), copy.deepcopy(record["edges"])
    inner = [one["id"] for one in factors if one["kind"] != "impact"]
    for number in range(max(0, count - len(factors))):
        new = max(one["id"] for one in factors) + 1
        text = _fill(chance.choice(_CHANGES[chance.choice(tuple(_CHANGES))]), number) + ", and nobody was told"
        factors.append(
            factors[0]
            | {"id": new, "kind": chance.choice(_KINDS), "layer": chance.choice(tuple(_CHANGES)), "text": text}
        )
        targets = chance.sample(inner, min(len(inner), 1 + (number % 4 == 0)))
        edges += [{"cause": new, "effect": target, "claim": ""} for target in targets]
        inner.append(new)
    return factors, edges


def _actions(record: dict[str, Any], count: int, chance: Random) -> list[dict[str, Any]]:
    found = copy.deepcopy(record["actions"][:count])
    free = [one["id"] for one in record["factors"] if one["kind"] != "impact"]
    while len(found) < count:
        number = len(found) + 1
        owner, team = chance.choice(_PEOPLE)
        found.append(
            found[0]
            | {
                "number": number, "title": chance.choice(_ACTIONS), "owner": owner, "team": team,
                "layer": chance.choice(tuple(_CHANGES)), "kind": chance.choice(("prevent", "detect", "mitigate")),
                "due_on": f"2026-{chance.choice((3, 4, 5)):02}-{chance.randrange(18, 30)}",
                "status": chance.choice(("open", "open", "open", "done", "verified")),
                "cuts": chance.choice(free), "verification": f"At least {90 + number % 10}% of traces carry it, 7 days",
            }
        )  # fmt: skip
    return found
