"""Turns at work that takes a while: accounts take turns, however many each wants."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairTurns:
    """Hands out a number of turns at once. For the thread of one event loop.

    An account waits for at most one turn of each other account, and for its own in order.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Who waits, by account; the account at the front is next."""

    @asynccontextmanager
    async def turn(self, account: str) -> AsyncIterator[None]:
        """Hold a turn for the duration of the block."""
        await self._take(account)
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, account: str) -> None:
        if self._free:
            self._free -= 1
            return
        given = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account, deque()).append(given)
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():
                self._pass_on()  # the turn was given at the same moment
            raise

    def _pass_on(self) -> None:
        """Give the turn to the next account; skip those who no longer wait."""
        while self._waiting:
            account = next(iter(self._waiting))
            waiting = self._waiting.pop(account)
            given = waiting.popleft()
            if waiting:
                self._waiting[account] = waiting  # behind all others
            if not given.done():
                given.set_result(None)
                return
        self._free += 1
