"""The tree never loses an observation, whatever the source left out."""

import random
from datetime import UTC, datetime, timedelta

from postmortem.traces.records import ObservationRecord
from postmortem.traces.tree import build_tree, flatten

BEGIN = datetime(2026, 3, 9, 9, tzinfo=UTC)


def observed(name: str, parent: str | None = None, after: float = 0, **more: object) -> ObservationRecord:
    return ObservationRecord(name, "t", parent, "SPAN", name, BEGIN + timedelta(seconds=after), **more)  # type: ignore[arg-type]


def outline(*observations: ObservationRecord) -> list[str]:
    return ["." * node.depth + node.observation.external_id for node in flatten(build_tree(observations))]


def test_children_stand_under_their_parent_in_order_of_time() -> None:
    assert outline(
        observed("write", "root", 3), observed("search", "root", 1), observed("root"), observed("rank", "search", 2)
    ) == ["root", ".search", "..rank", ".write"]


def test_an_observation_whose_parent_is_missing_is_a_root() -> None:
    # An application's root often has its parent in another service.
    handle, write = observed("handle", "edge-proxy"), observed("write", "handle", 1)
    assert outline(handle, write, observed("lost", "never-sent", 2)) == ["handle", ".write", "lost"]


def test_a_cycle_is_cut_at_its_earliest_member() -> None:
    assert outline(observed("a", "c"), observed("b", "a", 1), observed("c", "b", 2), observed("d", "c", 3)) == [
        "a", ".b", "..c", "...d",
    ]  # fmt: skip
    assert outline(observed("self", "self")) == ["self"]


def test_the_same_id_twice_shows_both_rows() -> None:
    assert outline(observed("root"), observed("root"), observed("child", "root", 1)) == ["root", ".child", "root"]


def test_thousands_of_steps_deep() -> None:
    chain = [observed("0"), *(observed(str(n), str(n - 1), n) for n in range(1, 5000))]
    nodes = list(flatten(build_tree(chain)))
    assert len(nodes) == 5000
    assert nodes[-1].depth == 4999


def test_no_shape_of_parents_loses_an_observation() -> None:
    chance = random.Random(7)
    for size in range(1, 40):
        observations = [observed(str(n), chance.choice([None, "gone", *map(str, range(size))]), n) for n in range(size)]
        chance.shuffle(observations)
        names = [node.observation.external_id for node in flatten(build_tree(observations))]
        assert sorted(names, key=int) == [str(n) for n in range(size)]
