"""Find leases that have run out: their attempts are lost, jobs are abandoned or asked to stop.

Every process looks. Each loss and each end is one transaction that rests on the lease as it was
found, so two that find the same record it once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, assert_never

from ledger.application import Ledger
from ledger.domain.commands import Command
from ledger.domain.errors import Refusal
from ledger.domain.errors.store import ConcurrentChange, StoreUnreachable
from ledger.domain.events.producers import JobCancelRequested
from ledger.domain.producers.commands import AbandonJob, LoseProducer, RequestCancel
from ledger.domain.producers.leases import Forget, Lease, LeaseChange, expected
from ledger.leases.figures import last_report
from ledger.store.seam import Cursor
from ledger.store.tables import leases
from ledger.store.writer import Caller

T = TypeVar("T")

LOOK_S = 2.0
"""More seldom than a pause of the service time, a quiet service would seem to be away."""
AT_ONCE = 200
"""Leases that are settled before others are looked for."""
DEADLINE_GRACE_S = 60
"""How long a job has to stop that is asked to because of its deadline."""

_SYSTEM = Caller("system", "")

log = logging.getLogger(__name__)


class Watch:
    """Looks for leases that are over, as often as it is asked to."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def look(self) -> None:
        """Settle all that is over. Raise `StoreFailed`.

        A job that cannot be settled keeps no other from it; why it could not is raised in the end.
        """
        if not await asyncio.to_thread(self._ledger.read, leases.some_are_there):
            return
        failures: list[Exception] = []
        tried: set[tuple[str, int]] = set()
        while True:
            over, late = await self._ledger.write(self._find)
            await _each(self._ask_to_stop, late, failures)
            new = [lease for lease in over if (lease.job, lease.due) not in tried]
            tried.update((lease.job, lease.due) for lease in new)
            settled = await _each(self._settle, new, failures)
            await self._correct([lease for lease in new if settled.get(lease.job)], failures)
            if not new:
                break
        if failures:
            raise failures[0]

    def _find(self, cursor: Cursor) -> tuple[list[Lease], list[Lease]]:
        leases.be_there(cursor, self._ledger.clock_parameter())
        return [*leases.overdue(cursor, AT_ONCE)], [*leases.past_deadline(cursor, AT_ONCE)]

    async def _settle(self, lease: Lease) -> bool:
        return await self._execute(_after(lease))

    async def _ask_to_stop(self, lease: Lease) -> None:
        job = await asyncio.to_thread(self._ledger.job, lease.job)
        if job is not None:
            request = JobCancelRequested(DEADLINE_GRACE_S)
            if not await self._execute(RequestCancel(job.owner, job.uuid, request)):
                return
        await self._ledger.write(lambda cursor: leases.drop_deadline(cursor, lease.job))

    async def _execute(self, command: Command) -> bool:
        """Return whether it was decided; if not, the lease is left to be looked at again."""
        try:
            await self._ledger.execute(command, _SYSTEM)
        except (Refusal, StoreUnreachable) as error:
            log.info("%s: %s", type(command).__name__, error)
            return isinstance(error, Refusal) and not isinstance(error, ConcurrentChange)
        return True

    async def _correct(self, over: Sequence[Lease], failures: list[Exception]) -> None:
        """Let rows say what the record does that are as they were: nobody would look at them."""
        found = {lease.job: lease for lease in over}
        left = await asyncio.to_thread(
            self._ledger.read, lambda cursor: leases.find_many(cursor, list(found))
        )
        same = [lease for job, lease in left.items() if lease.due == found[job].due]
        recorded = await _each(self._recorded, same, failures)
        if recorded:
            changes = [*recorded.values()]
            await self._ledger.write(lambda cursor: self._change(cursor, changes, found))

    async def _recorded(self, lease: Lease) -> LeaseChange:
        job = await asyncio.to_thread(self._ledger.job, lease.job)
        if job is None or job.produced is None:
            return Forget(lease.job)
        return expected(job, job.produced, self._ledger.clock.now())

    def _change(
        self, cursor: Cursor, changes: Sequence[LeaseChange], found: dict[str, Lease]
    ) -> None:
        leases.be_there(cursor, self._ledger.clock_parameter())
        now = leases.find_many(cursor, [change.job for change in changes])
        leases.apply(
            cursor,
            [
                change
                for change in changes
                if change.job in now and now[change.job].due == found[change.job].due
            ],
        )


async def _each(
    act: Callable[[Lease], Awaitable[T]], some: Sequence[Lease], failures: list[Exception]
) -> dict[str, T]:
    """Act on each, whatever becomes of the others; return what came of it, by job."""
    done: dict[str, T] = {}
    for lease, result in zip(
        some, await asyncio.gather(*map(act, some), return_exceptions=True), strict=True
    ):
        if isinstance(result, BaseException):
            failures += [result] if isinstance(result, Exception) else []
        else:
            done[lease.job] = result
    return done


def _after(lease: Lease) -> Command:
    """Return what follows once this lease is over."""
    match lease.awaits:
        case "beat":
            return LoseProducer(lease.job, lease.attempt, last_report(lease), due=lease.due)
        case "return" | "end" | "start" | "seal":
            return AbandonJob(lease.job, lease.attempt, lease.due)
        case _:
            assert_never(lease.awaits)
