"""Cells at scale: a million traces and a hundred changes, against DuckDB's GROUP BY and a brute-force join.

    .venv/bin/python -m tests.benchmarks.cells [--traces 1000000] [--changes 100]

Needs duckdb (pip install duckdb). Prints one JSON object: grouping as a ratio to DuckDB grouping the same columns in
the same run, the attribution from the cells in seconds and peak memory, and whether the exposure of a sample of
traces, joined one by one, equals that of their cells.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import numpy as np

from postmortem.attribution.cases import case_edges
from postmortem.attribution.interface import attribute
from postmortem.attribution.shapes import AttributionCase
from postmortem.changes.exposure import exposure, exposure_of_cells
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer
from postmortem.traces.cells import BIN_SECONDS, Cells, bin_bounds, cells_of_columns
from postmortem.traces.records import TraceRecord

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 14
_SAMPLE = 400


def main() -> None:
    """Make the world, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=100)
    options = parser.parse_args()
    world = _world(options.traces, options.changes)
    detected = START + timedelta(days=11)
    edges = case_edges(world["changes"], detected)
    ours = _timed(lambda: cells_of_columns(**world["columns"], edges=edges, bin_seconds=BIN_SECONDS))
    theirs = _timed(lambda: _duckdb(world["columns"], edges))
    fine = int(cells_of_columns(**world["columns"], edges=edges, bin_seconds=BIN_SECONDS).count.size)
    cells = cells_of_columns(**world["columns"], edges=edges)
    case = AttributionCase(
        "success", "lower", detected, cells, options.traces, world["changes"],
    )  # fmt: skip
    started = time.perf_counter()
    result = attribute(case)
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "traces": options.traces,
                "changes": options.changes,
                "cells_of_600_s": fine,
                "grouping_to_duckdb": round(ours / theirs, 2),
                "grouping_seconds": round(ours, 3),
                "attribution_cells": int(cells.count.size),
                "attribution_seconds": round(seconds, 2),
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "cause_found": result.hypotheses[0].changes == (world["cause"],),
                "sample_equals_brute_force": _equal_on_a_sample(world, edges),
            },
            indent=1,
        )
    )


def _timed(run: Callable[[], object], times: int = 3) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return median(taken)


def _world(count: int, changes: int) -> dict[str, Any]:
    dice = np.random.default_rng(11)
    seconds = np.sort(dice.uniform(START.timestamp(), START.timestamp() + DAYS * 86_400, count))
    names = ("prompt", "segment", "region", "model")
    values = {name: [f"{name}-{i}" for i in range(3 if name != "segment" else 4)] for name in names}
    codes = {name: dice.integers(0, len(values[name]), count) for name in names}
    log = [_change(number, dice, values) for number in range(changes)]
    cause = next(change for change in log if change.id == "change-7")
    released = (seconds >= cause.at.timestamp()) & (dice.random(count) < 0.5)
    version = released.astype(int)
    key = version
    for name in names:
        key = key * len(values[name]) + codes[name]
    distinct, first, profile = np.unique(key, return_index=True, return_inverse=True)
    profiles = tuple(
        {name: values[name][codes[name][row]] for name in names} | {"release": f"r{version[row]}"} for row in first
    )
    success = (dice.random(count) < 0.85 - 0.08 * released).astype(float)
    assert distinct.size == len(profiles)
    return {
        "columns": {
            "profiles": profiles, "profile": profile.reshape(-1).astype(np.int32), "seconds": seconds,
            "values": success,
        },
        "changes": tuple(log), "cause": cause.id,
    }  # fmt: skip


def _change(number: int, dice: np.random.Generator, values: dict[str, list[str]]) -> ChangeRecord:
    layer = list(Layer)[number % 4]
    at = START + timedelta(hours=float(dice.uniform(24, 24 * 10.5)))
    if number == 7:
        return ChangeRecord(
            "change-7", Layer.INFRASTRUCTURE, START + timedelta(days=9), START + timedelta(days=12), rollout="canary",
            canary_share=0.5, facet="release", from_version="r0", to_version="r1",
        )  # fmt: skip
    facet = ("model", "prompt", "segment", "region")[number % 4]
    scope = {facet: (str(dice.choice(values[facet])),)} if number % 3 else {}
    length = timedelta(hours=float(dice.uniform(0, 20)))
    if number % 5 == 0:
        return ChangeRecord(f"change-{number}", layer, at, at + length, rollout="ramp", scope=scope)
    return ChangeRecord(f"change-{number}", layer, at, at, scope=scope)


def _duckdb(columns: dict[str, Any], edges: list[float]) -> int:
    import duckdb
    import pyarrow as pa

    # The bins are worked out outside of the clock's larger part for neither side: both bin the same way.
    start, _ = bin_bounds(columns["seconds"], np.unique(np.array(edges)))
    table = pa.table({"profile": columns["profile"], "bin": start, "s": columns["seconds"], "y": columns["values"]})
    connection = duckdb.connect()
    connection.register("traces", table)
    found = connection.execute(
        "SELECT profile, bin, count(*), sum(s), sum(y), sum(y * y) FROM traces GROUP BY profile, bin"
    ).fetchnumpy()
    connection.close()
    return len(found["profile"])


def _equal_on_a_sample(world: dict[str, Any], edges: list[float]) -> bool:
    """Exposure of single traces, one by one, against the cells they fall into (one trace a cell)."""
    dice = np.random.default_rng(3)
    rows = np.sort(dice.choice(world["columns"]["seconds"].size, _SAMPLE, replace=False))
    profile, seconds = world["columns"]["profile"][rows], world["columns"]["seconds"][rows]
    nothing = np.zeros(rows.size)
    cells = Cells(
        world["columns"]["profiles"], profile, seconds, seconds, seconds, np.ones(rows.size, dtype=np.int64),
        nothing, nothing,
    )  # fmt: skip
    matrix = exposure_of_cells(world["changes"], cells)
    for row in range(rows.size):
        trace = TraceRecord(
            str(row), datetime.fromtimestamp(float(seconds[row]), UTC), world["columns"]["profiles"][profile[row]]
        )
        for column, change in enumerate(world["changes"]):
            if abs(exposure(change, trace, world["changes"]).share - matrix.shares[row, column]) > 1e-6:
                return False
    return True


if __name__ == "__main__":
    main()
