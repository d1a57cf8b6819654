"""Fails a test that leaves something behind: a thread, or an exception that nobody saw."""

import logging
import threading
import time
from collections.abc import Iterator

import pytest

END_S = 30.0
"""How long threads may take to end after a test."""

_lost: list[str] = []


class _LostExceptions(logging.Handler):
    """Collects what asyncio can only log: exceptions of futures and tasks that nobody awaited."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            _lost.append(record.getMessage())


def pytest_configure() -> None:
    logging.getLogger("asyncio").addHandler(_LostExceptions())


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test whose threads keep running, or during which an exception was lost."""
    before = set(threading.enumerate())
    _lost.clear()
    yield
    left = _wait_for_ends(before)
    assert not left, f"threads that the test left behind: {left}"
    assert not _lost, f"exceptions that nobody awaited, of this test or an earlier one: {_lost}"


def _wait_for_ends(before: set[threading.Thread]) -> list[str]:
    give_up = time.monotonic() + END_S
    while True:
        left = [thread.name for thread in threading.enumerate() if thread not in before]
        if not left or time.monotonic() > give_up:
            return left
        time.sleep(0.005)
