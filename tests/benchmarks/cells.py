"""Cells of stored traces: a million traces and a hundred changes, against DuckDB's GROUP BY and a brute-force join.

    .venv/bin/python -m tests.benchmarks.cells [--traces 1000000] [--changes 100]

Makes the traces in the configured database (an empty one of its own) where they are not there yet, then prints one
JSON object. `read_and_grouped` is what a fresh process does: read the stored columns, choose bins, group. DuckDB groups
the same columns, held in its memory already, in the same run: facet values as texts, and as codes (its best case).
Every cell is compared with DuckDB's; the sums of some cells and the exposure of some traces with a join row by row.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import django
import numpy as np

from postmortem.changes.exposure import exposure, exposure_of_cells
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer
from postmortem.traces.cells import BIN_SECONDS, Cells, cells_of_columns, profiles_of
from postmortem.traces.columns import FacetCodes
from postmortem.traces.records import TraceRecord
from tests.benchmarks.reading import SCORE_COLUMNS, TRACE_COLUMNS, insert

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "postmortem.settings")

NUMBER = "INC-2026-0902"
START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 14
DETECTED = START + timedelta(days=11)
_SAMPLE = 400
_CHUNK = 50_000


def main() -> None:
    """Make the world where it is not there, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fill", action="store_true", help="only make the traces")
    options = parser.parse_args()
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    if options.fill:
        _fill(options.traces, options.changes)
        return
    if not _stored():
        own = [sys.executable, "-m", "tests.benchmarks.cells", "--fill"]
        subprocess.run([*own, "--traces", str(options.traces), "--changes", str(options.changes)], check=True)
    incident = _stored()
    told: dict[str, Any] = {"database": connection.vendor, "traces": options.traces, "changes": options.changes}
    told |= _measured(incident, options.rounds)
    print(json.dumps(told, indent=1))


def _measured(incident: Any, rounds: int) -> dict[str, Any]:
    from postmortem.attribution.cases import case_edges
    from postmortem.attribution.interface import attribute
    from postmortem.attribution.selectors import attribution_case
    from postmortem.attribution.telling import case_facets
    from postmortem.changes.selectors import change_records
    from postmortem.traces import stored_cells
    from postmortem.traces.stored_columns import build_columns

    started = time.perf_counter()
    build_columns(incident.pk)
    built = time.perf_counter() - started
    changes = change_records(incident)
    windows = ((incident.baseline_start, incident.baseline_end), (incident.incident_start, incident.incident_end))
    edges = case_edges(changes, DETECTED, *windows)

    def forget() -> None:
        for remembered in (stored_cells.columns_of, stored_cells._number_column, stored_cells.number_column):
            remembered.cache_clear()

    def read(bin_seconds: int | None) -> Cells:
        forget()
        return stored_cells.signal_cells(
            incident, "success", edges, narrow=lambda columns: case_facets(changes, columns), bin_seconds=bin_seconds
        )

    ours = _timed(lambda: read(None), rounds)
    ours_fixed = _timed(lambda: read(BIN_SECONDS), rounds)
    fine = read(BIN_SECONDS)
    chosen = read(None)
    exposed = _timed(lambda: exposure_of_cells(changes, chosen), 3)
    forget()
    started = time.perf_counter()
    result = attribute(attribution_case(incident))
    attributed = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    texts, codes, equal = _duckdb(incident, fine, edges, rounds)
    return {
        "columns_built_seconds": round(built, 2),
        "read_and_grouped_seconds": round(ours, 3),
        "read_and_grouped_600_s_bins_seconds": round(ours_fixed, 3),
        "cells": int(chosen.count.size),
        "cells_of_600_s": int(fine.count.size),
        "duckdb_texts_seconds": round(texts, 3),
        "duckdb_codes_seconds": round(codes, 3),
        "ratio_to_duckdb_texts": round(ours / texts, 2),
        "ratio_to_duckdb_texts_600_s_bins": round(ours_fixed / texts, 2),
        "ratio_to_duckdb_codes": round(ours / codes, 2),
        "exposure_of_all_changes_seconds": round(exposed, 3),
        "attribution_seconds": round(attributed, 2),
        "peak_memory_mb": peak,
        "cause_found": result.hypotheses[0].changes == ("change-7",),
        "every_cell_equals_duckdb": equal,
        "sampled_cells_equal_rows": _cells_equal_rows(incident, fine),
        "sampled_exposures_equal_row_by_row": _exposures_equal(incident, changes),
    }


