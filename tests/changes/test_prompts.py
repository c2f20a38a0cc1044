"""Prompt versions pulled from a trace server become entries of the prompt log."""

from dataclasses import dataclass
from datetime import datetime

from postmortem.changes.exposure import Exposure, exposure
from postmortem.changes.prompts import prompt_changes
from postmortem.lib.layers import Layer
from tests.changes.builders import at, trace


@dataclass(frozen=True)
class Version:
    name: str
    version: int
    created_at: datetime
    commit_message: str | None = None
    created_by: str | None = None


VERSIONS = [
    Version("answer", 3, at(12), "Shorter answers\n\nDetails", "priya"),
    Version("draft", 1, at(9)),
    Version("answer", 2, at(8)),
]


def test_one_change_for_each_version_in_the_order_of_time():
    changes = prompt_changes(VERSIONS)
    assert [change.id for change in changes] == ["prompt:answer:2", "prompt:draft:1", "prompt:answer:3"]
    last = changes[-1]
    assert (last.layer, last.scope, last.facet) == (Layer.PROMPT, {"prompt": ("answer",)}, "prompt_version")
    assert (last.from_version, last.to_version, last.actor) == ("2", "3", "priya")
    assert last.summary == "Prompt answer v2 → v3: Shorter answers"


def test_they_join_with_traces_that_record_their_prompt_version():
    changes = prompt_changes(VERSIONS)
    on_3 = trace(hour=13, prompt="answer", prompt_version="3")
    assert [exposure(change, on_3, changes) for change in changes] == [
        Exposure("observed", 1.0), Exposure("outside", 0.0), Exposure("observed", 1.0),
    ]  # fmt: skip


def test_no_versions():
    assert prompt_changes([]) == []
