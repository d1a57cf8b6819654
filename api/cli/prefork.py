"""Several processes that answer at one address, over one ledger in PostgreSQL."""

import ctypes
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from api.cli.sockets import CannotListen

_WELL = (0, -signal.SIGTERM)
"""How a process may end that was asked to, early on or later."""
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def multiplied(processes: int) -> int | None:
    """Makes so many processes of this one, which must not have threads or connections yet.

    Returns in each of them, with its number from 0 up; and in this one, which has waited for their
    ends, with None. They all stop with the first that ends, or with this one. Raises `SystemExit`
    with the exit code of the first that did not end well.
    """
    pids: list[int] = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            _end_with_parent()
            return number
        pids.append(pid)
    with _forwarded(pids):
        _wait(pids)
    return None


def _end_with_parent() -> None:
    """Also if that is killed: nobody would know of its children any more."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _forwarded(pids: list[int]) -> Iterator[None]:
    """Who asks this process to stop asks them all."""

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
        if ended not in _WELL:
            code = code or max(ended, 1)
    if code:
        raise SystemExit(code)


@contextmanager
def reserved(host: str, port: int) -> Iterator[int]:
    """A port that processes of ours can all listen on, with `reuse_port`; any free one for 0.

    Raises `CannotListen` if it is taken, also if it is by others who would share it.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as looking:
            looking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            looking.bind(address)
            free = looking.getsockname()
    except OSError as error:
        raise CannotListen.at(host, port, error) from error
    with socket.socket(family, kind) as reserving:
        reserving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserving.bind(free)
        yield int(free[1])
