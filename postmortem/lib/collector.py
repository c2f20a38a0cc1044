"""The garbage collector, told to look less often where millions of objects come and go without cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_SELDOM = (100_000, 50, 1_000)


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Look for garbage in cycles after a hundred thousand new objects, not after seven hundred; then as before."""
    before = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
