"""Two traces side by side: texts, steps, and the healthy one that fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmortem.lib.clock import parse_moment
from postmortem.traces.compare import compare_texts, likeness, pair_steps
from postmortem.traces.healthy import similar_healthy
from postmortem.traces.records import ObservationRecord
from tests.builders import make_incident, make_trace

AT = parse_moment("2026-03-02T00:00:00Z")


def test_words_that_differ_are_marked():
    found = compare_texts("Refunds take five days.", "Refunds take 14 working days.")
    assert [piece.text for piece in found.left if piece.differs] == ["five"]
    assert [piece.text for piece in found.right if piece.differs] == ["14 working"]
    assert 0.6 < found.same < 1 and not found.cut


@given(st.text(max_size=80), st.text(max_size=80))
def test_pieces_make_up_the_texts_again(left, right):
    found = compare_texts(left, right)
    assert "".join(piece.text for piece in found.left) == left
    assert "".join(piece.text for piece in found.right) == right
    assert found.same == 1.0 or left != right


def test_long_texts_are_bounded():
    found = compare_texts("a b\n" * 5_000, "a c\n" * 5_000)
    assert found.cut and sum(len(piece.text) for piece in found.left) == 12_000


def test_steps_pair_by_kind_and_name():
    def step(name, **more):
        return ObservationRecord(name, "t", None, "SPAN", name, AT, **more)

    pairs = pair_steps([step("a"), step("b", model="x"), step("d")], [step("a"), step("b", model="y"), step("c")])
    named = [(pair.left and pair.left.name, pair.right and pair.right.name, pair.differs) for pair in pairs]
    assert named == [("a", "a", ()), ("b", "b", ("model",)), ("d", None, ()), (None, "c", ())]


def test_likeness_counts_shared_words():
    assert likeness("Where is my refund?", "where is MY parcel?") == pytest.approx(4 / 6)
    assert likeness("", "") == 0.0


@pytest.mark.django_db
def test_the_healthy_one_shares_prompt_and_segment_and_is_from_before():
    incident = make_incident(signal="grounded", worse="lower", onset_at=parse_moment("2026-03-09T00:00:00Z"))
    same = {"prompt": "answer", "segment": "pro", "region": "eu"}

    def add(name, day, value, text, facets=None):
        made = make_trace(
            incident, name, timestamp=parse_moment(f"2026-03-{day:02d}T10:00:00Z"), input_preview=text,
            facets=facets or same,
        )  # fmt: skip
        made.scores.create(external_id="s", name="grounded", value=value)
        return made

    bad = add("bad", 10, 0.0, "Where is my refund?")
    add("later", 9, 1.0, "Where is my refund?")
    add("failing", 5, 0.0, "Where is my refund?")
    add("other-segment", 6, 1.0, "Where is my refund?", {"prompt": "answer", "segment": "free", "region": "eu"})
    near = add("near", 4, 1.0, "Where is my refund, please?")
    add("far", 7, 1.0, "How do I change my address?")
    assert [trace.external_id for trace in similar_healthy(bad)] == ["near", "far"]
    assert similar_healthy(near) == []
    bad.facets = {"prompt": "answer", "segment": "pro", "region": "asia"}
    assert similar_healthy(bad, 1)[0].external_id == "near"
