"""Asking the store for the time now and then: readers need it even if nothing is recorded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.background.loop import repeat
from ledger.application import Ledger

PAUSE_S = 20.0


@asynccontextmanager
async def ask_for_time(ledger: Ledger) -> AsyncIterator[None]:
    """Keep asking, if other machines have the ledger too; log when this machine's clock is off."""
    if not ledger.shared:
        yield
        return

    async def ask() -> None:
        await asyncio.to_thread(ledger.clock.ask)

    failure = "the store could not be asked for the time"
    async with repeat(ask, PAUSE_S, failure=failure, stop=lambda: None):
        yield
