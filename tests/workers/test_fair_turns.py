"""Accounts take turns: what one of them wants keeps nobody else waiting for more than a turn."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from api.composition import open_service
from api.service.settings import Settings
from ledger.domain.commands.drives import CreateDrives, NewDrive
from ledger.domain.events.drives import DriveDefinition
from ledger.images.chunk_layout import Chunking
from ledger.store.writer import Caller
from ledger.workers import chunk_intake
from ledger.workers.chunk_intake import ChunkIntake
from ledger.workers.fair_turns import FairTurns
from tests.support.wait import PATIENCE_S, wait_until


async def let_others_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Work:
    """Takes turns, and notes in which order; a turn lasts until it is let go."""

    def __init__(self, at_once: int) -> None:
        self.turns = FairTurns(at_once)
        self.began: list[str] = []
        self._ends: list[asyncio.Event] = []

    async def _work(self, account: str) -> None:
        async with self.turns.turn(account):
            self.began.append(account)
            self._ends.append(end := asyncio.Event())
            await end.wait()

    async def begin(self, *accounts: str) -> list["asyncio.Task[None]"]:
        tasks = [asyncio.create_task(self._work(account)) for account in accounts]
        await let_others_run()
        return tasks

    async def end_one(self) -> None:
        self._ends.pop(0).set()
        await let_others_run()

    async def end_all(self, tasks: Sequence["asyncio.Task[None]"]) -> list[str]:
        while self._ends:
            await self.end_one()
        await asyncio.gather(*tasks, return_exceptions=True)
        return self.began


async def test_accounts_come_in_rotation() -> None:
    """However many one of them has put in before; each in its own order."""
    work = Work(1)
    tasks = await work.begin(*"aaaabbc")
    assert await work.end_all(tasks) == [*"aabcaba"]


async def test_so_many_at_once() -> None:
    work = Work(2)
    tasks = await work.begin(*"aaab")
    assert work.began == ["a", "a"]
    await work.end_one()
    assert work.began == ["a", "a", "a"]
    assert await work.end_all(tasks) == ["a", "a", "a", "b"]


async def test_who_gives_up_takes_no_turn() -> None:
    """Neither while it waits, nor at the moment when it is given one."""
    work = Work(1)
    tasks = await work.begin(*"abcd")
    tasks[1].cancel()
    work._ends.pop(0).set()  # the turn is given to c ...
    await let_others_run()
    assert work.began == ["a", "c"]
    assert await work.end_all(tasks) == ["a", "c", "d"]


async def test_a_turn_that_comes_too_late_is_passed_on() -> None:
    turns = FairTurns(1)
    taken = asyncio.create_task(turns._take("a"))
    await taken
    late = asyncio.create_task(turns._take("b"))
    await let_others_run()
    turns._pass_on()
    late.cancel()  # it has been given the turn, and does not know yet
    await asyncio.gather(late, return_exceptions=True)
    async with asyncio.timeout(PATIENCE_S), turns.turn("c"):
        pass


OWNERS = ("loud", "loud", "loud", "quiet")
SIZE = 16384


async def test_digests_of_chunks_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One account that wants many does not keep another's waiting for all of them."""
    monkeypatch.setattr(chunk_intake, "DIGESTS_AT_ONCE", 1)
    began, held = list[str](), threading.Semaphore(0)

    def digest(self: ChunkIntake, drive: str, *_: object) -> bytes:
        began.append(owners[drive])
        assert held.acquire(timeout=PATIENCE_S)
        return b""

    monkeypatch.setattr(ChunkIntake, "_digest", digest)
    async with open_service(Settings(data=tmp_path, copying=False)) as service:
        owners = {service.new_id(): owner for owner in OWNERS}
        definition = DriveDefinition("birch", "disk", SIZE, "dssd")
        for drive, owner in owners.items():
            new = CreateDrives(owner, (NewDrive(drive, definition),), "chunked")
            await service.ledger.execute(new, Caller(owner, ""))
        digests = service.intake.chunks.digest
        wanted = [asyncio.create_task(digests(drive, 0, Chunking(SIZE, SIZE))) for drive in owners]
        waiting = service.intake.chunks._digests._waiting
        await wait_until("all wait", lambda: sum(map(len, waiting.values())) == len(OWNERS) - 1)
        for _ in wanted:
            held.release()
        await asyncio.gather(*wanted)
    assert sorted(began) == sorted(OWNERS)
    assert began.index("quiet") <= 2
