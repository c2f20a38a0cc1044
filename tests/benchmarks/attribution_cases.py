"""Score the attribution on simulated cases whose truth is known. Not part of the timed tests.

    .venv/bin/python -m tests.benchmarks.attribution_cases --seeds 1000:1200 [--traces 6000] [--folder DIR]
        [--family interaction]

Prints one JSON object: right first, within three, wrong blame, calibration, sets and the cost of a case as a ratio to
reading its files (a machine's speed cancels out). The seeds decide everything but that ratio.
"""

import argparse
import json
import os
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median

from postmortem.attribution.cases import read_case
from postmortem.attribution.interface import attribute, result_to_json
from tests.benchmarks.simulator import FAMILIES, FURTHER_FAMILIES, simulate

_BUSY = 0.9  # a probability from here on is a blame


def main() -> None:
    """Simulate, attribute, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="1000:1100")
    parser.add_argument("--traces", type=int, default=6000)
    parser.add_argument("--family", choices=[*FAMILIES, *FURTHER_FAMILIES], help="one family alone")
    parser.add_argument("--folder", type=Path, help="keep the cases here")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    first, last = (int(part) for part in options.seeds.split(":"))
    with tempfile.TemporaryDirectory() as temporary:
        root = options.folder or Path(temporary)
        jobs = [(seed, root / f"case-{seed:06d}", options.traces, options.family) for seed in range(first, last)]
        with get_context("spawn").Pool(options.processes) as pool:
            rows = pool.map(_run, jobs, chunksize=4)
    print(json.dumps(score(rows), indent=1))


def _run(job: tuple[int, Path, int, str | None]) -> dict[str, object]:
    seed, folder, traces, family = job
    truth = simulate(seed, folder, traces=traces, family=family)
    started = time.perf_counter()
    case = read_case(folder)
    read = time.perf_counter()
    result = result_to_json(attribute(case))
    done = time.perf_counter()
    return {"truth": truth, "result": result, "read": read - started, "attribute": done - read}


def score(rows: list[dict[str, object]]) -> dict[str, object]:
    """The measures over all cases; those of causes count incidents that harmed a hundred traces."""
    first, third, by_family, blamed, named, found, ruled, covered = [], [], {}, [], [], [], [], []
    calibration: list[tuple[float, bool]] = []
    for row in rows:
        truth, result = row["truth"], row["result"]
        assert isinstance(truth, dict)
        assert isinstance(result, dict)
        changes = [one for one in result["hypotheses"] if one["kind"] == "change"]
        causes, top = set(truth["causes"]), changes[0]
        hit = top["changes"][0] in causes
        calibration.append((top["probability"], hit))
        if top["probability"] >= _BUSY:
            named.append(hit)
        if causes and truth["n_hit"] >= 100:
            first.append(hit)
            third.append(bool(causes & {one["changes"][0] for one in changes[:3]}))
            by_family.setdefault(truth["family"], []).append(hit)
        if not causes:
            blamed.append(top["probability"] >= _BUSY)
        if truth["kind"] == "unlogged" and truth["n_hit"] >= 100:
            best = result["hypotheses"][0]
            found.append(best["kind"] == "unlogged" and best["layer"] in truth["layers"])
        ruled += [one["verdict"] == "ruled_out" for one in result["layers"] if one["layer"] in truth["layers"]]
        if len(causes) == 1 and result["credible_sets"]:
            covered.append(any(causes & set(ids) for ids in result["credible_sets"]))
    return {
        "cases": len(rows),
        "right_first": _share(first),
        "within_three": _share(third),
        "right_first_by_family": {name: _share(hits) for name, hits in sorted(by_family.items())},
        "wrong_blame": _share(blamed),
        "precision_when_sure": _share(named),
        "expected_calibration_error": _calibration_error(calibration),
        "unlogged_found_with_layer": _share(found),
        "true_layer_ruled_out": _share(ruled),
        "credible_sets_cover": _share(covered),
        "attribute_to_read_time": round(
            median(float(str(row["attribute"])) / float(str(row["read"])) for row in rows), 2
        ),
        "seconds_a_case": round(median(_seconds(row, "attribute") for row in rows), 3),
    }


def _seconds(row: dict[str, object], stage: str) -> float:
    return float(str(row[stage]))


def _share(hits: list[bool]) -> str:
    return f"{mean(hits):.3f} of {len(hits)}" if hits else "none"


def _calibration_error(pairs: list[tuple[float, bool]]) -> float:
    """Mean gap between stated and real share over ten bins, weighted by their size."""
    error = 0.0
    for bin_number in range(10):
        inside = [(p, hit) for p, hit in pairs if min(int(p * 10), 9) == bin_number]
        if inside:
            error += abs(mean(p for p, _ in inside) - mean(hit for _, hit in inside)) * len(inside) / len(pairs)
    return round(error, 3)


if __name__ == "__main__":
    main()
