"""Texts proposed from a record's facts by templates of our own: numbers filled in, hedged by their intervals. Pure.

Each sentence names the place of the record that it rests on. A proposal is machine-made until somebody accepts it,
and no report shows it before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postmortem.lib.clock import parse_moment
from postmortem.report import present
from postmortem.report.charts import wording

FIELDS = {"summary": "Summary", "impact": "Impact", "detection_gap": "Why nobody was told sooner"}
_SURE, _LIKELY = 0.9, 0.5


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence and the place of the record that it says, like `finding.result.drop`."""

    text: str
    fact: str


@dataclass(frozen=True, slots=True)
class ProposedText:
    """A proposal for one field."""

    field: str
    label: str
    sentences: tuple[Sentence, ...]

    @property
    def text(self) -> str:
        """All sentences as one paragraph."""
        return " ".join(sentence.text for sentence in self.sentences)


def propose(record: Mapping[str, Any]) -> list[ProposedText]:
    """A text for each field of which the record knows something; empty fields of the record or not."""
    made = {"summary": _summary(record), "impact": _impact(record), "detection_gap": _detection(record)}
    return [ProposedText(field, FIELDS[field], tuple(found)) for field, found in made.items() if found]


def _summary(record: Mapping[str, Any]) -> list[Sentence]:
    incident, finding = record["incident"], record["finding"]
    found = []
    start, end = incident["onset_at"], incident["mitigated_at"]
    if start and end:
        text = f"From {present.when(start)} to {present.when(end)} UTC, {_plain(incident['feature'])} answered worse."
        found.append(Sentence(text, "incident.onset_at, incident.mitigated_at"))
    elif start:
        text = f"Since {present.when(start)} UTC, {_plain(incident['feature'])} has answered worse."
        found.append(Sentence(text, "incident.onset_at"))
    if finding:
        found += _drop(finding["result"])
        found += _cause(finding["result"])
    return found


def _drop(result: Mapping[str, Any]) -> list[Sentence]:
    drop, unit = result.get("drop"), result["signal"]["unit"]
    if not drop or not drop.get("interval"):
        return []
    low, high = drop["interval"]
    label = _plain(wording.label(result["signal"]["label"]))
    bounds = wording.interval((low, high), unit)
    if low <= 0 <= high:
        text = f"{label} changed by {wording.change(drop['estimate'], unit)}, which may be chance (95% {bounds})."
    else:
        verb = "fell" if drop["estimate"] < 0 else "rose"
        size = wording.change(abs(drop["estimate"]), unit).lstrip("+")
        text = f"{label} {verb} by {size} (95% {bounds})."
    return [Sentence(text, "finding.result.drop")]


def _cause(result: Mapping[str, Any]) -> list[Sentence]:
    if not result["hypotheses"]:
        return []
    first = result["hypotheses"][0]
    chance = wording.p_text(first["probability"])
    title = _plain(first["title"])
    if first["kind"] != "change":
        text = f"No logged change explains it well; the best explanation is “{title}” ({chance})."
    elif first["probability"] >= _SURE:
        text = f"The evidence points to one change: “{title}” ({chance})."
    elif first["probability"] >= _LIKELY:
        text = f"The leading suspect is “{title}” ({chance}); other explanations remain possible."
    else:
        text = f"The cause is open: the best explanation, “{title}”, has only {chance}."
    return [Sentence(text, "finding.result.hypotheses[0]")]


def _impact(record: Mapping[str, Any]) -> list[Sentence]:
    found = []
    people = record["incident"]["affected_people"]
    if people is not None:
        noun = "person was" if people == 1 else "people were"
        found.append(Sentence(f"{people:,} {noun} affected, as counted by the team.", "incident.affected_people"))
    window = record["finding"]["result"]["windows"].get("incident") if record["finding"] else None
    if window:
        signal = record["finding"]["result"]["signal"]
        bounds = wording.interval(window["interval"], signal["unit"])
        text = f"In the incident window {_plain(signal['label'])} was {wording.level(window['mean'], signal['unit'])}"
        text += f" (95% {bounds}, {window['count']:,} traces)."
        found.append(Sentence(text, "finding.result.windows.incident"))
    return found


def _detection(record: Mapping[str, Any]) -> list[Sentence]:
    found = []
    for clock in record["clocks"]:
        if clock["key"] == "detect" and clock["seconds"] is not None:
            onset, detected = record["incident"]["onset_at"], record["incident"]["detected_at"]
            if parse_moment(detected) < parse_moment(onset):
                text = "It was noticed before the signal began to fall."
            else:
                span = {label: figure for label, figure, _ in present.clocks(record)}[clock["label"]]
                text = f"It took {span} from the onset until somebody noticed."
            found.append(Sentence(text, "clocks.detect"))
    gaps = [one for one in record["factors"] if one["kind"] == "detection_gap"]
    for gap in gaps[:3]:
        found.append(Sentence(f"A detection gap is recorded: {_plain(gap['text'])}.", f"factors.{gap['id']}"))
    return found


def _plain(text: str) -> str:
    """Imported text on one line, without the signs of Markdown."""
    return " ".join(str(text).translate(str.maketrans("", "", "`*_[]<>|#")).split())[:200].rstrip(".")
