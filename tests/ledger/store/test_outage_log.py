"""The log of what is tried again and again: it says what matters, and not each time."""

import logging
from collections.abc import Callable

import pytest

from ledger.domain.errors import Expected
from ledger.domain.errors.store import StoreUnreachable
from ledger.store.patience import LOGGED_S, OutageLog


class Trying:
    """Something that fails five times a second, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._outage = OutageLog(
            logging.getLogger("tests"), "nothing is heard", elapsed_s=lambda: self.now
        )

    def fail(self, error: Callable[[], Exception], for_s: float) -> None:
        until = self.now + for_s
        while self.now < until:
            self._outage.failed(error())
            self.now += 0.2

    def work(self, times: int = 1) -> None:
        for _ in range(times):
            self._outage.works()


def away() -> Exception:
    return StoreUnreachable("the server is away")


@pytest.fixture
def trying(caplog: pytest.LogCaptureFixture) -> Trying:
    caplog.set_level(logging.INFO)
    return Trying()


def test_an_outage_is_told_when_it_begins_each_minute_and_when_it_ends(
    trying: Trying, caplog: pytest.LogCaptureFixture
) -> None:
    """So is the next one."""
    trying.work(times=3)
    assert caplog.messages == []
    for _ in range(2):
        caplog.clear()
        trying.fail(away, for_s=2 * LOGGED_S + 30)
        trying.work(times=3)
        first, *between, last = caplog.messages
        assert first == "nothing is heard: the server is away"
        assert between == [f"nothing is heard for {n * 60} s: the server is away" for n in (1, 2)]
        assert last == "nothing is heard: over after 150 s"
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_what_is_worse_is_told_at_once(trying: Trying, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of the program with its stack, and only once in a minute, too."""
    trying.fail(away, for_s=1)
    trying.fail(lambda: ZeroDivisionError("a fault"), for_s=1)
    trying.fail(away, for_s=1)
    told = [(record.levelno, bool(record.exc_info)) for record in caplog.records]
    assert told == [(logging.WARNING, False), (logging.ERROR, True)]


def test_an_error_that_words_itself_needs_no_stack(
    trying: Trying, caplog: pytest.LogCaptureFixture
) -> None:
    """Though nobody expected it here."""
    trying.fail(lambda: Expected("there is no room"), for_s=1)
    (record,) = caplog.records
    assert (record.levelno, bool(record.exc_info)) == (logging.ERROR, False)
