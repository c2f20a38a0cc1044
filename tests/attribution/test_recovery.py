"""Whether the signal came back, when, and what went along with each suspect that ended."""

from datetime import timedelta

from postmortem.attribution.interface import attribute, result_to_json
from postmortem.attribution.measured import measured_clocks
from postmortem.attribution.shapes import AttributionResult
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer
from postmortem.traces.records import TraceRecord
from tests.attribution.builders import DETECTED, at, bystanders, case, change, world

BEGAN, FIXED, DAYS = 168.0, 216.0, 12.0
WINDOWS = {"baseline": (at(0), at(BEGAN)), "incident": (at(BEGAN), at(FIXED))}


def rolled_back(*, harm_until: float, seed: int = 1) -> list[TraceRecord]:
    """Version 2 of the prompt `draft` runs from BEGAN to FIXED; its harm stays until `harm_until`."""

    def versions(hours: float, facets: dict[str, str], dice: float) -> dict[str, str]:
        return {"prompt_version": "2" if facets["prompt"] == "draft" and BEGAN <= hours < FIXED else "1"}

    def harm(hours: float, facets: dict[str, str]) -> float:
        return 0.4 * (facets["prompt"] == "draft" and BEGAN <= hours < harm_until)

    return world(versions=versions, harm=harm, days=DAYS, count=4000, seed=seed)


def log() -> list[ChangeRecord]:
    draft = {"scope": {"prompt": ("draft",)}, "facet": "prompt_version"}
    return [
        change("bad", Layer.PROMPT, BEGAN, to_version="2", from_version="1", **draft),
        change("back", Layer.PROMPT, FIXED, to_version="1", from_version="2", is_rollback=True, **draft),
        *bystanders(),
    ]


def run(traces: list[TraceRecord]) -> AttributionResult:
    return attribute(case(traces, log(), **WINDOWS))


def texts(result: AttributionResult, side: str) -> str:
    prompt = next(one for one in result.layers if one.layer is Layer.PROMPT)
    return " ".join(text.text for text in getattr(prompt, f"evidence_{side}"))


def test_a_signal_that_came_back_is_measured_with_its_moment_and_share() -> None:
    result = run(rolled_back(harm_until=FIXED))
    assert result.recovery is not None
    low, high = result.recovery.interval
    assert low <= at(FIXED) <= high
    assert abs(result.recovery.at - at(FIXED)) < timedelta(hours=6)
    assert result.recovery.share.interval[0] < 1.0 < result.recovery.share.interval[1]
    assert result.recovery.during > 500
    assert result.recovery.after > 500


def test_the_end_of_the_cause_that_took_the_harm_along_speaks_for_it() -> None:
    result = run(rolled_back(harm_until=FIXED))
    (ending,) = [one for one in result.endings if one.change == "bad"]
    assert ending.share.interval[0] > 0.7
    assert abs(ending.at - at(FIXED)) < timedelta(hours=2)
    assert "bad reached no trace after" in texts(result, "for")


def test_harm_that_stays_when_the_suspect_is_gone_speaks_against_it() -> None:
    result = run(rolled_back(harm_until=DAYS * 24))
    assert result.recovery is None
    (ending,) = [one for one in result.endings if one.change == "bad"]
    assert ending.share.interval[1] < 0.5
    assert "only" in texts(result, "against")
    assert "bad reached no trace after" not in texts(result, "for")


def test_without_traces_after_the_incident_nothing_is_said_of_recovery() -> None:
    traces = [one for one in rolled_back(harm_until=FIXED) if one.timestamp < at(FIXED)]
    result = run(traces)
    assert result.recovery is None
    assert result.endings == ()


def test_clocks_are_read_off_the_published_result() -> None:
    published = result_to_json(run(rolled_back(harm_until=FIXED)))
    clocks = {one.label: one for one in measured_clocks(published, detected=DETECTED, mitigated=at(FIXED))}
    assert list(clocks) == [
        "Onset", "Onset to detection", "Detection to mitigation", "Signal back", "Mitigation to recovery",
        "Harm gone since",
    ]  # fmt: skip
    assert "n " in clocks["Harm gone since"].note
    assert measured_clocks({**published, "onset": None}, detected=DETECTED, mitigated=None) == []
    unmeasured = measured_clocks({**published, "recovery": None}, detected=None, mitigated=None)
    assert [one.value for one in unmeasured][1:] == ["not measured"]


def test_two_changes_that_harm_only_together_are_named_together() -> None:
    def versions(hours: float, facets: dict[str, str], dice: float) -> dict[str, str]:
        return {
            "prompt_version": "2" if facets["prompt"] == "draft" and hours >= 120 else "1",
            "model_version": "b" if facets["model"] == "small" and hours >= 168 else "a",
        }

    def harm(hours: float, facets: dict[str, str]) -> float:
        return 0.45 * (facets["prompt"] == "draft" and facets["model"] == "small" and hours >= 168)

    changes = [
        change("words", Layer.PROMPT, 120, scope={"prompt": ("draft",)}, facet="prompt_version", to_version="2"),
        change("model", Layer.MODEL, 168, scope={"model": ("small",)}, facet="model_version", to_version="b"),
        *bystanders(),
    ]
    result = attribute(case(world(versions=versions, harm=harm, count=4000), changes))
    assert {one.changes for one in result.hypotheses[:2]} == {("words",), ("model",)}
    (together,) = [one for one in result.interactions if set(one.changes) == {"words", "model"}]
    assert together.probability > 0.5
    assert together.effect.interval[1] < 0
    assert together.traces > 100
    assert "only together" in together.sentence
    assert sum(one.probability for one in result.hypotheses if one.changes == ("words",)) <= 1.0


def test_one_cause_alone_is_not_called_an_interaction() -> None:
    result = run(rolled_back(harm_until=FIXED))
    assert all(one.probability < 0.5 for one in result.interactions)
