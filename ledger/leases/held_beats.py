"""Beats that are not in the store yet: those that were answered, and those that wait to be.

A beat may be answered first and written later only if it comes by the due time that this process
itself has written for the attempt. So nobody has to tell it of a loss: a lost attempt is past any
due time. While nothing can be written, nothing is held.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ledger.application import Ledger
from ledger.domain.errors import Refusal
from ledger.domain.errors.store import StoreFailed, StoreUnreachable
from ledger.domain.producers.commands import ReturnAttempt
from ledger.domain.producers.leases import Lease
from ledger.store.parameters import sliced
from ledger.store.patience import ANSWER_S
from ledger.store.seam import Cursor
from ledger.store.tables import leases
from ledger.store.tables.leases import Key, Renewal
from ledger.store.writer import Caller

HELD_S = 1.0
"""For how long a beat is held, as a rule."""
HELD_MOST_S = 2.0
"""No beat is held for longer; the grace of a lease is."""
AGAIN_S = 0.2
"""The pause before what could not be written is tried again: others may be alone for a moment."""
AT_ONCE = 500
"""Rows that are written in one transaction: everybody else who changes one waits for it."""
ATTEMPTS_MOST = 50_000
"""Of so many attempts the due time is known; a beat of any other is written before its answer."""
_US_PER_S = 1_000_000

_SYSTEM = Caller("system", "")


def boot_time_s() -> float:
    """Return a clock that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Written(NamedTuple):
    """What became of a beat: whether it renewed the row, or took a loss back; the row otherwise."""

    renewed: bool
    found: Lease | None = None


class _Pending:
    def __init__(self, renewal: Renewal, since_s: float) -> None:
        self.renewal = renewal
        self.since_s = since_s
        self.waiting: list[asyncio.Future[Written]] = []


class _Until(NamedTuple):
    attempt: int
    s: float


class HeldBeats:
    """The beats of this process. In its event loop."""

    def __init__(self, ledger: Ledger, *, elapsed_s: Callable[[], float] = boot_time_s) -> None:
        self._ledger = ledger
        self._elapsed_s = elapsed_s
        self._pending: dict[Key, _Pending] = {}
        self._due: dict[str, _Until] = {}
        """Up to when a beat of the attempt that was last written here may be held."""
        self._oldest_s = math.inf
        """When the oldest beat came that was answered, and is not written."""
        self._urgent = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        """Wakes who writes once the first of what is pending was held for long enough."""

    def may_hold(self, job: str, attempt: int) -> bool:
        """Return whether a beat that comes now may be answered before it is written."""
        now_s, due = self._elapsed_s(), self._due.get(job)
        is_stuck = now_s - self._oldest_s > HELD_MOST_S
        return due is not None and due.attempt == attempt and now_s <= due.s and not is_stuck

    def hold(self, renewal: Renewal) -> None:
        """Write it soon, together with others."""
        self._oldest_s = min(self._oldest_s, self._add(renewal).since_s)

    async def write(self, renewal: Renewal) -> Written:
        """Write it now, together with all that waits. Raise `StoreFailed`."""
        written: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._add(renewal).waiting.append(written)
        self._urgent.set()
        try:
            async with asyncio.timeout(ANSWER_S):
                return await written
        except TimeoutError:
            raise StoreUnreachable("beats cannot be written") from None

    def forget(self, job: str) -> None:
        """Hold no beat of this job before one was written."""
        self._due.pop(job, None)

    async def keep_writing(self) -> None:
        """Wait for what is to be written, and write it. Raise `StoreFailed`."""
        await self._urgent.wait()
        self._urgent.clear()
        await self.flush()

    async def flush(self) -> None:
        """Write all that is held or waits. If that fails, forget it: nobody may count on it."""
        pending, self._pending = self._pending, {}
        try:
            for some in sliced(list(pending.values()), AT_ONCE):
                await self._write_patiently(some)
        except Exception as error:
            self._give_up(pending.values(), error)
            raise
        finally:
            held_s = (each.since_s for each in self._pending.values())
            self._oldest_s = min(held_s, default=math.inf)

    def _add(self, renewal: Renewal) -> _Pending:
        key = renewal.key
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = _Pending(renewal, self._elapsed_s())
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(HELD_S, self._wake)
        else:
            pending.renewal = merged(pending.renewal, renewal)
        return pending

    def _wake(self) -> None:
        self._timer = None
        self._urgent.set()

    async def _write_patiently(self, some: Sequence[_Pending]) -> None:
        """Write them, again and again while none of them has waited for too long."""
        since_s = min(each.since_s for each in some)
        while True:
            try:
                return await self._write_some(some)
            except StoreUnreachable:
                if self._elapsed_s() - since_s > HELD_MOST_S:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def _write_some(self, some: Sequence[_Pending]) -> None:
        began_s = self._elapsed_s()
        renewals = [each.renewal for each in some]

        def write(cursor: Cursor) -> dict[Key, Lease | None]:
            leases.be_there(cursor, self._ledger.clock_parameter())
            return dict(leases.renew(cursor, renewals))

        left = await self._ledger.write(write)
        for renewal in renewals:
            if renewal.key not in left:
                self._note_due(renewal, began_s)
        await asyncio.gather(*(self._settle(each, left) for each in some))

    def _note_due(self, renewal: Renewal, began_s: float) -> None:
        if renewal.within_us is None:
            return
        self._due.pop(renewal.job, None)  # the newest come last
        self._due[renewal.job] = _Until(renewal.attempt, began_s + renewal.within_us / _US_PER_S)
        while len(self._due) > ATTEMPTS_MOST:
            del self._due[next(iter(self._due))]

    async def _settle(self, pending: _Pending, left: Mapping[Key, Lease | None]) -> None:
        renewal = pending.renewal
        found, renewed = left.get(renewal.key), renewal.key not in left
        if not renewed:
            self.forget(renewal.job)
            try:
                renewed = await self._take_back(renewal, found)
            except StoreFailed as error:
                _fail(pending, error)
                return
        for waiting in pending.waiting:
            if not waiting.done():
                waiting.set_result(Written(renewed, found))

    async def _take_back(self, renewal: Renewal, found: Lease | None) -> bool:
        """Record that a lost attempt has returned; return whether it has. Raise `StoreFailed`."""
        if found is None or found.attempt != renewal.attempt or found.awaits != "return":
            return False
        try:
            await self._ledger.execute(ReturnAttempt(renewal.job, renewal.attempt), _SYSTEM)
        except Refusal:
            return False
        self._add(renewal)
        return True

    def _give_up(self, pending: Iterable[_Pending], error: Exception) -> None:
        """Hold nothing more until it is written; what was held counts as if it had not come."""
        self._due.clear()
        for each in pending:
            _fail(each, error)


def _fail(pending: _Pending, error: Exception) -> None:
    for waiting in pending.waiting:
        if not waiting.done():
            waiting.set_exception(error)


def merged(earlier: Renewal, later: Renewal) -> Renewal:
    """Return what both write; the later one counts where they differ."""
    live = later if later.within_us is not None else earlier
    return Renewal(
        later.job,
        later.attempt,
        live.within_us,
        later.heard or earlier.heard,
        _newest(earlier.live, later.live),
        _newest(earlier.buffered, later.buffered),
        later.figures or earlier.figures,
        live.waiting,
    )


def _newest(one: int | None, other: int | None) -> int | None:
    return max((each for each in (one, other) if each is not None), default=None)
