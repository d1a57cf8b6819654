"""Progress updates by 64 callers at once, durable, with their rows.

There are two floors: the same rows written by SQLite alone in transactions of the same sizes, and
one `save()` of the eventsourcing library for each update, as in its tutorial.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from api.composition import open_ledger
from api.data.location import LEDGER_FILE
from api.service.ids import new_id
from ledger.application import Ledger
from ledger.codec import decode
from ledger.domain.aggregates import Aggregate, evolve
from ledger.domain.commands.jobs import CreateJob, StartAttempt, UpdateProgress
from ledger.store.seam import Commit, Cursor, RowKey, Rows
from ledger.store.seam import Row as Stored
from ledger.store.writer import Caller
from projections.rows import rows
from scripts.benchmarks.support.files import (
    Written,
    copy_ledger,
    events_after,
    fill_wal,
    last_position,
    opened_raw,
    replay,
)
from scripts.benchmarks.support.library import Saving
from scripts.benchmarks.support.rows import Round, Row, percentile_ms, row
from scripts.benchmarks.support.scale import MIB, Setting

CALLERS = 64
WARM_UP = 20
_CALLER = Caller("benchmark", "")


class Updated(NamedTuple):
    """A round of updates."""

    seconds: float
    latencies_s: list[float]
    batches: list[int]
    """How many events each transaction held."""

    @property
    def rate(self) -> float:
        return len(self.latencies_s) / self.seconds

    @property
    def mean_batch(self) -> float:
        return sum(self.batches) / len(self.batches)


class Updating:
    """Running jobs, one for each caller, and their progress."""

    def __init__(self, ledger: Ledger, jobs: Sequence[str]) -> None:
        self._ledger = ledger
        self._jobs = jobs
        self._done = 0
        self._batches: list[int] = []
        if not ledger.shared:  # otherwise this process would read it again
            ledger.listen(self._notice)

    @classmethod
    async def begin(
        cls, ledger: Ledger, callers: int = CALLERS, *, prepared: bool = False
    ) -> "Updating":
        """Create jobs that no worker knows of; their first updates are not measured.

        `prepared`: the store needs no filling of its WAL.
        """
        if not prepared:
            await asyncio.wrap_future(ledger.exclusive(fill_wal))
        jobs = [new_id() for _ in range(callers)]
        for job in jobs:
            await ledger.execute(CreateJob("benchmark", job, "benchmark"), _CALLER)
            await ledger.execute(StartAttempt(job, 1, "benchmark"), _CALLER)
        updating = cls(ledger, jobs)
        await updating.round(WARM_UP)
        return updating

    async def round(self, each: int) -> Updated:
        """Make updates by every caller, each after its previous one is on disk."""
        self._batches = []
        latencies: list[float] = []
        started = perf_counter()
        await asyncio.gather(*(self._one(job, each, latencies) for job in self._jobs))
        seconds = perf_counter() - started
        # The writer reports its last commit after it has woken the callers.
        await asyncio.wrap_future(self._ledger.exclusive(_do_nothing))
        self._done += each
        return Updated(seconds, latencies, self._batches)

    async def _one(self, job: str, each: int, latencies: list[float]) -> None:
        for number in range(self._done + 1, self._done + each + 1):
            done = number * MIB
            update = UpdateProgress(job, 1, min(number // 100, 99), done, 100_000 * MIB, 2 * done)
            sent = perf_counter()
            await self._ledger.execute(update, _CALLER)
            latencies.append(perf_counter() - sent)

    def _notice(self, commit: Commit) -> None:
        self._batches.append(len(commit.events))


def updates(setting: Setting) -> Row:
    """Against raw inserts and upserts of the same rows, in transactions of the same sizes."""
    return asyncio.run(_against_raw(setting))


def updates_library(setting: Setting) -> Row:
    """Against one `save()` per update."""
    return asyncio.run(_against_library(setting))


async def _against_raw(setting: Setting) -> Row:
    scale, data = setting
    floor_file = data / "floor.sqlite"
    rounds, batches = [], []
    file = data / LEDGER_FILE
    async with open_ledger(data) as opened:
        updating = await Updating.begin(opened.ledger)
        for _ in range(scale.rounds):
            copy_ledger(file, floor_file)
            position = last_position(file)
            updated = await updating.round(scale.updates_each)
            transactions = _transactions(file, position, updated.batches)
            with opened_raw(floor_file) as connection:
                seconds = replay(connection, transactions)
            rounds.append(_round(updated, len(updated.latencies_s) / seconds))
            batches.append(updated.mean_batch)
    note = f"64 callers, mean batch {sum(batches) / len(batches):.0f}, of both alike"
    return row("updates", "updates/s", rounds, at_least=0.35, note=note)


async def _against_library(setting: Setting) -> Row:
    scale, data = setting
    rounds = []
    async with open_ledger(data) as opened:
        updating = await Updating.begin(opened.ledger)
        with Saving.begin(data / "library.sqlite", CALLERS) as saving:
            for _ in range(scale.rounds):
                floor = saving.round(scale.library_saves)
                rounds.append(_round(await updating.round(scale.updates_each), floor))
    note = "floor: one caller, aggregates kept in memory, synchronous=FULL"
    return row("updates-library", "updates/s", rounds, at_least=5.0, note=note)


def _do_nothing(_: Cursor) -> None:
    pass


def _round(updated: Updated, floor: float) -> Round:
    latencies = updated.latencies_s
    return Round(
        updated.rate, floor, percentile_ms(latencies, 0.50), percentile_ms(latencies, 0.99)
    )


def _transactions(file: Path, after: int, batches: Sequence[int]) -> list[Written]:
    """Return what the service wrote after a position, in its transactions."""
    return cut(events_after(file, 0), after, batches)


def cut(events: Sequence[Stored], after: int, batches: Sequence[int]) -> list[Written]:
    """Return the events after a position in batches of these sizes, with their rows."""
    shown = list(_with_rows(events))
    start = bisect_right(shown, after, key=_position)
    transactions = []
    for size in batches:
        some = shown[start : start + size]
        start += size
        puts: dict[RowKey, Stored] = {}
        for _, its_rows in some:
            puts |= its_rows
        transactions.append(Written([event for event, _ in some], puts))
    assert start == len(shown), "an event was not reported"
    return transactions


def _with_rows(events: Iterable[Stored]) -> Iterator[tuple[Stored, Rows]]:
    """Yield every event with the rows that show its job after it."""
    states: dict[str, Aggregate | None] = {}
    for event in events:
        _, _, stream, _, topic, state, _ = event
        assert isinstance(stream, str)
        assert isinstance(topic, str)
        assert isinstance(state, bytes)
        states[stream] = evolve(states.get(stream), stream, decode(topic, state))
        yield event, rows(states[stream])


def _position(event: tuple[Stored, Rows]) -> int:
    position = event[0][0]
    assert isinstance(position, int)
    return position
