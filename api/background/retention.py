"""What is due is discarded and moved to archives: soon after the start, and then every hour."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from ledger.archives import ArchiveNotWritten, BadArchive
from ledger.domain.errors import Refusal
from projections.maintenance.retention.service import ClockMoved, Ran, Retention, RetentionBusy
from projections.maintenance.retention.sweep import RetentionStopped

START_S = 10.0
"""A start has enough to do."""
PAUSE_S = 3600.0

log = logging.getLogger(__name__)


@asynccontextmanager
async def discarding(retention: Retention) -> AsyncIterator[None]:
    """Discards what is due until it is left, which waits for what is under way to break off."""
    stopping = asyncio.Event()
    task = asyncio.create_task(_Discarding(retention).until(stopping))
    try:
        yield
    finally:
        stopping.set()
        retention.stop()
        await task


class _Discarding:
    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self._clock_moved = False

    async def until(self, stopping: asyncio.Event) -> None:
        pause_s = START_S
        while not await _is_set(stopping, pause_s):
            await self._keep_up()
            pause_s = PAUSE_S

    async def _keep_up(self) -> None:
        """What cannot be done now is tried again next time."""
        try:
            ran = await asyncio.to_thread(self._retention.run_if_worthwhile)
        except ClockMoved as error:
            self._tell_of_clock(error)
            return
        except (RetentionBusy, RetentionStopped) as error:
            log.info("nothing more is discarded this time: %s", error)
        except (ArchiveNotWritten, BadArchive, Refusal) as error:
            log.error("what is due could not be discarded and archived: %s", error)  # noqa: TRY400 - expected, no traceback
        except Exception:
            log.exception("what is due could not be discarded and archived")
        else:
            _tell(ran)
        self._clock_moved = False

    def _tell_of_clock(self, error: ClockMoved) -> None:
        """Once: somebody has to do something about it, and the doctor says it too."""
        if not self._clock_moved:
            log.critical("%s", error)
        self._clock_moved = True


async def _is_set(stopping: asyncio.Event, within_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), within_s)
    return stopping.is_set()


def _tell(ran: Ran) -> None:
    done = "; ".join(outcome(ran))
    if done:
        log.info("%s", done)
    if ran.swept is not None and ran.swept.parked:
        log.warning(
            "%s cannot be read and stays, see `job-ledger parked list`", ", ".join(ran.swept.parked)
        )


def outcome(ran: Ran) -> Iterator[str]:
    """What a run has done, in words; nothing if it had nothing to do."""
    swept, compacted = ran
    if swept is not None and (swept.trees or swept.streams):
        yield f"discarded {what(swept.trees, swept.jobs, swept.streams)}"
    if compacted is not None:
        events, size = counted(compacted.events, "event"), counted(compacted.bytes, "byte")
        yield f"archived {events} in {compacted.archive}, {size}"


def what(trees: int, jobs: int, streams: int) -> str:
    """So much of each."""
    return (
        f"{counted(jobs, 'job')} in {counted(trees, 'tree')},"
        f" and {counted(streams, 'other stream')}"
    )


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
