"""Facts of many traces as columns: facet values coded once, numbers side by side, packed into bytes. Pure.

A segment is some thousands of traces in the order of their keys. What most traces lack (a rare facet, a score that
few have) is kept with the rows that have it.
"""

import json
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]
Keys = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

SPARSE_BELOW = 0.25  # share of the rows that have something, below which the rows are kept beside it
_ALIGNED = 8


@dataclass(frozen=True, slots=True)
class FacetCodes:
    """One facet of every row: a position in `values`, −1 where it was not recorded."""

    codes: Codes
    values: tuple[str, ...]

    def counts(self) -> npt.NDArray[np.int64]:
        """How many rows have each value."""
        known = self.codes[self.codes >= 0]
        return np.bincount(known, minlength=len(self.values)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class PackedFacet:
    """A facet of one segment as it is stored; `values` are unpacked when somebody asks for them."""

    codes: Array
    rows: Array | None
    raw_values: bytes

    def dense(self, size: int) -> tuple[Codes, list[str]]:
        """Codes of all `size` rows of the segment, and the values."""
        codes: Codes = np.asarray(self.codes, dtype=np.int32)
        if self.rows is not None:
            spread = np.full(size, -1, dtype=np.int32)
            spread[self.rows] = codes
            codes = spread
        return codes, json.loads(self.raw_values)


def pack(arrays: Mapping[str, Array], header: Mapping[str, Any] | None = None) -> bytes:
    """Arrays by name, with a JSON header, as bytes that `unpack` reads without copying."""
    parts: list[bytes] = []
    places: dict[str, list[Any]] = {}
    offset = 0
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        raw += b"\0" * (-len(raw) % _ALIGNED)
        places[name] = [array.dtype.str, offset, int(array.size)]
        parts.append(raw)
        offset += len(raw)
    head = json.dumps({"arrays": places, "header": header or {}}, ensure_ascii=False).encode()
    head += b" " * (-(len(head) + 4) % _ALIGNED)
    return b"".join([struct.pack("<I", len(head)), head, *parts])


def unpack(data: bytes | memoryview) -> tuple[dict[str, Array], dict[str, Any]]:
    """What `pack` was given; the arrays are read-only views."""
    (length,) = struct.unpack_from("<I", data)
    told = json.loads(bytes(data[4 : 4 + length]))
    begin = 4 + length
    arrays = {
        name: np.frombuffer(data, dtype=np.dtype(kind), count=size, offset=begin + offset)
        for name, (kind, offset, size) in told["arrays"].items()
    }
    return arrays, told["header"]


def pack_numbers(values: Floats) -> bytes:
    """One number a row, NaN where there is none."""
    known = np.flatnonzero(np.isfinite(values))
    if known.size < SPARSE_BELOW * values.size:
        return pack({"rows": known.astype(np.int32), "values": values[known]})
    return pack({"values": values})


def unpack_numbers(data: bytes | memoryview, size: int) -> Floats:
    """What `pack_numbers` was given; `size` is the number of rows of the segment."""
    arrays, _ = unpack(data)
    if "rows" not in arrays:
        return arrays["values"]
    values = np.full(size, np.nan)
    values[arrays["rows"]] = arrays["values"]
    return values


def pack_facets(rows: Iterable[Mapping[str, str] | None], size: int) -> bytes:
    """The facet values of `size` rows in their order. Equal mappings that are the same object are coded once."""
    columns: dict[str, tuple[dict[str, int], list[int], list[int]]] = {}
    known: dict[int, list[tuple[tuple[list[int], list[int]], int]]] = {}
    kept: list[Mapping[str, str]] = []  # so that no id is given twice
    for place, facets in enumerate(rows):
        if not facets:
            continue
        steps = known.get(id(facets))
        if steps is None:
            steps = known[id(facets)] = []
            kept.append(facets)
            for name, value in facets.items():
                numbers, codes, places = columns.setdefault(name, ({}, [], []))
                steps.append(((codes, places), numbers.setdefault(value, len(numbers))))
        for (codes, places), code in steps:
            codes.append(code)
            places.append(place)
    arrays: dict[str, Array] = {}
    names: list[list[Any]] = []
    for number, (name, (values, codes, places)) in enumerate(columns.items()):
        kind = next(kind for kind in (np.int8, np.int16, np.int32) if len(values) <= np.iinfo(kind).max)
        column = np.array(codes, dtype=kind)
        at = np.array(places, dtype=np.int32)
        if at.size >= SPARSE_BELOW * size:
            spread = np.full(size, -1, dtype=kind)
            spread[at] = column
            arrays[f"c{number}"] = spread
        else:
            arrays[f"c{number}"], arrays[f"r{number}"] = column, at
        arrays[f"v{number}"] = np.frombuffer(json.dumps(list(values), ensure_ascii=False).encode(), dtype=np.uint8)
        names.append([name, len(values), int(at.size)])
    return pack(arrays, {"facets": names})


def unpack_facets(data: bytes | memoryview) -> dict[str, PackedFacet]:
    """The facets of one segment by name."""
    arrays, header = unpack(data)
    return {
        name: PackedFacet(arrays[f"c{number}"], arrays.get(f"r{number}"), arrays[f"v{number}"].tobytes())
        for number, (name, _, _) in enumerate(header["facets"])
    }


def joined_facet(name: str, segments: Sequence[tuple[int, Mapping[str, PackedFacet]]]) -> FacetCodes:
    """One facet of all segments, given as (rows, facets), in one coding."""
    numbers: dict[str, int] = {}
    parts: list[Codes] = []
    for size, facets in segments:
        packed = facets.get(name)
        if packed is None:
            parts.append(np.full(size, -1, dtype=np.int32))
            continue
        codes, values = packed.dense(size)
        places = np.array([*(numbers.setdefault(value, len(numbers)) for value in values), -1], dtype=np.int32)
        parts.append(places[codes])
    return FacetCodes(np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32), tuple(numbers))


def facet_names(segments: Iterable[Mapping[str, PackedFacet]]) -> list[str]:
    """Every facet that a segment has, in the order of first sight."""
    return list(dict.fromkeys(name for facets in segments for name in facets))


def kept_apart(facet: FacetCodes, most: int, named: Collection[str] = (), others: str = "") -> FacetCodes:
    """The same facet with only its `most` most frequent values, and those that are `named`.

    Rows with another value have the value `others`, and where that is empty do not record it.
    """
    if len(facet.values) <= most:
        return facet
    frequent = np.argsort(-facet.counts(), kind="stable")[:most] if most else np.zeros(0, dtype=np.intp)
    of_name = [place for place, value in enumerate(facet.values) if value in named] if named else []
    kept = np.unique(np.array([*frequent, *of_name], dtype=np.intp))
    places = np.full(len(facet.values) + 1, kept.size if others else -1, dtype=np.int32)
    places[kept] = np.arange(kept.size, dtype=np.int32)
    places[-1] = -1  # not recorded stays so
    values = tuple(facet.values[place] for place in kept)
    return FacetCodes(places[facet.codes], (*values, others) if others else values)
