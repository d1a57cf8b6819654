"""Shows what is known about the services of a test if it fails."""

import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

LAST_REQUESTS = 20
DUMP_S = 2.0
LOG_BYTES = 64 * 1024
"""How much of the end of a log is shown."""

_requests: deque[str] = deque(maxlen=LAST_REQUESTS)
_services: dict[int, tuple[str, Callable[[], str]]] = {}


def note_request(method: str, url: str, status: object) -> None:
    """Remember a request of the running test."""
    _requests.append(f"{method} {url} -> {status}")


def watch_service(pid: int, name: str, log: Callable[[], str]) -> None:
    """Show the log and the threads of this process if the running test fails."""
    _services[pid] = (name, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _requests.clear()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections += _sections()
    if call.when == "teardown":
        _services.clear()
    return report


def _sections() -> list[tuple[str, str]]:
    shown = [
        ("Other threads of this process", _other_threads()),
        ("Last requests", "\n".join(_requests)),
    ]
    for pid, (name, log) in _services.items():
        _dump_threads(pid, log)
        shown.append((f"Log of {name}, pid {pid}", log()[-LOG_BYTES:]))
    return [(title, text) for title, text in shown if text]


def _other_threads() -> str:
    """Return the stacks of the threads of this process that do not run the test."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
        if ident != threading.get_ident()
    )


def _dump_threads(pid: int, log: Callable[[], str]) -> None:
    """Let a service write the stacks of its threads to its log, if it runs and knows how."""
    if not _handles_usr1(pid):
        return
    before = len(log())
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGUSR1)
    give_up = time.monotonic() + DUMP_S
    while len(log()) == before and time.monotonic() < give_up:
        time.sleep(0.01)


def _handles_usr1(pid: int) -> bool:
    """Return whether the process survives the signal."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    fields: dict[str, Any] = dict(line.split(":\t", 1) for line in status.splitlines())
    return bool(int(fields["SigCgt"], 16) >> (signal.SIGUSR1 - 1) & 1)
