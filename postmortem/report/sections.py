"""What a full report says beyond `present`, whatever it is rendered to. Pure."""

from collections.abc import Mapping
from typing import Any

from postmortem.report.charts import wording

# A leading hypothesis gets its arithmetic and its picture, the others a line of a table.
_SHOWN_WHOLE, _SHOWN_WHOLE_FROM = 2, 0.1

VERDICT_KEY = (
    "IN: it contributed. OUT: it did not. INSUFFICIENT: the evidence does not tell. P: probability that it did harm."
)


def ledger_key(record: Mapping[str, Any]) -> str:
    """What the columns of the change ledger mean."""
    return (
        f"Exposed: of all {record['evidence']['traces']:,} traces. Observed: the traces themselves name the version; "
        "inferred: by the log's scope and times; P: probability that it is a cause."
    )


def is_leading(hypothesis: Mapping[str, Any]) -> bool:
    """Whether a row of `present.hypotheses` gets its arithmetic and its picture."""
    likely = hypothesis["raw"]["probability"] >= _SHOWN_WHOLE_FROM
    return bool(hypothesis["rank"] == 1 or (hypothesis["rank"] <= _SHOWN_WHOLE and likely))


def role_of(participant: Mapping[str, Any]) -> str:
    """A participant's part in the review: "prompt lead", "facilitator"."""
    return f"{participant['layer']} lead" if participant["layer"] else participant["role"].replace("_", " ")


def mix_words(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """How much of the change the traffic mix explains, in words; None without a split."""
    mix = record["finding"]["result"].get("mix") if record["finding"] else None
    if not mix:
        return None
    unit = record["finding"]["result"]["signal"]["unit"]
    drop = record["finding"]["result"].get("drop")
    return {
        "facet": mix["facet"],
        "interval": wording.interval(drop["interval"], unit) if drop else "",
        "total": wording.change(mix["total"], unit),
        "mix": _with_interval(mix, "mix", unit),
        "within": _with_interval(mix, "within", unit),
    }


def _with_interval(mix: Mapping[str, Any], part: str, unit: str) -> str:
    bounds = mix.get(f"{part}_interval")
    return wording.change(mix[part], unit) + (f" ({wording.interval(bounds, unit)})" if bounds else "")
