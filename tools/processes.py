"""Child processes that never outlive the script that started them."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def free_port(preferred: int = 0) -> int:
    """A free port on 127.0.0.1: the preferred one if nobody listens there, else any."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("No free port on 127.0.0.1.")


def start(command: Sequence[str | Path], *, log: Path | None = None, **options: Any) -> subprocess.Popen[bytes]:
    """Start `command` as the leader of its own process group, with output to `log` where given."""
    with contextlib.ExitStack() as stack:
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            options |= {"stdout": stack.enter_context(log.open("wb")), "stderr": subprocess.STDOUT}
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent(),
            **options,
        )


def stop(children: Sequence[subprocess.Popen[bytes]], *, grace_seconds: float = 8.0, by: int = signal.SIGTERM) -> None:
    """Ask every child's group to end, then make it."""
    for child in children:
        _signal_group(child, by)
    end = time.monotonic() + grace_seconds
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, end - time.monotonic()))
    for child in children:
        # Also where the leader is gone: a helper of it may be left in the group.
        _signal_group(child, signal.SIGKILL)
        child.wait()


@contextlib.contextmanager
def stop_signals_raise() -> Iterator[None]:
    """Within this block, a request to end raises KeyboardInterrupt like Ctrl-C, so that `finally` runs."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _STOP_SIGNALS}
    # A shell that runs this in the background ignores Ctrl-C for it; the script itself must not.
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def stop_signals_ignored() -> Iterator[None]:
    """Within this block a second Ctrl-C does not break the tidying up."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (*_STOP_SIGNALS, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux the kernel ends the child should this script be killed outright."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    set_parent_death_signal = 1

    def ask() -> None:
        libc.prctl(set_parent_death_signal, signal.SIGTERM)

    return ask
