"""Endings of logins that other nodes have recorded: what is remembered here ends with them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, NoReturn

from api.data.private_tables import PlainTables
from ledger.domain.errors import StoreFailed
from ledger.store.tables import login_revocations as table

KNOWN_S = 1.0
"""Whatever has ended is remembered no longer than this, whatever happens."""
POLL_S = 0.3

log = logging.getLogger(__name__)


class Ended(NamedTuple):
    """All logins of an account ended, by the ending of this number."""

    nth: int
    account: str


class Endings:
    """Looks for endings, where several nodes share the accounts. For one event loop."""

    def __init__(
        self,
        tables: PlainTables,
        *,
        shared: bool,
        told: Callable[[Ended], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.shared = shared
        self._tables = tables
        self._told = told
        self._clock = clock
        self._known_at = float("-inf")
        self._last = 0
        self._own: set[int] = set()

    def known(self) -> bool:
        """Whether all endings are known of, but for those of less than `KNOWN_S` ago."""
        return not self.shared or self._clock() - self._known_at < KNOWN_S

    def note(self, ended: Ended) -> None:
        """An ending of this node's own need not be told again, unless it has been already."""
        if self.shared and ended.nth > self._last:
            self._own.add(ended.nth)

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Tells of endings until it is left; of those that are before it, nothing is remembered."""
        if not self.shared:
            yield
            return
        ended = await self._tables.read(lambda c: table.since(c, 0))
        self._last = ended[-1][0] if ended else 0
        task = asyncio.create_task(self._look_again_and_again())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _look_again_and_again(self) -> NoReturn:
        while True:
            try:
                await self._look()
            except StoreFailed as error:  # nothing remembered is good until it can be asked again
                log.warning("whose logins have ended is not known: %s", error)
            except Exception:
                log.exception("whose logins have ended is not known")
            await asyncio.sleep(POLL_S)

    async def _look(self) -> None:
        began = self._clock()
        found = await self._tables.read(lambda c: table.since(c, self._last))
        for ended in map(Ended._make, found):
            self._last = ended.nth
            if ended.nth in self._own:
                self._own.discard(ended.nth)
            else:
                self._told(ended)
        self._known_at = began
