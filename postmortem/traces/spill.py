"""What a file holds, between reading and storing: on disk once it is more than a little. No Django here.

Rows of one trace may lie anywhere in a file. They are gathered by trace in memory, and past a budget in files that
each take a part of the traces (a Grace hash partition), so that gathering needs the memory of one part.
"""

import marshal
import pickle
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

from postmortem.lib.hashing import sha256_hex

PAGE_BYTES = 1024 * 1024
MEMORY_BYTES = 8 * 1024 * 1024  # of rows before they go to disk
MAX_TRACE_BYTES = 32 * 1024 * 1024  # of the rows of one trace
PART_BYTES = 16 * 1024 * 1024  # of rows in one part, if traces spread evenly
MOST_PARTS = 256
STAGED_TOGETHER = 2_000  # values that wait in memory
_BUFFER_BYTES = 128 * 1024
_OF_ONE_ROW = 200  # bytes of Python around a row's own
_WAITING_PAGES = 4
_LEVEL = 4


class SpilledRow(NamedTuple):
    """A row on its way: the page that holds it, its line, its kind, whether it is flat, its value as JSON."""

    page: int
    line: int
    kind: str
    flat: bool
    value: bytes


class Rows:
    """Rows by trace, in any order in, trace by trace out."""

    def __init__(self, *, expected_bytes: int) -> None:
        self._held: dict[str, list[SpilledRow]] = {}
        self._size = 0
        self._parts: list[IO[bytes]] = []
        self._buffers: list[list[tuple[str, SpilledRow]]] = []
        self._sizes: list[int] = []
        self._count = max(16, min(MOST_PARTS, expected_bytes // PART_BYTES))
        self._files = ExitStack()

    def add(self, trace_id: str, row: SpilledRow) -> None:
        """Keep a row."""
        if self._parts:
            self._spill(trace_id, row)
            return
        self._held.setdefault(trace_id, []).append(row)
        self._size += len(row.value) + _OF_ONE_ROW
        if self._size > MEMORY_BYTES:
            self._begin_parts()

    def __iter__(self) -> Iterator[tuple[str, list[SpilledRow]]]:
        yield from self._held.items()
        for number, file in enumerate(self._parts):
            self._flush(number)
            file.seek(0)
            held: dict[str, list[SpilledRow]] = {}
            sizes: Counter[str] = Counter()
            for chunk in _chunks(file):
                for trace_id, row in chunk:
                    sizes[trace_id] += len(row[-1])
                    # One row too many is kept, so that whoever reads on sees that it is too much.
                    if sizes[trace_id] - len(row[-1]) <= MAX_TRACE_BYTES:
                        held.setdefault(trace_id, []).append(SpilledRow(*row))
            yield from held.items()

    def close(self) -> None:
        """Give the disk back."""
        self._held = {}
        self._files.close()

    def _begin_parts(self) -> None:
        for _ in range(self._count):
            self._parts.append(self._files.enter_context(_unnamed()))
            self._buffers.append([])
            self._sizes.append(0)
        for trace_id, rows in self._held.items():
            for row in rows:
                self._spill(trace_id, row)
        self._held = {}

    def _spill(self, trace_id: str, row: SpilledRow) -> None:
        # The same in every process: an import that broke off goes on by the order in which traces come out.
        number = zlib.crc32(trace_id.encode()) % self._count
        self._buffers[number].append((trace_id, row))
        self._sizes[number] += len(row.value) + _OF_ONE_ROW
        if self._sizes[number] > _BUFFER_BYTES:
            self._flush(number)

    def _flush(self, number: int) -> None:
        if self._buffers[number]:
            _write(self._parts[number], [(trace_id, tuple(row)) for trace_id, row in self._buffers[number]])
            self._buffers[number], self._sizes[number] = [], 0


@dataclass(frozen=True, slots=True)
class PackedPage:
    """Bytes to be stored: their hash and size, compressed with zlib, and what they are."""

    sha256: str
    size: int
    compressed: bytes
    media_type: str


class Pages:
    """Entries cut into pages of about 1 MiB, compressed beside the reading and kept on disk."""

    def __init__(self, join: Callable[[list[bytes]], bytes]) -> None:
        self._join = join
        self._raws: list[bytes] = []
        self._size = 0
        self._number = 0
        self._file: IO[bytes] = _unnamed()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="compress")
        self._waiting: list[Future[PackedPage]] = []

    def add(self, raw: bytes) -> int:
        """Append an entry's bytes; the number of the page that holds them."""
        number = self._number
        if raw:
            self._raws.append(raw)
            self._size += len(raw)
            if self._size >= PAGE_BYTES:
                self.cut()
        return number

    def cut(self) -> None:
        """End the page that is being filled."""
        if self._raws:
            raws, self._raws, self._size = self._raws, [], 0
            self._number += 1
            self._pack(self._join(raws), "application/json")

    def add_original(self, pieces: Iterable[bytes]) -> None:
        """A file's own bytes in parts, where the pages are made of what was read from it."""
        self.cut()
        for piece in pieces:
            self._number += 1
            self._pack(piece, "application/octet-stream")

    def __iter__(self) -> Iterator[PackedPage]:
        self._settle(0)
        self._file.seek(0)
        for page in _chunks(self._file):
            yield PackedPage(*page)

    def close(self) -> None:
        """Give the disk back."""
        self._pool.shutdown(cancel_futures=True)
        self._file.close()

    def _pack(self, data: bytes, media_type: str) -> None:
        self._waiting.append(self._pool.submit(packed_page, data, media_type))
        self._settle(_WAITING_PAGES)

    def _settle(self, most: int) -> None:
        while len(self._waiting) > most:
            page = self._waiting.pop(0).result()
            _write(self._file, [page.sha256, page.size, page.compressed, page.media_type])


class Staged:
    """Values on disk, in order."""

    def __init__(self) -> None:
        self._file: IO[bytes] = _unnamed()
        self._buffer: list[Any] = []
        self.count = 0

    def add(self, value: Any) -> None:
        """Append one."""
        self._buffer.append(value)
        self.count += 1
        if len(self._buffer) >= STAGED_TOGETHER:
            self._flush()

    def chunks(self) -> Iterator[list[Any]]:
        """All of them, some together."""
        self._flush()
        self._file.seek(0)
        with suppress(EOFError):
            while True:
                yield pickle.load(self._file)  # noqa: S301 (our own file, without a name)

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()

    def _flush(self) -> None:
        if self._buffer:
            self._file.seek(0, 2)
            pickle.dump(self._buffer, self._file, protocol=5)
            self._buffer = []


def _unnamed() -> IO[bytes]:
    return tempfile.TemporaryFile()


def packed_page(data: bytes, media_type: str = "application/json") -> PackedPage:
    """Bytes ready to be stored."""
    return PackedPage(sha256_hex(data), len(data), zlib.compress(data, _LEVEL), media_type)


def _write(file: IO[bytes], values: list[Any]) -> None:
    data = marshal.dumps(values)
    file.write(len(data).to_bytes(8, "little"))
    file.write(data)


def _chunks(file: IO[bytes]) -> Iterator[list[Any]]:
    while head := file.read(8):
        yield marshal.loads(file.read(int.from_bytes(head, "little")))  # noqa: S302 (our own file, without a name)
