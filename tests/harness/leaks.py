"""A test leaves nothing behind that could disturb the next one: no thread, no failure unheard."""

import logging
import threading
import time
from collections.abc import Iterator

import pytest

END_S = 30.0
"""Threads that were told to end have so long to do so."""
SHARED = ("list", "ThreadPoolExecutor", "AnyIO worker")
"""Threads of pools that the product keeps for the life of a process."""

_unheard: list[str] = []


class _Unheard(logging.Handler):
    """Keeps what asyncio can only log: exceptions of futures and tasks that nobody awaited."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            _unheard.append(record.getMessage())


def pytest_configure() -> None:
    logging.getLogger("asyncio").addHandler(_Unheard())


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test whose threads go on, or during which an exception reached nobody."""
    before = set(threading.enumerate())
    _unheard.clear()
    yield
    left = _wait_for_ends(before)
    assert not left, f"threads that the test left behind: {left}"
    assert not _unheard, (
        f"exceptions that nobody awaited, of this test or an earlier one: {_unheard}"
    )


def _wait_for_ends(before: set[threading.Thread]) -> list[str]:
    give_up = time.monotonic() + END_S
    while True:
        left = [
            thread.name
            for thread in threading.enumerate()
            if thread not in before and not thread.name.startswith(SHARED)
        ]
        if not left or time.monotonic() > give_up:
            return left
        time.sleep(0.005)
