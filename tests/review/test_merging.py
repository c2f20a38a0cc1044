"""Merging loses nobody's words."""

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem.review import merging
from postmortem.review.merging import merge_texts

WORDS = st.lists(st.sampled_from(["the ", "index ", "was ", "built ", "\n", "twice. "]), max_size=12).map("".join)


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        ("a b c", "a b c", "a x c", "a x c"),
        ("a b c", "a x c", "a b c", "a x c"),
        ("a b c d", "x b c d", "a b c y", "x b c y"),
        ("", "mine\n", "theirs\n", "theirs\nmine\n"),
        ("one\n", "one\nmine\n", "one\ntheirs\n", "one\ntheirs\nmine\n"),
        ("a b c", "a c", "a c", "a c"),
        ("the rate fell", "the error rate fell", "the rate fell twice", "the error rate fell twice"),
    ],
)
def test_changes_of_different_words_are_both_kept(base: str, mine: str, theirs: str, merged: str) -> None:
    assert merge_texts(base, mine, theirs) == merged


@pytest.mark.parametrize(
    ("base", "mine", "theirs"),
    [("the rate fell", "the rate rose", "the rate doubled"), ("a b c", "a c", "a x c"), ("a", "", "b")],
)
def test_different_changes_of_the_same_words_are_not_merged(base: str, mine: str, theirs: str) -> None:
    assert merge_texts(base, mine, theirs) is None


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS, WORDS)
def test_what_only_one_person_did_survives(base: str, mine: str, theirs: str) -> None:
    assert merge_texts(base, mine, base) == mine
    assert merge_texts(base, base, theirs) == theirs
    appended = merge_texts(base, base + "|mine|", base + "|theirs|")
    assert appended is not None and "|mine|" in appended and "|theirs|" in appended


@settings(max_examples=100, deadline=None)
@given(WORDS, WORDS, WORDS, WORDS)
def test_what_is_alike_around_changes_nothing(around: str, base: str, mine: str, theirs: str) -> None:
    with_it = [f"{around}{text}{around}" for text in (base, mine, theirs)]
    with patch.object(merging, "_alike", lambda *texts: (0, 0)):
        expected = merge_texts(*with_it)
    assert merge_texts(*with_it) == expected


def test_long_texts_are_merged_by_lines_in_time() -> None:
    base = "".join(f"line {number} of a long note\n" for number in range(4_000))
    mine = base.replace("line 7 of", "line seven of")
    theirs = base.replace("line 3900 of", "line 39 hundred of")
    merged = merge_texts(base, mine, theirs)
    assert merged is not None and "line seven of" in merged and "line 39 hundred of" in merged
