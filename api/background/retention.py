"""Discarding what is due, and archiving it: soon after the start, and then every hour.

First comes what an interrupted run left: neither a clock nor an archive that stops everything else
may keep a compaction half done.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager

from api.background.loop import repeat
from api.text.counts import counted, what
from ledger.archives import BadArchive
from projections.maintenance.retention.service import ClockMoved, Ran, Retention, RetentionBusy
from projections.maintenance.retention.sweep import RetentionStopped

START_S = 10.0
"""The start itself has enough to do."""
PAUSE_S = 3600.0

log = logging.getLogger(__name__)


def discard_due(retention: Retention) -> AbstractAsyncContextManager[None]:
    """Discard what is due; leaving waits for a run under way to break off."""
    return repeat(
        _Sweeps(retention).sweep,
        PAUSE_S,
        failure="what is due could not be discarded and archived",
        start_s=START_S,
        stop=retention.stop,
    )


class _Sweeps:
    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self._clock_moved = False

    async def sweep(self) -> None:
        await self._finish_compaction()
        already_logged, self._clock_moved = self._clock_moved, False
        try:
            ran = await asyncio.to_thread(self._retention.run_if_worthwhile)
        except ClockMoved as error:
            self._clock_moved = True
            if not already_logged:  # an operator has to act, and the doctor reports it too
                log.critical("%s", error)
        except (RetentionBusy, RetentionStopped) as error:
            log.info("nothing more is discarded this time: %s", error)
        else:
            _log(ran)

    async def _finish_compaction(self) -> None:
        try:
            await asyncio.to_thread(self._retention.finish_compaction)
        except (RetentionBusy, RetentionStopped) as error:
            log.info("no compaction is finished this time: %s", error)
        except BadArchive as error:
            log.error("a compaction cannot be finished: %s", error)  # noqa: TRY400 - expected


def _log(ran: Ran) -> None:
    done = "; ".join(outcome(ran))
    if done:
        log.info("%s", done)
    if ran.swept is not None and ran.swept.parked:
        log.warning(
            "%s cannot be read and stays, see `job-ledger parked list`", ", ".join(ran.swept.parked)
        )


def outcome(ran: Ran) -> Iterator[str]:
    """Yield what a run has done, in words; nothing if it had nothing to do."""
    swept, compacted = ran
    if swept is not None and (swept.trees or swept.streams):
        yield f"discarded {what(swept.trees, swept.jobs, swept.streams)}"
    if compacted is not None:
        events, size = counted(compacted.events, "event"), counted(compacted.bytes, "byte")
        yield f"archived {events} in {compacted.archive}, {size}"
