"""How long and how much memory the PDF takes: `python -m tests.benchmarks.render_speed [--at-once 10]`.

Wanted on one core: 12 pages in 1.0 s; 60 pages with 500 rows in 4 s and 400 MB. Prints CPU seconds of the second
rendering (the first one unpacks fonts), pages, peak memory, and whether the same record gave the same bytes.
"""

import argparse
import copy
import json
import multiprocessing
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "postmortem.settings")
import django

SAMPLE = Path(__file__).parent.parent / "report" / "record-1-sample.json"


def record_of(rows: int, *, changes: int = 60, evidence: int = 1) -> dict[str, Any]:
    """The sample grown to `rows` timeline entries, `changes` changes and `evidence` times its evidence."""
    record = json.loads(SAMPLE.read_text())
    base = copy.deepcopy(record)
    record["changes"] = [
        one | {"id": f"{one['id']}-{part}"} for part in range(-(-changes // 15)) for one in base["changes"]
    ][:changes]
    note = {"kind": "note", "source": "note", "layer": "", "at": "2026-03-09T10:00:00.000Z"}
    record["timeline"] += [
        note | {"text": f"Entry {number}: the support desk counted another wave of wrong refund answers in eu-west."}
        for number in range(max(0, rows - len(base["timeline"])))
    ]
    for layer in record["layers"]:
        layer["evidence_for"] *= evidence
        layer["evidence_against"] *= evidence
    record["actions"] = [one | {"number": 5 * part + one["number"]} for part in range(5) for one in base["actions"]]
    return record


def measure(name: str, rows: int, changes: int, evidence: int) -> None:
    """Render twice in a process of its own and print what it took."""
    django.setup()
    from pypdf import PdfReader

    from postmortem.report.documents import make_document

    record = record_of(rows, changes=changes, evidence=evidence)

    def render() -> bytes:
        return make_document(record, view="full", form="pdf", version=1, sha256="ab" * 32).data

    first = render()
    begun, cpu = time.perf_counter(), time.process_time()
    second = render()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - begun
    pages = len(PdfReader(BytesIO(second)).pages)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name}: {pages} pages, {cpu:.2f} s CPU ({wall:.2f} s by the clock), {peak:.0f} MB, "
        f"{'same bytes' if first == second else 'OTHER BYTES'}",
        flush=True,
    )


def crowd(count: int) -> None:
    """`count` requests at once in one process; renderings wait for one another, so memory stays bounded."""
    django.setup()
    from postmortem.report.documents import make_document

    record = record_of(120, changes=60, evidence=1)
    begun = time.perf_counter()

    def render(_: int) -> int:
        return len(make_document(record, view="full", form="pdf", version=1, sha256="").data)

    with ThreadPoolExecutor(count) as pool:
        done = list(pool.map(render, range(count)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(done)} at once: {time.perf_counter() - begun:.1f} s by the clock, {peak:.0f} MB", flush=True)


def main() -> None:
    """Each case in a process of its own, so that one's memory is not another's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, default=0, help="also that many renderings at once")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for arguments in (("twelve pages", 40, 20, 1), ("sixty pages", 500, 500, 10)):
        process = context.Process(target=measure, args=arguments)
        process.start()
        process.join()
    if options.at_once:
        process = context.Process(target=crowd, args=(options.at_once,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
