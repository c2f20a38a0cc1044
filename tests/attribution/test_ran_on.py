"""The version tuple of the two windows."""

from postmortem.attribution.method import attribute
from postmortem.lib.layers import Layer
from tests.attribution.builders import bystanders, case, change, world


def _versions(hours: float, facets: dict[str, str], dice: float) -> dict[str, str]:
    recorded = {} if dice < 0.1 else {"prompt_version": "2" if hours >= 172 else "1"}
    return recorded | {"flag": "on" if facets["region"] == "eu" else f"off-{int(hours) % 9}"}


def test_each_window_says_what_its_traces_ran_on() -> None:
    prompt = change("prompt-2", Layer.PROMPT, 172, facet="prompt_version", to_version="2")
    flag = change("flag-on", Layer.INFRASTRUCTURE, 0, facet="flag", to_version="on")
    result = attribute(case(world(versions=_versions), [*bystanders(), prompt, flag]))
    rows = {row.facet: row for row in result.versions}
    assert [row.facet for row in result.versions] == ["model", "prompt_version", "flag"]
    before, after = rows["prompt_version"].before, rows["prompt_version"].after
    assert (before.values[0][0], after.values[0][0]) == ("1", "2")
    for window in (before, after):
        assert sum(count for _, count in window.values) + window.unrecorded == window.traces > 0
        assert 0.05 < window.unrecorded / window.traces < 0.16
    flags = rows["flag"].before
    assert flags.values[0][0] == "on"
    assert (len(flags.values), flags.more) == (5, 5)
    assert rows["flag"].layer is Layer.INFRASTRUCTURE
