"""Idempotency keys as requests use them: looked up, answered, one request of a key at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple
from weakref import WeakValueDictionary

from api.data.private_tables import PrivateTables
from ledger.application import Ledger
from ledger.domain.errors.store import CommitPending
from ledger.domain.idempotency import Claim, KeptAnswer
from ledger.store.patience import ANSWER_S
from ledger.store.seam import Cursor
from ledger.store.tables import idempotency_keys as table

KEYS_PER_REMOVAL = 500
"""Keys that one transaction removes; their answers may be long."""


class FoundClaim(NamedTuple):
    """A claim that holds; it has no answer if a crash came between the command and the answer."""

    claim: Claim
    answer: KeptAnswer | None


class IdempotencyKeys:
    """The keys of all accounts. For one event loop, which it never blocks."""

    def __init__(self, ledger: Ledger, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._tables = PrivateTables(ledger)
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, account: str, key: str) -> AsyncIterator[None]:
        """Let one request of a key in at a time, so that a twin finds the first one's answer.

        Raise `CommitPending` if the first one takes too long.
        """
        turn = self._turns.setdefault((account, key), asyncio.Lock())
        try:
            async with asyncio.timeout(ANSWER_S):
                await turn.acquire()
        except TimeoutError:
            raise CommitPending from None
        try:
            yield
        finally:
            turn.release()

    async def find(self, account: str, key: str) -> FoundClaim | None:
        """Return what is recorded under this key, unless it has expired."""

        def find(cursor: Cursor) -> FoundClaim | None:
            for recorded in (key, f'"{key}"'):  # to version 0.2 the quotation marks belonged to it
                claimed = table.find(cursor, account, recorded)
                if claimed is not None and not claimed.is_over(self._now()):
                    return FoundClaim(claimed.claim, table.find_answer(cursor, account, recorded))
            return None

        return await self._tables.read(find)

    async def keep(self, account: str, claim: Claim, answer: KeptAnswer) -> None:
        """Keep the answer for repeats; durable on return."""
        await self._tables.write(lambda c: table.keep(c, account, claim, answer))

    async def expire(self) -> int:
        """Remove the expired keys and return their number."""
        removed = 0
        while True:
            now = await self._tables.write(
                lambda c: table.remove_over(c, self._now(), KEYS_PER_REMOVAL)
            )
            removed += now
            if now < KEYS_PER_REMOVAL:
                return removed

    def close(self) -> None:
        """Take no more lookups; those under way end by themselves."""
        self._tables.close()
