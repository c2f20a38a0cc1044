"""What a draft still lacks, for the readers of its brief. Pure; what publication asks for is the gate's to say."""

from collections.abc import Mapping, Sequence
from typing import Any

from postmortem.lib.layers import Layer


def unfinished(record: Mapping[str, Any]) -> list[str]:
    """What a draft still lacks before it can answer its readers, one short line each."""
    text, missing = record["text"], []
    names = {"summary": "the summary", "impact": "the impact", "detection_gap": "why nobody was told sooner"}
    missing += [words for name, words in names.items() if not text[name].strip()]
    times = {"onset_at": "onset", "detected_at": "detection", "mitigated_at": "mitigation"}
    if unknown := [words for name, words in times.items() if not record["incident"][name]]:
        missing.append(f"the time of {_joined(unknown)}")
    if undecided := [Layer(one["layer"]).label.lower() for one in record["layers"] if not one["verdict"]]:
        missing.append(f"a verdict for {_joined(undecided)}")
    if not record["factors"]:
        missing.append("the contributing factors, down to the impact")
    if not record["actions"]:
        missing.append("actions, each with one owner, a due date and a way to verify it")
    unsigned = [
        f"the {Layer(one['layer']).label.lower()} lead"
        for one in record["layers"]
        if one["verdict"] == "in" and not one["sign_off"]
    ]
    if not record["facilitator_sign_off"]:
        unsigned.append("the facilitator")
    if unsigned:
        missing.append(f"the signature{'s' if len(unsigned) > 1 else ''} of {_joined(unsigned)}")
    return missing


def _joined(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
