"""The loop that keeps checkpoints while the service runs."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import pytest

from api.background import checkpoints as module
from api.background.checkpoints import keep_checkpoints
from ledger.proofs.checkpoints import Checkpoints
from ledger.proofs.tile_builder import TilingStopped
from ledger.store.tables import checkpoints as table
from ledger.store.tables.tiles import tiled
from tests.api.calling import Api
from tests.support.wait import PATIENCE_S, patience, wait_until


def size(api: Api) -> int | None:
    """Of the checkpoint that is kept."""
    with api.service.ledger.log() as log:
        kept = table.newest(log.cursor())
    return None if kept is None else kept.size


def leaves_tiled(api: Api) -> int:
    with api.service.ledger.log() as log:
        return tiled(log.cursor()).leaves


async def until_kept(api: Api, expected: int) -> None:
    await wait_until(f"kept: {expected}", lambda: size(api) == expected)


class Looks:
    """How often it was looked whether a checkpoint is due, and tried to keep one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = self.kept = 0
        look, keep = module._Keeper.keep_if_due, Checkpoints.keep

        async def counted_look(keeper: module._Keeper) -> None:
            await look(keeper)
            self.looks += 1

        def counted_keep(checkpoints: Checkpoints) -> bool:
            kept = keep(checkpoints)
            self.kept += 1
            return kept

        monkeypatch.setattr(module, "LOOK_S", 0.001)
        monkeypatch.setattr(module._Keeper, "keep_if_due", counted_look)
        monkeypatch.setattr(Checkpoints, "keep", counted_keep)

    async def three_more(self) -> None:
        """Until three more looks are over, and what followed the first two of them."""
        until = self.looks + 3
        await wait_until("three more looks", lambda: self.looks >= until)

    async def keep_three_more(self) -> None:
        until = self.kept + 3
        await wait_until("three more attempts", lambda: self.kept >= until)


@pytest.fixture(autouse=True)
def without_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the test keeps checkpoints."""
    monkeypatch.setattr("api.composition.keep_checkpoints", lambda *_: nullcontext())


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


def keeping(api: Api) -> AbstractAsyncContextManager[None]:
    return keep_checkpoints(api.service.ledger, api.service.checkpoints)


def loops() -> set[asyncio.Task[Any]]:
    """The background loops that run now; each makes and ends other tasks all the time."""
    return {task for task in asyncio.all_tasks() if "_repeat_until" in repr(task.get_coro())}


async def test_at_the_start_and_after_each_pause(
    api: Api, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If there is anything new, all of which is tiled then; until it is left."""
    monkeypatch.setattr("api.background.checkpoints.PAUSE_S", 0.001)
    await api.job()
    before = loops()
    async with keeping(api):
        await until_kept(api, 1)
        await looks.keep_three_more()
        assert size(api) == 1
        await api.job()
        await until_kept(api, 2)
        # An event between tiling and signing is in the checkpoint, and tiled the next time.
        await wait_until("all is tiled", lambda: leaves_tiled(api) == 2)
    assert loops() == before, "nobody is left to keep more"
    assert size(api) == 2


async def test_a_pause_is_over_after_many_events(
    api: Api, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it is a minute."""
    monkeypatch.setattr("api.background.checkpoints.MANY_EVENTS", 3)
    await api.job()
    async with keeping(api):
        await until_kept(api, 1)
        await api.job()
        await api.job()
        await looks.three_more()
        assert size(api) == 1
        await api.job()
        await until_kept(api, 4)


def test_a_pause_is_a_minute() -> None:
    assert (module.PAUSE_S, module.MANY_EVENTS) == (60, 1000)


async def test_stopping_waits_for_a_checkpoint_under_way(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would read a closed ledger; long work is asked to stop."""
    begun, ended = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def keep(checkpoints: Checkpoints) -> bool:
        loop.call_soon_threadsafe(begun.set)
        assert checkpoints._stopping.wait(PATIENCE_S)
        ended.append(True)
        raise TilingStopped

    monkeypatch.setattr(Checkpoints, "keep", keep)
    async with keeping(api), patience("it is under way"):
        await begun.wait()
    assert ended == [True]


@pytest.mark.usefixtures("looks")
async def test_a_failed_checkpoint_is_tried_again(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And the log says so."""
    monkeypatch.setattr("api.background.checkpoints.PAUSE_S", 0.001)
    keep, failures = Checkpoints.keep, [OSError("the disk is away")]

    def fail_first(checkpoints: Checkpoints) -> bool:
        if failures:
            raise failures.pop()
        return keep(checkpoints)

    monkeypatch.setattr(Checkpoints, "keep", fail_first)
    await api.job()
    with caplog.at_level(logging.ERROR):
        async with keeping(api):
            await until_kept(api, 1)
    assert "no checkpoint could be made" in caplog.text
