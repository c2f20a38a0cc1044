"""Columns: what is packed is unpacked the same."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from postmortem.traces.cells import cells_of_columns, profiles_of
from postmortem.traces.columns import (
    FacetCodes,
    joined_facet,
    kept_apart,
    pack_facets,
    pack_numbers,
    unpack_facets,
    unpack_numbers,
)

WORDS = st.text(max_size=5)
ROWS = st.lists(st.dictionaries(WORDS, WORDS, max_size=3), max_size=40)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 40))
def test_facets_come_back_from_any_parts(rows, cut):
    parts = [rows[:cut], rows[cut:]]
    packed = [(len(part), unpack_facets(pack_facets(part, len(part)))) for part in parts]
    for name in {name for row in rows for name in row}:
        facet = joined_facet(name, packed)
        found = [facet.values[code] if code >= 0 else None for code in facet.codes]
        assert found == [row.get(name) for row in rows]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), max_size=40))
def test_numbers_come_back(values):
    column = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    np.testing.assert_array_equal(unpack_numbers(pack_numbers(column), column.size), column)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_profiles_say_what_the_rows_said(rows):
    packed = [(len(rows), unpack_facets(pack_facets(rows, len(rows))))]
    names = sorted({name for row in rows for name in row})
    profiles, profile = profiles_of({name: joined_facet(name, packed) for name in names}, len(rows))
    assert [dict(profiles[place]) for place in profile] == rows
    assert len(profiles) == len({tuple(sorted(row.items())) for row in rows})
    for name in names:
        held = profiles.codes(name)
        assert set(held.values) == {row[name] for row in rows if name in row}


def test_combinations_beyond_what_can_be_counted():
    dice = np.random.default_rng(5)
    size = 3_000
    facets = {
        f"f{place}": FacetCodes(dice.integers(-1, 900, size).astype(np.int32), tuple(map(str, range(900))))
        for place in range(8)
    }
    profiles, profile = profiles_of(facets, size)
    for row in range(0, size, 97):
        said = {name: str(facet.codes[row]) for name, facet in facets.items() if facet.codes[row] >= 0}
        assert dict(profiles[profile[row]]) == said
    seconds = dice.uniform(0, 86_400 * 900, size)
    cells = cells_of_columns(profiles=profiles, profile=profile, seconds=seconds, values=seconds, bin_seconds=60)
    assert cells.trace_count == size and np.isclose(cells.total.sum(), seconds.sum())


def test_frequent_and_named_values_stay_and_others_share_one():
    facet = FacetCodes(np.array([0, 0, 0, 1, 1, 2, 3, -1], dtype=np.int32), ("a", "b", "c", "d"))

    def said(kept: FacetCodes) -> list[str | None]:
        return [kept.values[code] if code >= 0 else None for code in kept.codes]

    assert said(kept_apart(facet, 4)) == ["a", "a", "a", "b", "b", "c", "d", None]
    assert said(kept_apart(facet, 1, {"c"})) == ["a", "a", "a", None, None, "c", None, None]
    assert said(kept_apart(facet, 0, {"c"}, "rest")) == ["rest"] * 5 + ["c", "rest", None]
