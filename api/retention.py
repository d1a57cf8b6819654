"""Retention, as whoever runs the service asks for it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Protocol

from api.operations import OperationRefused
from ledger.acts import Parking
from ledger.errors import Expected
from ledger.retention import Plan, cutoff_of
from ledger.store.writer import Caller
from projections.retention.keeping import Ran, Retention
from projections.retention.standing import Standing

_OPERATOR = Caller("system:operator", "")


class RetentionOperations(Protocol):
    """What can be asked of retention. Each raises `OperationRefused`."""

    async def standing(self) -> Standing:
        """How things stand."""

    async def set(self, keep: timedelta) -> None:
        """Keeps what has ended for so long from now on."""

    async def plan(self, as_of: datetime | None, keep: timedelta | None) -> Plan:
        """What a sweep would discard, or would have."""

    async def run(self, digest: str | None) -> Ran:
        """Discards and archives what is due, or just what the plan with this digest says."""

    async def confirm_clock(self) -> None:
        """Says that the wall clock is right."""

    async def parked(self) -> list[Parking]:
        """The streams that are parked, or were released and not discarded yet."""

    async def release(self, stream: str, *, skip: bool) -> None:
        """Has a parked stream tried again, or discarded unread."""


class OwnRetention:
    """The retention of a ledger that this process has open."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention

    async def standing(self) -> Standing:
        with _refusals():
            return await asyncio.to_thread(self._retention.standing)

    async def set(self, keep: timedelta) -> None:
        with _refusals():
            await asyncio.to_thread(self._retention.set, keep, _OPERATOR)

    async def plan(self, as_of: datetime | None, keep: timedelta | None) -> Plan:
        with _refusals():
            return await asyncio.to_thread(self._retention.plan, as_of, keep)

    async def run(self, digest: str | None) -> Ran:
        _require_digest(digest)
        with _refusals():
            return await asyncio.to_thread(self._retention.run, _OPERATOR, digest=digest)

    async def confirm_clock(self) -> None:
        with _refusals():
            await asyncio.to_thread(self._retention.confirm_clock)

    async def parked(self) -> list[Parking]:
        with _refusals():
            return await asyncio.to_thread(self._retention.parked)

    async def release(self, stream: str, *, skip: bool) -> None:
        with _refusals():
            await asyncio.to_thread(self._retention.release, stream, _OPERATOR, skip=skip)


def _require_digest(digest: str | None) -> None:
    try:
        if digest is not None:
            cutoff_of(digest)
    except ValueError:
        raise OperationRefused(f"{digest!r} is no digest of a plan") from None


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except Expected as error:
        raise OperationRefused(str(error)) from error
