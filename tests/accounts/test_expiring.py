"""What is deleted once its time has come."""

import asyncio
import logging

import pytest

import api.background.expiry
import api.background.loop
from api.background.expiry import Expiring, delete_expired, expiring_things
from api.composition import open_service
from api.service.settings import Settings
from ledger.domain.errors.store import StoreUnreachable
from tests.support.wait import patience, wait_until


class _Things:
    """Counts how often it was asked to delete; `broken`, it cannot."""

    def __init__(self, *, broken: bool = False) -> None:
        self.asked = 0
        self._broken = broken

    async def expire(self) -> int:
        self.asked += 1
        if self._broken:
            raise StoreUnreachable("the disk is away")
        return 2

    async def until(self, asked: int) -> None:
        await wait_until(f"asked {asked} times", lambda: self.asked >= asked)


async def test_at_the_start_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in the list is deleted at once and after each pause, until it is left."""
    monkeypatch.setattr(api.background.expiry, "PAUSE_S", 0.001)
    first, second = _Things(), _Things()
    before = asyncio.all_tasks()
    async with delete_expired(
        [Expiring("firsts", first.expire), Expiring("seconds", second.expire)]
    ):
        await first.until(3)
        await second.until(2)
    assert asyncio.all_tasks() <= before, "nobody is left to ask again"


async def test_once_until_the_pause_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause is an hour."""
    things, begun = _Things(), asyncio.Event()
    pauses: list[tuple[float, int]] = []

    async def pause(stopping: asyncio.Event, seconds: float) -> None:
        pauses.append((seconds, things.asked))
        if seconds:
            begun.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(api.background.loop, "_pause", pause)
    async with delete_expired([Expiring("things", things.expire)]), patience("a pause"):
        await begun.wait()
    assert pauses == [(0, 0), (3600, 1)]


async def test_what_cannot_be_deleted_keeps_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged and tried again."""
    monkeypatch.setattr(api.background.expiry, "PAUSE_S", 0.001)
    caplog.set_level(logging.INFO)
    broken, whole = _Things(broken=True), _Things()
    async with delete_expired(
        [Expiring("relics", broken.expire), Expiring("things", whole.expire)]
    ):
        await broken.until(2)
        await whole.until(2)
    assert "expired relics could not be deleted" in caplog.text
    assert "deleted 2 expired things" in caplog.text


async def test_expiring_things(tmp_path) -> None:
    """A service's sessions and idempotency keys do, and what it signs with."""
    async with open_service(Settings(data=tmp_path, copying=False)) as service:
        things = {thing.name: await thing.expire() for thing in expiring_things(service)}
    names = ("sessions", "tokens", "known places", "idempotency keys", "hourly keys")
    assert things == dict.fromkeys(names, 0)
