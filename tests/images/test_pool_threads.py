"""A pool that hangs holds its own thread; whoever needs it gives up after a while."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from ledger.domain.commands.drives import MarkDriveReady
from ledger.domain.context import ImageData
from ledger.domain.errors.pools import NotMeasured, PoolSilent
from ledger.images import pool_thread, watched_pool
from ledger.images.pool_thread import PASSED_OVER_S, SILENCE_S, Owed, Patience, PoolThread
from ledger.images.pools import Pool, Room
from ledger.images.surveys import Images, Surveys
from ledger.images.watched_pool import FILES_FEW, SPACE_S, WatchedPool
from tests.support.wait import PATIENCE_S, wait_for
from tests.support.world import Foreseen

ROOMY = Room(2**40, 10**9, 2**20)


class Hanging:
    """A thread of a pool that hangs for as long as a test likes, by a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.thread = PoolThread("nfs", lambda: self.now)
        self._begun, self.released = threading.Event(), threading.Event()

    def hang(self) -> Owed:
        owed = self.thread.ask(self._hang)
        assert self._begun.wait(PATIENCE_S)
        return owed

    def _hang(self) -> None:
        self._begun.set()
        assert self.released.wait(PATIENCE_S)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.released.set()
    hanging.thread.close()


async def test_whoever_needs_a_pool_that_hangs_is_refused(hanging: Hanging) -> None:
    """In a thread or an event loop, after the limit; from then on at once, until it answers."""
    owed, behind = hanging.hang(), hanging.thread.ask(lambda: None)
    hanging.now = SILENCE_S
    with pytest.raises(PoolSilent, match="pool nfs does not answer"):
        await asyncio.to_thread(owed.wait)
    with pytest.raises(PoolSilent):
        await behind
    hanging.now += 1
    with pytest.raises(PoolSilent):
        hanging.thread.ask(lambda: None)
    hanging.now = 0.0
    hanging.released.set()
    await hanging.thread.ask(lambda: None)


async def test_whoever_could_do_without_goes_on_sooner(hanging: Hanging) -> None:
    """Without an error."""
    hanging.hang()
    owed = hanging.thread.ask(lambda: None, needed=False)
    hanging.now = PASSED_OVER_S
    await owed
    owed.wait()
    assert not owed.has_begun


def test_a_slow_pool_is_waited_for(hanging: Hanging) -> None:
    """What counts is how long it takes for one thing, not for all that waits before."""
    done: list[int] = []

    def slowly(nth: int) -> None:
        hanging.now += SILENCE_S * 0.9
        done.append(nth)

    owed = [hanging.thread.ask(lambda nth=nth: slowly(nth)) for nth in range(5)]
    for each in owed:
        each.wait()
    assert done == [0, 1, 2, 3, 4]


def test_whoever_could_do_without_waits_for_no_queue(hanging: Hanging) -> None:
    """However soon the pool answers each of those before it."""
    hanging.hang()
    owed = hanging.thread.ask(lambda: None, needed=False)
    hanging.now = PASSED_OVER_S
    hanging.thread._busy_since = hanging.now
    owed.wait()
    assert not owed.has_begun


async def test_who_has_no_patience_left_waits_for_no_pool(hanging: Hanging) -> None:
    """Whoever needs it is refused, even if it is only slow; whoever does not goes on."""
    needed = hanging.hang()
    wish = hanging.thread.ask(lambda: None, needed=False)
    elapsed_s = 0.0
    patience = Patience(SILENCE_S, lambda: elapsed_s)
    for _ in range(2):
        with patience.waiting():
            elapsed_s += SILENCE_S / 2
    with pytest.raises(PoolSilent):
        needed.wait(patience)
    with pytest.raises(PoolSilent):
        await needed.answered(patience)
    wish.wait(patience)
    await wish.answered(patience)
    assert not wish.has_begun


def test_a_pool_is_not_asked_for_those_who_have_given_up(hanging: Hanging) -> None:
    """Else it would be asked for all of them, and whoever comes then would give up as well."""
    asked: list[str] = []
    hanging.hang()
    for_nobody = hanging.thread.ask(lambda: asked.append("for nobody"))
    with pytest.raises(PoolSilent):
        for_nobody.wait(Patience(0.0))
    hanging.released.set()
    hanging.thread.ask(lambda: asked.append("for somebody")).wait()
    assert asked == ["for somebody"]


