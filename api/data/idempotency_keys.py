"""Idempotency keys as requests meet them: looked up, one request of a key at a time, answered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple
from weakref import WeakValueDictionary

from api.data.private_tables import PlainTables
from ledger.application import Ledger
from ledger.domain.idempotency import Claim, KeptAnswer
from ledger.store.seam import Cursor
from ledger.store.tables import idempotency_keys as table

REMOVED_AT_ONCE = 500
"""IdempotencyKeys that are removed in one transaction; their answers may be long."""


class Found(NamedTuple):
    """A claim that holds; without an answer if whoever recorded it did not come to that."""

    claim: Claim
    answer: KeptAnswer | None


class IdempotencyKeys:
    """The claims of all accounts. For one event loop; nothing here blocks it."""

    def __init__(self, ledger: Ledger, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._tables = PlainTables(ledger)
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, account: str, key: str) -> AsyncIterator[None]:
        """One after the other: a twin finds what the first one recorded and was answered."""
        async with self._turns.setdefault((account, key), asyncio.Lock()):
            yield

    async def find(self, account: str, key: str) -> Found | None:
        """What has been recorded under this key and is not over."""

        def find(cursor: Cursor) -> Found | None:
            claimed = table.find(cursor, account, key)
            if claimed is None or claimed.is_over(self._now()):
                return None
            return Found(claimed.claim, table.find_answer(cursor, account, key))

        return await self._tables.read(find)

    async def keep(self, account: str, claim: Claim, answer: KeptAnswer) -> None:
        """Keeps the answer for repeats; durable on return."""
        await self._tables.write(lambda c: table.keep(c, account, claim, answer))

    async def expire(self) -> int:
        """Removes what is over; how many there were."""
        removed = 0
        while True:
            now = await self._tables.write(
                lambda c: table.remove_over(c, self._now(), REMOVED_AT_ONCE)
            )
            removed += now
            if now < REMOVED_AT_ONCE:
                return removed

    def close(self) -> None:
        """Takes no more lookups; those under way end by themselves."""
        self._tables.close()
