"""Manifests of 100,000 documents: read as a stream and compared, against json.loads of the same lines and two sets.

    .venv/bin/python -m tests.benchmarks.manifests [--documents 100000]

Prints one JSON object: seconds to read a gzipped manifest with every field checked, to compare two of them, the ratio
of both to the plain peer in the same run, and peak memory.
"""

import argparse
import gzip
import io
import json
import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from postmortem.changes.manifests.corpus import corpus_difference
from postmortem.changes.manifests.reading import read_manifest

_ROUNDS = 3


def main() -> None:
    """Make two manifests, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    count = parser.parse_args().documents
    old, new = _manifest(count, "1", 0, "e1"), _manifest(count, "2", count // 200, "e2")
    reading, older = _timed(lambda: read_manifest(io.BytesIO(old), "old.jsonl.gz"))
    newer = read_manifest(io.BytesIO(new), "new.jsonl.gz")
    comparing, found = _timed(lambda: corpus_difference(older, newer))
    plain, peer = _timed(lambda: _peer(old, new))
    agrees = (found.added, found.removed, found.changed) == peer
    print(
        json.dumps(
            {
                "documents": count,
                "packed_bytes": len(old),
                "read_seconds": round(reading, 2),
                "compare_seconds": round(comparing, 2),
                "to_plain_json_and_sets": round((2 * reading + comparing) / plain, 2),
                "agrees_with_the_peer": agrees,
                "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Median seconds of a few rounds, and what the last one gave."""
    seconds, found = [], None
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - started)
    return median(seconds), found


def _manifest(count: int, version: str, skip: int, encoder: str) -> bytes:
    head = {"index": "kb", "version": version, "at": f"2026-03-0{version}T00:00:00Z", "encoder": encoder}
    lines = [json.dumps(head)]
    for number in range(skip, count + skip):
        edited = number * 7919 + (number % 50 == 0) * int(version)
        day = f"2026-02-{1 + number % 28:02d}T04:05:06Z"
        lines.append(json.dumps({"id": f"kb/{number:07d}.md", "hash": f"{edited:064x}", "embedded_at": day}))
    return gzip.compress("\n".join(lines).encode(), 1)


def _peer(old: bytes, new: bytes) -> tuple[tuple[str, ...], ...]:
    """The same answer without a check of any field."""
    sides = []
    for data in (old, new):
        rows = [json.loads(line) for line in gzip.decompress(data).splitlines()[1:]]
        sides.append({row["id"]: row["hash"] for row in rows})
    before, after = sides
    changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    lists = (after.keys() - before.keys(), before.keys() - after.keys(), changed)
    return tuple(tuple(sorted(names)) for names in lists)


if __name__ == "__main__":
    main()
