"""Looking after the leases of producers' jobs: rows are made, beats written, and losses found."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from api.background.loop import repeat
from ledger.application import Ledger
from ledger.domain.errors.store import StoreFailed
from ledger.leases.held_beats import HELD_MOST_S, HeldBeats
from ledger.leases.missing_leases import make_missing
from ledger.leases.watch import LOOK_S, Watch
from projections.views.views import Views

log = logging.getLogger(__name__)


@asynccontextmanager
async def look_after_leases(ledger: Ledger, views: Views, beats: HeldBeats) -> AsyncIterator[None]:
    """Make the rows that are missing; then write beats and look for leases that are over."""
    await asyncio.to_thread(_make_missing, ledger, views)
    async with (
        repeat(beats.keep_writing, 0.0, failure="beats cannot be written"),
        repeat(Watch(ledger).look, LOOK_S, failure="nobody looks who has fallen silent"),
    ):
        yield
    with suppress(StoreFailed, TimeoutError):
        async with asyncio.timeout(HELD_MOST_S):
            await beats.flush()


def _make_missing(ledger: Ledger, views: Views) -> None:
    with views.long_snapshot() as snapshot:
        jobs = snapshot.without_lease()
    made = make_missing(ledger, jobs)
    if made:
        log.info("%d running jobs had no lease, and have a fresh one", made)
