"""The example incidents: made again byte for byte, marked as simulated, and attributed to their true causes."""

import gzip
import json
import re
import zlib
from functools import cache
from pathlib import Path

import pytest

from fixtures.generate import STORIES, write_story
from postmortem.attribution.cases import case_folders, read_case
from postmortem.attribution.interface import attribute, result_to_json

ROOT = Path(__file__).resolve().parents[2] / "fixtures"
FOLDERS = [story.folder for story in STORIES]
FILES = ("incident.json", "people.json", "changes.jsonl", "traces.jsonl.gz", "story.md")
# zlib-ng packs the same content into other bytes.
CLASSIC_ZLIB = re.fullmatch(r"[\d.]+", zlib.ZLIB_RUNTIME_VERSION) is not None
CAUSES = {"prompt-canary": "prompt-3", "encoder-upgrade": "retrieval-2", "noisy-neighbour": "infra-3"}


@cache
def found(folder):
    return result_to_json(attribute(read_case(ROOT / folder)))


def largest_of_changes(folder):
    return max(one["probability"] for one in found(folder)["hypotheses"] if one["kind"] == "change")


def lines(folder):
    return [json.loads(line) for line in (ROOT / folder / "changes.jsonl").read_text(encoding="utf-8").splitlines()]


class TestFiles:
    def test_every_case_folder_has_a_maker(self):
        assert [path.name for path in case_folders(ROOT)] == sorted(FOLDERS)

    @pytest.mark.parametrize("story", STORIES, ids=FOLDERS)
    def test_made_again_they_are_the_same(self, story, tmp_path):
        made = write_story(story, tmp_path)
        assert sorted(path.name for path in made.iterdir()) == sorted(FILES)
        for name in FILES:
            again, kept = (made / name).read_bytes(), (ROOT / story.folder / name).read_bytes()
            if name.endswith(".gz"):
                assert gzip.decompress(again) == gzip.decompress(kept), name
                if not CLASSIC_ZLIB:
                    continue
            assert again == kept, name

    @pytest.mark.parametrize("folder", FOLDERS)
    def test_each_says_that_it_is_simulated(self, folder):
        assert "SIMULATED" in (ROOT / folder / "story.md").read_text(encoding="utf-8")
        for name in ("incident.json", "people.json"):
            assert json.loads((ROOT / folder / name).read_text(encoding="utf-8"))["simulated"] is True

    @pytest.mark.parametrize("story", STORIES, ids=FOLDERS)
    def test_logs_hold_four_layers_decoys_and_one_change_that_reached_no_trace(self, story):
        logged = lines(story.folder)
        assert len(logged) >= 10
        assert {line["layer"] for line in logged} == {"model", "prompt", "retrieval", "infrastructure"}
        assert {line["id"] for line in logged} == {change.id for change in story.changes if change.logged}
        unreached = {change.id for change in story.changes if not change.reaches}
        assert len(unreached) == 1
        assert unreached <= {row["change"] for row in found(story.folder)["reconciliation"]["never_observed"]}
        assert any(change.log_hours_off for change in story.changes)


class TestAttribution:
    @pytest.mark.parametrize("folder", CAUSES)
    def test_a_logged_cause_comes_first(self, folder):
        first = found(folder)["hypotheses"][0]
        assert (first["kind"], first["changes"]) == ("change", [CAUSES[folder]])
        assert first["probability"] >= 0.9

    def test_the_silent_update_is_in_no_log(self):
        result = found("silent-provider-update")
        first = result["hypotheses"][0]
        assert (first["kind"], first["layer"]) == ("unlogged", "model")
        assert largest_of_changes("silent-provider-update") < 0.5
        assert [row["to"] for row in result["reconciliation"]["never_logged"]] == ["orion-large-2026-07-10"]

    def test_a_moved_mix_blames_no_change(self):
        result = found("traffic-mix")
        assert result["hypotheses"][0]["kind"] == "mix"
        assert largest_of_changes("traffic-mix") < 0.5
        assert result["mix"]["facet"] == "segment"