def _stored() -> Any:
    from postmortem.incidents.models import Incident

    return Incident.objects.filter(number=NUMBER).first()


def _timed(run: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return median(taken)


def _fill(count: int, changes: int) -> None:
    from postmortem.accounts.models import Role
    from postmortem.changes.stored import fields_of
    from postmortem.traces.models import EvidenceImport
    from tests.builders import make_change, make_incident, make_person

    world = _world(count, changes)
    person = make_person("Ben Cells", Role.ADMINISTRATOR, email="cells@example.org")
    incident = make_incident(
        NUMBER, by=person, signal="success", worse="lower", detected_at=DETECTED, baseline_start=START,
        baseline_end=START + timedelta(days=9), incident_start=START + timedelta(days=9), incident_end=DETECTED,
    )  # fmt: skip
    for record in world["changes"]:
        fields = fields_of(record) | {"summary": record.id}
        make_change(fields.pop("external_id"), feature=incident.feature, **fields)
    source = EvidenceImport.objects.create(
        incident=incident, kind="file", origin="simulated", imported_by=person, finished=True, trace_count=count,
        score_count=count,
    )  # fmt: skip
    from postmortem.traces.models import Trace

    last = Trace.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    texts = [json.dumps(profile) for profile in world["profiles"]]
    for first in range(0, count, _CHUNK):
        rows, scores = [], []
        for place in range(first, min(first + _CHUNK, count)):
            key, at = last + 1 + place, datetime.fromtimestamp(float(world["seconds"][place]), UTC)
            rows.append((
                key, incident.pk, source.pk, f"t{place}", "answer", at, "", "", "", None, None, None, None, False,
                texts[world["profile"][place]], "", "", False,
            ))  # fmt: skip
            scores.append((key, "success", "", "success", float(world["success"][place]), "", "", at))
        insert("traces_trace", TRACE_COLUMNS, rows)
        insert("traces_score", SCORE_COLUMNS, scores)


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
    profiles = [
        {name: values[name][codes[name][row]] for name in names} | {"release": f"r{version[row]}"} for row in first
    ]
    success = (dice.random(count) < 0.85 - 0.08 * released).astype(float)
    assert distinct.size == len(profiles)
    return {
        "profiles": profiles, "profile": profile.reshape(-1), "seconds": seconds, "success": success,
        "changes": tuple(log),
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


def _rows(incident: Any) -> tuple[Any, Any]:
    from postmortem.attribution.telling import case_facets
    from postmortem.changes.selectors import change_records
    from postmortem.traces.counts import evidence_state
    from postmortem.traces.stored_cells import columns_of, signal_column

    state = evidence_state(incident)
    columns = columns_of(state)
    return columns, {
        "facets": case_facets(change_records(incident), columns), "values": signal_column(incident, "success", state)
    }  # fmt: skip


def _duckdb(incident: Any, cells: Cells, edges: list[float], rounds: int) -> tuple[float, float, bool]:
    """Seconds with texts, seconds with codes, and whether every cell has the same count and sums."""
    import duckdb
    import pyarrow as pa

    columns, said = _rows(incident)
    facets: dict[str, FacetCodes] = said["facets"]
    bounds = np.unique(np.array(edges))
    # The bins are worked out beforehand, which leaves DuckDB the smaller part of the work.
    bins = np.floor(columns.seconds / BIN_SECONDS).astype(np.int64) + np.searchsorted(
        bounds, columns.seconds, side="right"
    )
    _, profile = profiles_of(facets, columns.keys.size)
    names = list(facets)
    table = pa.table(
        {
            **{name: [facets[name].values[code] for code in facets[name].codes] for name in names},
            "profile": profile, "bin": bins, "s": columns.seconds, "y": said["values"],
        }
    )  # fmt: skip
    connection = duckdb.connect()
    connection.register("given", table)
    connection.execute("CREATE TABLE traces AS SELECT * FROM given")
    sums = "count(*) AS n, sum(s) AS s, sum(y) AS y, sum(y * y) AS yy FROM traces GROUP BY"
    grouped = ", ".join(f'"{name}"' for name in names)
    texts = _timed(lambda: connection.execute(f"SELECT {grouped}, bin, {sums} {grouped}, bin").fetchnumpy(), rounds)
    codes = _timed(lambda: connection.execute(f"SELECT profile, bin, {sums} profile, bin").fetchnumpy(), rounds)
    found = connection.execute(f"SELECT {grouped}, bin, {sums} {grouped}, bin").fetchall()
    theirs = {(row[: len(names)], row[len(names)]): row[len(names) + 1 :] for row in found}
    mine_bins = np.floor(cells.seconds / BIN_SECONDS).astype(np.int64) + np.searchsorted(
        bounds, cells.seconds, side="right"
    )
    equal = len(theirs) == cells.count.size
    for place in range(cells.count.size):
        facts = cells.profiles[cells.profile[place]]
        count, seconds, total, squares = theirs[(tuple(facts[name] for name in names), int(mine_bins[place]))]
        equal &= bool(
            count == cells.count[place]
            and np.isclose(seconds / count, cells.seconds[place], rtol=0, atol=1e-3)
            and np.isclose(total, cells.total[place])
            and np.isclose(squares, cells.total_squares[place])
        )
    connection.close()
    return texts, codes, equal


def _cells_equal_rows(incident: Any, cells: Cells) -> bool:
    """Some cells, added up again from the rows of the database."""
    from postmortem.traces.models import Score, Trace

    dice = np.random.default_rng(4)
    for place in dice.choice(cells.count.size, 60, replace=False):
        start, end = (datetime.fromtimestamp(float(at[place]), UTC) for at in (cells.start, cells.end))
        facts = dict(cells.profiles[cells.profile[place]])
        inside = Trace.objects.filter(incident=incident, timestamp__gte=start, timestamp__lt=end)
        keys = [key for key, facets in inside.values_list("pk", "facets") if facets == facts]
        values = list(Score.objects.filter(trace__in=keys, name="success").values_list("value", flat=True))
        if (len(values), sum(values)) != (cells.count[place], cells.total[place]):
            return False
    return True


def _exposures_equal(incident: Any, changes: list[ChangeRecord]) -> bool:
    """Exposure of single traces to every change, one by one, against the cells that they make."""
    from postmortem.traces.models import Trace

    dice = np.random.default_rng(3)
    first = Trace.objects.filter(incident=incident).order_by("pk").values_list("pk", flat=True)[0]
    count = Trace.objects.filter(incident=incident).count()
    keys = [first + int(place) for place in dice.choice(count, _SAMPLE, replace=False)]
    traces = [
        TraceRecord(str(key), timestamp, facets)
        for key, timestamp, facets in Trace.objects.filter(pk__in=keys).values_list("pk", "timestamp", "facets")
    ]
    names = sorted({name for trace in traces for name in trace.facets})
    codes = {}
    for name in names:
        values = sorted({trace.facets[name] for trace in traces})
        place = {value: number for number, value in enumerate(values)}
        codes[name] = FacetCodes(np.array([place[t.facets[name]] for t in traces], dtype=np.int32), tuple(values))
    profiles, profile = profiles_of(codes, len(traces))
    seconds = np.array([trace.timestamp.timestamp() for trace in traces])
    order = np.argsort(seconds, kind="stable")
    cells = cells_of_columns(profiles=profiles, profile=profile, seconds=seconds, bin_seconds=0)
    matrix = exposure_of_cells(changes, cells)
    return all(
        abs(exposure(change, traces[row], changes).share - matrix.shares[place, column]) <= 1e-6
        for place, row in enumerate(order)
        for column, change in enumerate(changes)
    )


if __name__ == "__main__":
    main()
