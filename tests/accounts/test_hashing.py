"""Who is hashed when: `api.accounts.hash_queue` and `api.accounts.hashing`."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.accounts.hash_queue import HashQueue
from api.accounts.hashing import HASHING_MAX, NICENESS, Hashing
from api.accounts.limits import LoginLimits
from api.accounts.meter import LoginMeter
from api.accounts.throttle import KNOWN, Place, QueueFull, Rank, Throttle, TooManyAttempts
from tests.accounts.clocks import Clock
from tests.support.wait import wait_until

NEW = Rank("new")
FAILING = Rank("failing", 1.0)
ORDER = ("known", "new", "failing")


def queue(length_max: int = 128, at_address_max: int = 2) -> HashQueue[str]:
    return HashQueue(length_max=length_max, at_address_max=at_address_max)


def take_all(waiting: HashQueue[str]) -> list[str]:
    taken = []
    while (value := waiting.take(failing=True)) is not None:
        taken.append(value)
    return taken


# The queue


def test_known_places_come_first() -> None:
    """Then addresses without failures, then by failures; of equals the first."""
    waiting = queue()
    ranks = [Rank("failing", 3.0), NEW, KNOWN, Rank("failing", 1.0), NEW, KNOWN]
    for n, rank in enumerate(ranks):
        assert waiting.add(str(n), rank, f"10.0.0.{n}") is None
    assert take_all(waiting) == ["2", "5", "1", "4", "3", "0"]


def test_the_last_class_is_taken_only_if_asked_for() -> None:
    waiting = queue()
    waiting.add("guess", FAILING, "10.0.0.1")
    assert waiting.take(failing=False) is None
    waiting.add("new", NEW, "10.0.0.2")
    assert waiting.take(failing=False) == "new"
    assert waiting.take(failing=True) == "guess"


def test_the_lowest_and_newest_makes_room() -> None:
    """The newcomer itself, if nobody is lower."""
    waiting = queue(length_max=3)
    for n in range(3):
        waiting.add(f"guess {n}", FAILING, f"10.0.0.{n}")
    assert waiting.add("guess 3", FAILING, "10.0.0.3") == "guess 3"
    assert waiting.add("new", NEW, "10.0.0.4") == "guess 2"
    assert waiting.add("known", KNOWN, "10.0.0.5") == "guess 1"
    assert take_all(waiting) == ["known", "new", "guess 0"]


def test_two_wait_from_an_unknown_address() -> None:
    """A known place there is not concerned."""
    waiting = queue()
    for name, rank, dropped in (
        ("a", NEW, None),
        ("b", FAILING, None),
        ("c", NEW, "c"),
        ("d", KNOWN, None),
    ):
        assert waiting.add(name, rank, "10.0.0.1") == dropped
    assert waiting.add("e", NEW, "10.0.0.2") is None


ranks = st.one_of(
    st.just(KNOWN), st.just(NEW), st.builds(Rank, st.just("failing"), st.floats(0.5, 9))
)
steps = st.lists(st.one_of(st.tuples(ranks, st.sampled_from("abcd")), st.booleans()), max_size=60)


@given(steps)
def test_whoever_is_dropped_was_lowest(steps: list[tuple[Rank, str] | bool]) -> None:
    """Nobody waits behind a lower rank, and nobody gives way to one; the bounds hold."""
    waiting: HashQueue[tuple[int, float, int, str]] = HashQueue(length_max=5, at_address_max=2)
    model: list[tuple[int, float, int, str]] = []
    for n, step in enumerate(steps):
        if isinstance(step, bool):
            first = min(model, default=None)
            expected = first if first is not None and (step or first[0] < 2) else None
            assert waiting.take(failing=step) == expected
            if expected is not None:
                model.remove(expected)
            continue
        rank, network = step
        value = (ORDER.index(rank.place_class), rank.failures, n, network)
        beside = sum(each[3] == network and each[0] > 0 for each in model)
        dropped = waiting.add(value, rank, network)
        if value[0] > 0 and beside == 2:
            assert dropped == value
            continue
        model.append(value)
        if len(model) > 5:
            assert dropped == max(model)
            model.remove(max(model))
        else:
            assert dropped is None
    assert len(waiting) == len(model)


# Turns


@pytest.fixture
async def hashing() -> AsyncIterator[Hashing]:
    made = Hashing(LoginLimits(), LoginMeter())
    yield made
    made.close()


class Turns:
    """Turns that last until they are ended, in the order in which they began."""

    def __init__(self, hashing: Hashing) -> None:
        self._hashing = hashing
        self._ends: dict[str, asyncio.Event] = {}
        self.begun: list[str] = []

    def begin(self, name: str, rank: Rank, network: str = "") -> asyncio.Task[None]:
        self._ends[name] = asyncio.Event()
        return asyncio.create_task(self._take(name, rank, network or name))

    def end(self, name: str) -> None:
        self._ends[name].set()

    async def _take(self, name: str, rank: Rank, network: str) -> None:
        async with self._hashing.turn(lambda: rank, network):
            self.begun.append(name)
            await self._ends[name].wait()


async def test_guesses_take_one_turn(hashing: Hashing) -> None:
    """The other is free for whoever may be right, however many guess."""
    turns = Turns(hashing)
    tasks = [turns.begin(f"guess {n}", FAILING) for n in range(4)]
    await wait_until("the others wait", lambda: hashing.waiting == 3)
    assert turns.begun == ["guess 0"]
    tasks += [turns.begin("known", KNOWN)]
    await wait_until("a known place has its turn", lambda: turns.begun == ["guess 0", "known"])
    turns.end("known")
    await tasks[-1]
    assert turns.begun == ["guess 0", "known"]
    tasks += [turns.begin("new", NEW)]
    await wait_until("a new one has its turn", lambda: turns.begun[2:] == ["new"])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_whoever_waits_is_admitted_again(hashing: Hashing) -> None:
    """While it waited, others from its address have failed: nothing is hashed for it."""
    may_go_on = True

    def admit() -> Rank:
        if not may_go_on:
            raise TooManyAttempts(60)
        return NEW

    async def wait() -> None:
        async with hashing.turn(admit, "10.0.0.9"):
            pytest.fail("it has no turn")

    turns = Turns(hashing)
    running = [turns.begin(f"{n}", KNOWN) for n in range(HASHING_MAX)]
    await wait_until("all turns are taken", lambda: len(turns.begun) == HASHING_MAX)
    waiting = asyncio.create_task(wait())
    await wait_until("one waits", lambda: hashing.waiting == 1)
    may_go_on = False
    turns.end("0")
    with pytest.raises(TooManyAttempts):
        await waiting
    turns.end("1")
    await asyncio.gather(*running)


async def test_a_turn_that_is_cancelled_is_free_again(hashing: Hashing) -> None:
    """While it waits, in the moment in which it is granted, and while it lasts."""
    turns = Turns(hashing)
    running = [turns.begin(f"{n}", KNOWN) for n in range(HASHING_MAX)]
    await wait_until("all turns are taken", lambda: len(turns.begun) == HASHING_MAX)
    waiting, granted = turns.begin("waiting", KNOWN), turns.begin("granted", KNOWN)
    await wait_until("two wait", lambda: hashing.waiting == 2)
    waiting.cancel()
    turns.end("0")
    # Between the end of that turn, which grants it, and the moment in which its task goes on.
    asyncio.get_running_loop().call_soon(granted.cancel)
    await running[0]
    running[1].cancel()
    await asyncio.gather(waiting, granted, running[1], return_exceptions=True)
    last = [turns.begin(f"last {n}", KNOWN) for n in range(HASHING_MAX)]
    await wait_until("both turns are free", lambda: len(turns.begun) >= 2 * HASHING_MAX)
    for n in range(HASHING_MAX):
        turns.end(f"last {n}")
    await asyncio.gather(*last)


async def test_threads_leave_the_processors_to_others(hashing: Hashing) -> None:
    """They have a low priority, which the threads that a hash starts inherit."""

    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    own = priority()
    async with hashing.turn(lambda: KNOWN, ""):
        assert await hashing.in_thread(priority) == min(19, own + NICENESS)
    assert priority() == own


# All of it


async def test_the_victim_of_ten_thousand_guesses_logs_in(hashing: Hashing, clock: Clock) -> None:
    """Within an hour, from 50 addresses, all at once each time; a right password is never refused.

    It comes from a cookie, an address that is known, and an address that is new, in the same
    moments as the guesses. Those get no more than 22 of each address hashed.
    """
    throttle = Throttle(clock, LoginLimits())
    hashed = 0

    async def guess(address: int) -> None:
        nonlocal hashed
        place = Place(f"10.0.0.{address}", None)
        async with hashing.turn(lambda: throttle.admit(place), place.network) as rank:
            await asyncio.sleep(0)
            hashed += 1
            throttle.note_wrong(place, rank)

    async def log_in(place: Place) -> Rank:
        async with hashing.turn(lambda: throttle.admit(place), place.network) as rank:
            await asyncio.sleep(0)
            throttle.note_right(place)
            return rank

    for n in range(200):
        guesses = [asyncio.create_task(guess(address)) for address in range(50)]
        await asyncio.sleep(0)
        logins = (
            Place("10.0.0.1", b"cookie"),  # at the address of a guesser
            Place("192.0.2.7", b"address"),
            Place(f"198.51.100.{n}", None),
        )
        admitted = await asyncio.gather(*map(log_in, logins))
        assert [rank.place_class for rank in admitted] == ["known", "known", "new"]
        refused = await asyncio.gather(*guesses, return_exceptions=True)
        assert all(error is None or isinstance(error, TooManyAttempts) for error in refused)
        clock.s += 3600 / 200
    assert 50 * 20 <= hashed <= 50 * 22


async def test_a_full_queue_is_no_obstacle_to_known_places() -> None:
    """They make the lowest give way."""
    hashing = Hashing(LoginLimits(logins_waiting=3), LoginMeter())
    turns = Turns(hashing)
    tasks = [turns.begin(f"{n}", NEW) for n in range(HASHING_MAX + 3)]
    await wait_until("it is full", lambda: hashing.waiting == 3)
    tasks.append(turns.begin("known", KNOWN))
    with pytest.raises(QueueFull):
        await tasks[HASHING_MAX + 2]
    turns.end("0")
    await wait_until("a known place is next", lambda: turns.begun == ["0", "1", "known"])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    hashing.close()
