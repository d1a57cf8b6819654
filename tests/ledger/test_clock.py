"""The clock of a ledger: it orders all events, and never goes back."""

import threading
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.codec import decode
from ledger.domain.commands.jobs import CreateJob
from ledger.domain.errors import Refusal
from ledger.domain.stamps import microseconds
from ledger.store.clock import StoreClock
from ledger.store.postgres.server_clock import ServerClock
from tests.support.opened import Opened
from tests.support.world import ME, START

MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def stamps(*seconds: float) -> list[datetime]:
    """Return the stamps that the clock gives out while the machine's clock shows this."""
    shown = iter([START + timedelta(seconds=second) for second in seconds])
    clock = StoreClock(lambda: next(shown), None, START - HOUR)
    return [clock.stamp() for _ in seconds]


def recorded(opened: Opened) -> list[datetime]:
    """Return the stamps of all events, in order."""
    with opened.ledger.log() as log:
        return [decode(event.topic, event.state).recorded_at for event in log.events()]


def test_the_machines_clock_is_followed() -> None:
    assert stamps(0, 1.5) == [START, START + 1.5 * SECOND]


def test_a_clock_that_stands_still_is_helped() -> None:
    """By a microsecond at a time."""
    assert stamps(0, 0, 0) == [START, START + MICROSECOND, START + 2 * MICROSECOND]


@pytest.mark.parametrize("back", [0.9, 3600, 4 * 86400])
def test_a_clock_that_is_set_back_is_outwaited(back: float) -> None:
    """However far it went."""
    assert stamps(0, -back, 1) == [START, START + MICROSECOND, START + SECOND]


def test_an_older_stamp_does_not_take_the_place_of_a_newer_one() -> None:
    """Though it is noted by one thread while another notes the newer one."""
    clock = StoreClock(lambda: START, None, START - HOUR)
    newer = threading.Thread(target=lambda: clock.note(START + HOUR))

    class Slow(datetime):
        def __gt__(self, other: datetime) -> bool:
            newer.start()
            newer.join(0.05)  # as long as the comparison takes
            return super().__gt__(other)

    clock.note(Slow.fromisoformat(START.isoformat()))
    newer.join()
    assert clock.newest == START + HOUR


@given(st.lists(st.integers(-10_000_000, 10_000_000), min_size=2))
def test_stamps_strictly_grow(millis: list[int]) -> None:
    """Whatever the machine's clock does."""
    given = stamps(*(milli / 1_000 for milli in millis))
    assert all(earlier < later for earlier, later in pairwise(given))


def test_a_clock_that_is_set_back_stands_still_over_a_restart(tmp_path: Path) -> None:
    """The newest stamp is in the file."""
    file, shown = tmp_path / "ledger.sqlite", [START]
    with Opened(file, now=lambda: shown[0]) as opened:
        opened.do(CreateJob(ME, "one", "x"))
    shown[0] = START - 96 * HOUR
    with Opened(file, now=lambda: shown[0]) as opened:
        assert opened.ledger.clock.now() == START + MICROSECOND
        opened.do(CreateJob(ME, "two", "x"))
        shown[0] = START + HOUR
        opened.do(CreateJob(ME, "three", "x"))
        assert recorded(opened) == [START, START + MICROSECOND, START + HOUR]


def test_what_was_not_recorded_does_not_hold_the_clock(tmp_path: Path) -> None:
    """A clock that was ahead for a moment, while only refused commands came, may go back."""
    shown = [START]
    with Opened(tmp_path / "ledger.sqlite", now=lambda: shown[0]) as opened:
        opened.do(CreateJob(ME, "one", "x"))
        shown[0] = START + 96 * HOUR
        with suppress(Refusal):
            opened.do(CreateJob(ME, "one", "x"))
        shown[0] = START + SECOND
        opened.do(CreateJob(ME, "two", "x"))
        assert recorded(opened) == [START, START + SECOND]


class Machine:
    """A machine whose time passes by itself, and a server's clock that it asks."""

    def __init__(self) -> None:
        self.elapsed_s = 100.0
        self.server = ServerClock(elapsed_s=lambda: self.elapsed_s)

    def ask(self, shown: datetime, took_s: float = 0.0) -> None:
        """The server's clock shows this when it answers, which takes a while to arrive."""
        asked_s = self.server.begin()
        self.elapsed_s += took_s
        self.server.note(microseconds(shown), asked_s)


def test_the_servers_clock_goes_on_between_questions() -> None:
    machine = Machine()
    machine.ask(START)
    machine.elapsed_s += 7.5
    assert machine.server() == START + 7.5 * SECOND


def test_a_late_answer_does_not_set_the_clock_back() -> None:
    """An answer that was under way for long tells less than an earlier one."""
    machine = Machine()
    machine.ask(START)
    machine.ask(START + SECOND, took_s=5)
    assert machine.server() == START + 5 * SECOND


@pytest.mark.parametrize("by", [-96 * HOUR, -HOUR, HOUR, 96 * HOUR])
def test_a_server_whose_clock_was_set_is_followed(by: timedelta) -> None:
    """By what is read; stamps still never go back."""
    machine = Machine()
    machine.ask(START)
    machine.ask(START + by, took_s=1)
    assert machine.server() == START + by


def test_a_difference_counts_as_far_as_it_is_certain() -> None:
    """The answer may have been under way for as long as it took."""
    machine = Machine()
    machine.ask(START, took_s=5)
    assert machine.server.offset(lambda: START + 4 * SECOND) == timedelta(0)
    assert machine.server.offset(lambda: START + 7 * SECOND) == 2 * SECOND
    assert machine.server.offset(lambda: START - 2 * SECOND) == -2 * SECOND
