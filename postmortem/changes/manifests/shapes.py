"""What a manifest says. Pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from postmortem.traces.intake import Fault

Kind = Literal["corpus", "training"]
KINDS: tuple[Kind, ...] = ("corpus", "training")


class Document(NamedTuple):
    """One document of an index: the hash of its content, and what else the manifest tells of it.

    `is_gold`: an evaluation expects it to be found. `superseded_by` names the document that replaced it.
    """

    hash: str
    embedded_at: datetime | None = None
    encoder: str = ""
    is_gold: bool = False
    superseded_by: str = ""


class TrainingRow(NamedTuple):
    """One row of a training set, and who answers for it; empty where the manifest does not say."""

    hash: str
    source: str = ""
    author: str = ""
    reviewer: str = ""
    licence: str = ""
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """What a manifest says of the whole.

    `name` is the index or the data set, `at` (UTC) when this version went live or was made. `settings` are flat:
    encoder, encoder_version, chunking.size and whatever else was told. Of training data `version` is the set's,
    `model_version` what traces record of the model that was trained on it; `topic_facet` is the facet whose values
    the rows' topics are.
    """

    kind: Kind
    name: str
    version: str
    at: datetime
    source: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    scope: Mapping[str, Any] = field(default_factory=dict)
    model_version: str = ""
    topic_facet: str = "intent"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was read: its entries by id, and the rows that were left out with the first of their faults."""

    header: Header
    documents: Mapping[str, Document]
    rows: Mapping[str, TrainingRow]
    faults: tuple[Fault, ...] = ()
    fault_count: int = 0

    @property
    def count(self) -> int:
        """How many entries it has."""
        return len(self.documents) or len(self.rows)


_FITS = 16_000  # characters of JSON; a change's details may have more, and other things may come beside


def fitting(build: Callable[[int], dict[str, Any]], most: int) -> dict[str, Any]:
    """What `build` makes with at most `most` of each list, with fewer while it is too long for a change's details."""
    made = build(most)
    while len(json.dumps(made)) > _FITS and most > 1:
        most //= 2
        made = build(most)
    return made
