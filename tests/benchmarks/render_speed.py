"""How long and how much memory the PDF takes: `python -m tests.benchmarks.render_speed [--at-once 10]`.

Wanted on one core: 12 pages in 1.0 s; 60 pages with 500 rows in 4 s and 400 MB. Prints for the second rendering (the
first one of a process loads the fonts) pages, CPU seconds, peak memory, and whether the same record gave the same
bytes. The peer is a document of as many pages and table rows in plain paragraphs, rendered by WeasyPrint alone in
the same process, in turns; a machine that is busy or slow is so for both.
"""

import argparse
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "postmortem.settings")
import django

from tests.report.big_record import big_record

# Name, what the record holds, rows of the peer's table, its paragraphs to begin with.
CASES: tuple[tuple[str, dict[str, int], int, int], ...] = (
    ("12 pages", {"changes": 20, "actions": 8, "evidence": 32, "entries": 24, "words": 6}, 40, 45),
    ("60 pages, 500 rows", {"entries": 500, "evidence": 400, "words": 85}, 500, 110),
)
_ROUNDS = 3
_WORDS = "The support desk counted another wave of wrong refund answers in eu-west while the index was rebuilt. "


def measure(name: str, size: dict[str, int], rows: int, paragraphs: int) -> None:
    """Render record and peer in turns in a process of its own and print what each took at best."""
    django.setup()
    from pypdf import PdfReader

    from postmortem.report.documents import make_document

    record = big_record(**size)

    def render() -> bytes:
        return make_document(record, view="full", form="pdf", version=1, sha256="ab" * 32).data

    first = render()
    pages = len(PdfReader(BytesIO(first)).pages)
    own, same = [], True
    for _ in range(_ROUNDS):
        spent, data = _timed(render)
        own.append(spent)
        same = same and data == first
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    peer, peer_pages = _fitting(rows, paragraphs, pages)
    others = [_timed(peer)[0] for _ in range(_ROUNDS)]
    own.append(_timed(render)[0])
    print(
        f"{name}: {pages} pages, {min(own):.2f} s CPU, {peak:.0f} MB, {'same bytes' if same else 'OTHER BYTES'}; "
        f"plain peer of {peer_pages} pages {min(others):.2f} s, ratio {min(own) / min(others):.2f}",
        flush=True,
    )


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def _fitting(rows: int, paragraphs: int, pages: int) -> tuple[Callable[[], bytes], int]:
    """The peer with as many paragraphs as give it about `pages` pages."""
    from weasyprint import HTML

    for _ in range(4):
        html = _plain(rows, paragraphs)
        found = len(HTML(string=html).render().pages)
        if found == pages:
            break
        paragraphs = max(1, round(paragraphs + (pages - found) * 5.2))
    return lambda: HTML(string=html).write_pdf(pdf_variant="pdf/ua-1"), found


def _plain(rows: int, paragraphs: int) -> str:
    cells = "".join(
        f"<tr><td>9 Mar 2026 10:{row % 60:02}</td><td>Entry {row}: {_WORDS}</td><td>note</td></tr>"
        for row in range(rows)
    )
    text = "".join(f"<h2>Part {place}</h2><p>{_WORDS * 9}</p>" for place in range(paragraphs))
    return (
        "<!doctype html><html lang=en><title>Peer</title><style>@page { size: A4; margin: 24mm 18mm; "
        "@bottom-right { content: counter(page) ' of ' counter(pages) } } "
        "body { font: 9pt/12.5pt 'Noto Sans', sans-serif } table { width: 100%; table-layout: fixed }</style>"
        f"<h1>Peer</h1>{text}<table><tr><th>When</th><th>What</th><th>From</th></tr>{cells}</table>"
    )


def crowd(count: int) -> None:
    """`count` requests at once in one process; renderings wait for one another, so memory stays bounded."""
    django.setup()
    from postmortem.report.documents import make_document

    record = big_record(entries=60)
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
    for case in CASES:
        process = context.Process(target=measure, args=case)
        process.start()
        process.join()
    if options.at_once:
        process = context.Process(target=crowd, args=(options.at_once,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
