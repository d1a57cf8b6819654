"""Several processes that answer requests at one address, over one ledger in PostgreSQL."""

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENDED_ON_REQUEST = (0, -signal.SIGTERM)
"""How a process ends that was asked to stop; the latter if it had hardly begun."""
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def fork_processes(processes: int, once_forked: Callable[[], None]) -> int | None:
    """Fork this process, which must not have threads or connections yet.

    `once_forked` is called in this one. Returns the number of the process in each of them, from 0
    up, and None in this one, once they have ended. They all stop with the first that ends, or with
    this one. Raises `SystemExit` with the exit code of the first that failed.
    """
    pids: list[int] = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            _end_with_parent()
            return number
        pids.append(pid)
    with _forward_signals(pids):
        once_forked()
        _wait(pids)
    return None


def _end_with_parent() -> None:
    """Ask for SIGTERM when the parent ends: if it is killed, nothing else stops us."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _forward_signals(pids: list[int]) -> Iterator[None]:
    """Pass requests to stop on to all of them."""

    def stop(number: int, frame: FrameType | None) -> None:
        _stop(pids)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGTERM)


def _wait(pids: list[int]) -> None:
    code = 0
    while pids:
        pid, status = os.wait()
        pids.remove(pid)
        _stop(pids)
        ended = os.waitstatus_to_exitcode(status)
        if ended not in _ENDED_ON_REQUEST:
            code = code or max(ended, 1)
    if code:
        raise SystemExit(code)
