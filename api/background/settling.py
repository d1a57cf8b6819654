"""Stopping what nobody works on: jobs in the queue, and groups, as long as they are asked to stop.

Their producers would never be told. A job may register or return to the queue after a request was
recorded, so this looks again and again; a request on this node has it look at once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from api.background.loop import repeat
from ledger.application import Ledger
from ledger.domain.errors import Refusal
from ledger.domain.producers.commands import SettleJob
from ledger.store.writer import Caller
from projections.views.stops import unattended_stops

PAUSE_S = 2.0
AT_ONCE = 200
"""Jobs that are stopped before others may be decided about."""
_SYSTEM: Final = Caller("system", "")

log = logging.getLogger(__name__)


@asynccontextmanager
async def settle_unattended(ledger: Ledger, wanted: asyncio.Event) -> AsyncIterator[None]:
    """Stop what nobody works on from time to time, and whenever `wanted` is set."""

    async def settle() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(wanted.wait(), PAUSE_S)
        wanted.clear()
        await settle_all(ledger)

    async with repeat(settle, 0, failure="jobs on which nobody works could not be stopped"):
        yield


async def settle_all(ledger: Ledger) -> None:
    """Stop all of them that are there; one that was tried in vain waits for the next time."""
    tried: set[str] = set()
    while True:
        found = await asyncio.to_thread(ledger.read, lambda c: unattended_stops(c, AT_ONCE))
        new = [job for job in found if job not in tried]
        tried.update(new)
        if not new:
            return
        await asyncio.gather(*(_settle(ledger, job) for job in new))


async def _settle(ledger: Ledger, job: str) -> None:
    try:
        await ledger.execute(SettleJob(job), _SYSTEM)
    except Refusal as refusal:
        log.info("job %s is not stopped now: %s", job, refusal)
