"""A patch makes the new text of the old one, and refuses any other."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem.lib.errors import UserError
from postmortem.review.text_patch import TextPatch, apply_patch, patch_between

WORDS = st.lists(st.sampled_from(["the ", "index ", "\n", "ü", "twice. "]), max_size=8).map("".join)


@settings(max_examples=100, deadline=None)
@given(WORDS, WORDS, WORDS, WORDS)
def test_a_patch_of_a_long_text_gives_it_back(before: str, gone: str, new: str, after: str) -> None:
    long = "a line of a long note\n" * 60
    old, fresh = f"{long}{before}{gone}{after}{long}", f"{long}{before}{new}{after}{long}"
    patch = patch_between(old, fresh)
    assert patch is not None and len(patch.put) <= len(new)
    assert apply_patch(old, patch) == fresh


@pytest.mark.parametrize(
    ("before", "after"), [("", "short"), ("x" * 2_000, ""), ("😀", "y" * 2_000), ("", "😀" * 2_000)]
)
def test_short_texts_and_those_that_browsers_count_otherwise_are_sent_whole(before, after):
    assert patch_between(before, after) is None


@pytest.mark.parametrize(
    "patch", [TextPatch(-1, 0, "x"), TextPatch(0, -1, "x"), TextPatch(3, 3, "x"), TextPatch(9, 0, "")]
)
def test_a_patch_that_does_not_fit_is_refused(patch):
    with pytest.raises(UserError, match="does not fit"):
        apply_patch("12345", patch)