class Asked(Owed):
    """An answer that is there; it notes with which patience it was awaited."""

    def __init__(self, noted: list[Patience]) -> None:
        super().__init__(Future())
        self._future.set_result(None)
        self._noted = noted

    async def answered(self, patience: Patience) -> None:
        self._noted.append(patience)

    def wait(self, patience: Patience | None = None) -> None:
        assert patience is not None
        self._noted.append(patience)


class Pools(Foreseen):
    """Several pools; an image in each of two is to be measured, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[Patience] = []

    def renew(self) -> Sequence[Owed]:
        return [Asked(self.noted), Asked(self.noted)]

    def measure(
        self, images: Images, found: dict[str, int | None], *, needed: bool = True
    ) -> Sequence[Owed]:
        super().measure(images, found, needed=needed)
        return [Asked(self.noted)]


async def test_a_command_has_one_patience_for_all_pools() -> None:
    """However often it asks them: it waits for several no longer than for one."""

    def attempt(images: ImageData) -> None:
        for missing in sorted({"one", "two"} - images.keys())[:1]:
            raise NotMeasured((("nfs", missing),))

    async def attempted(images: ImageData) -> None:
        attempt(images)

    pools, blocking = Pools(), Pools()
    command = MarkDriveReady("a")
    await Surveys(pools).surveyed(command, attempted)
    Surveys(blocking).surveyed_blocking(command, attempt)
    for noted in (pools.noted, blocking.noted):
        assert (len(noted), len({*noted})) == (4, 1)
        assert noted[0].left_s == SILENCE_S


def test_an_error_belongs_to_whoever_waits(hanging: Hanging) -> None:
    """The thread goes on."""
    owed = hanging.thread.ask(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        owed.wait()
    hanging.thread.ask(lambda: None).wait()


class Watched:
    """A pool whose room is what a test says, by a clock that the test sets."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.room = ROOMY
        self.measured = 0
        monkeypatch.setattr(Pool, "room", lambda _: self._measure())
        self.pool = WatchedPool(Pool("main", path), lambda: self.now)

    def _measure(self) -> Room:
        self.measured += 1
        return self.room


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    watched = Watched(tmp_path, monkeypatch)
    yield watched
    watched.pool.close()


def test_a_pool_is_silent_until_it_was_measured(watched: Watched) -> None:
    """Then its measurement holds for a while."""
    assert watched.pool.is_old
    assert watched.pool.space.silent
    watched.pool.renew().wait()
    assert not watched.pool.is_old
    assert (watched.pool.space.silent, watched.pool.space.free_bytes) == (False, 2**40)
    watched.now += SPACE_S + 0.1
    assert watched.pool.is_old


@pytest.mark.parametrize(
    "room",
    [Room(0, 10**9, 2**20), Room(2**40, FILES_FEW - 1, 2**20)],
    ids=["full", "few files"],
)
def test_a_pool_with_little_room_is_measured_each_time(watched: Watched, room: Room) -> None:
    """Nothing is refused because it was full, and a few files are not given away twice."""
    watched.room = room
    watched.pool.renew().wait()
    assert watched.pool.is_old


def test_those_who_ask_at_once_share_a_measurement(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it has begun: it may be older than the question."""
    begun, go_on = threading.Event(), threading.Event()

    def held(_: Path) -> int:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return 7

    monkeypatch.setattr(watched_pool, "data_bytes", held)
    found: dict[str, int | None] = {}
    first = watched.pool.measure(["drive"], found)
    assert begun.wait(PATIENCE_S)
    waiting = [watched.pool.renew() for _ in range(50)]
    go_on.set()
    first.wait()
    for each in waiting:
        each.wait()
    assert (found, watched.measured) == ({"drive": 7}, 1)
    watched.pool.renew().wait()
    assert watched.measured == 2


def test_a_pool_that_hangs_is_silent(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after it has begun to hang, so that placement prefers another; then it answers again."""
    begun, go_on = threading.Event(), threading.Event()
    watched.pool.renew().wait()

    def held(_: Path) -> int:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        raise OSError

    monkeypatch.setattr(watched_pool, "data_bytes", held)
    found: dict[str, int | None] = {}
    owed = watched.pool.measure(["drive"], found)
    assert begun.wait(PATIENCE_S)
    assert not watched.pool.space.silent
    watched.now = PASSED_OVER_S + 0.1
    assert (watched.pool.space.silent, watched.pool.hangs) == (True, False)
    watched.now = pool_thread.SILENCE_S + 0.1
    assert watched.pool.hangs
    go_on.set()
    wait_for("the pool answers again", lambda: not watched.pool.space.silent)
    owed.wait()
    assert found == {"drive": None}
