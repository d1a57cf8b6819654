"""Retention for operators and the service: sets the policy, plans, runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import NamedTuple

from ledger.application import Ledger
from ledger.archives import Shelf
from ledger.domain.aggregates.housekeeping import Parking, Terms
from ledger.domain.clock_trust import Reading, behind, behind_text, moved, moved_text, watch
from ledger.domain.commands.housekeeping import ReleaseStream, SetRetention
from ledger.domain.errors import Expected
from ledger.domain.retention_policy import Plan, cutoff_at, cutoff_of
from ledger.store.lease import acquire_within
from ledger.store.seam import Cursor
from ledger.store.tables import clock_watch
from ledger.store.writer import Caller
from projections.maintenance.retention.compaction import Compacted, compact, finish_compaction
from projections.maintenance.retention.plan import plan_as_of, plan_of
from projections.maintenance.retention.status import RetentionStatus, parked_streams, read_status
from projections.maintenance.retention.sweep import SYSTEM, RetentionStopped, Swept, sweep
from projections.streams import pending_sweeps, policy_of

TREES_PENDING = 1_000
PENDING_FOR = timedelta(days=1)
"""How many discarded trees, or how old ones, make a new archive worthwhile."""


OPERATOR = Caller("system:operator", "")


class RetentionBusy(Expected):
    """A rebuild, or another run, is under way."""


class ClockMoved(Expected):
    """The clock was set, or is behind the newest event: nothing is discarded by it."""


class PlanChanged(Expected):
    """Another plan would be made now than the one with this digest, if there was one."""


class Ran(NamedTuple):
    """What a run did."""

    swept: Swept | None
    compacted: Compacted | None


class Retention:
    """The retention of one ledger. All methods block; any thread may call them."""

    def __init__(
        self,
        ledger: Ledger,
        archives: Path,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        clocks: Callable[[], Reading],
        patience_s: float = 0.0,
    ) -> None:
        """`patience_s` is how long an operator's run waits for other maintenance to end."""
        self._ledger = ledger
        self._archives = archives
        self._now = now
        self._new_id = new_id
        self._clocks = clocks
        self._patience_s = patience_s
        self._stopping = Event()

    def stop(self) -> None:
        """Stop current and later runs soon, with `RetentionStopped`."""
        self._stopping.set()

    def set(self, keep: timedelta, keep_last: int | None = None) -> Terms:
        """Keep jobs for this long from now on, and so many of each series; return what holds.

        By default as many of a series as before. Raise `KeepOutOfRange`, `KeepLastOutOfRange`.
        """
        self._ledger.execute_blocking(SetRetention(keep, keep_last), OPERATOR)
        with self._ledger.log() as stored:
            return policy_of(stored).terms(self._now())

    def status(self) -> RetentionStatus:
        """Return the policy, and what was and will be discarded by it."""
        with self._ledger.log() as stored:
            return read_status(stored, Shelf(self._archives), self._now(), self._clocks())

    def parked(self) -> list[Parking]:
        """Return the streams that are parked, or were released and not discarded yet."""
        with self._ledger.log() as stored:
            return parked_streams(stored)

    def release(self, stream: str, *, skip: bool) -> None:
        """Let the next sweep try a parked stream again or, with `skip`, discard it unread.

        Raise `NotParked`.
        """
        self._ledger.execute_blocking(ReleaseStream(stream, skip), OPERATOR)

    def plan(
        self,
        as_of: datetime | None = None,
        keep: timedelta | None = None,
        keep_last: int | None = None,
    ) -> Plan:
        """Return what a sweep would discard, or would have discarded, at a moment by a policy.

        By default the moment is now, and the policy the one that holds then.
        """
        moment = as_of or self._now()
        with self._ledger.log() as stored:
            held = policy_of(stored).terms(moment)
        terms = Terms(
            held.keep if keep is None else keep,
            held.keep_last if keep_last is None else keep_last,
        )
        return plan_as_of(self._ledger.log, Shelf(self._archives), terms, moment)

    def run(self, digest: str | None = None) -> Ran:
        """Discard what is due, or exactly the plan with this digest, and archive it.

        Raise `RetentionBusy`, `ClockMoved`, `PlanChanged`, `NotDue`, `ArchiveNotWritten`,
        `BadArchive` and `RetentionStopped`.
        """
        with self._maintaining(self._patience_s):
            self._check_clocks()
            swept = self._sweep(OPERATOR, digest)
            return Ran(swept, self._compact(OPERATOR))

    def run_if_worthwhile(self) -> Ran:
        """Run as the service does from time to time: write an archive only if it is worthwhile."""
        with self._maintaining():
            self._check_clocks()
            swept = self._sweep(SYSTEM, None)
            return Ran(swept, self._compact(SYSTEM) if self._is_worth_archiving() else None)

    def finish_compaction(self) -> None:
        """Finish what an interrupted run left, whatever the clock says. Raise as `run`."""
        with self._maintaining():
            finish_compaction(self._ledger, self._archives, stopping=self._stopping.is_set)

    def confirm_clock(self) -> None:
        """Trust the wall clock as it is."""
        reading = self._read_clocks()

        def believe(cursor: Cursor) -> None:
            clock_watch.put_alone(cursor, watch(reading))

        self._ledger.exclusive(believe).result()

    def _sweep(self, by: Caller, digest: str | None) -> Swept | None:
        now = self._now()
        with self._ledger.log() as stored:
            terms = policy_of(stored).terms(now)
        cutoff = cutoff_at(now, terms.keep) if digest is None else _cutoff_of(digest)
        plan = plan_of(self._ledger.log, terms, cutoff)
        if digest is not None and plan.digest != digest:
            raise PlanChanged("something else would be discarded by now: plan anew")
        if not plan:
            return None
        return sweep(self._ledger, plan, self._new_id, by, stopping=self._stopping.is_set)

    def _compact(self, by: Caller) -> Compacted | None:
        stopping = self._stopping.is_set
        return compact(self._ledger, self._archives, self._new_id, by, stopping=stopping)

    def _is_worth_archiving(self) -> bool:
        with self._ledger.log() as stored:
            waiting = pending_sweeps(stored)
        many = sum(len(one.trees) for one in waiting) >= TREES_PENDING
        return many or any(self._now() - one.last_modified > PENDING_FOR for one in waiting)

    def _read_clocks(self) -> Reading:
        """Read the clocks; ask for the store's: a machine that was asleep has not counted that."""
        self._ledger.clock.ask()
        return self._clocks()

    def _check_clocks(self) -> None:
        reading = self._read_clocks()
        late = behind(reading)
        if late is not None:
            raise ClockMoved(behind_text(late))

        def check(cursor: Cursor) -> timedelta | None:
            watched = clock_watch.find(cursor, reading.boot)
            by = None if watched is None else moved(watched, reading)
            if by is None:
                clock_watch.put(cursor, watch(reading, watched))
            return by

        by = self._ledger.exclusive(check).result()
        if by is not None:
            raise ClockMoved(
                f"{moved_text(by)}, to {reading.wall:%Y-%m-%d %H:%M} UTC: nothing is discarded"
                " until `job-ledger retention confirm-clock` says that it is right"
            )

    @contextmanager
    def _maintaining(self, patience_s: float = 0.0) -> Iterator[None]:
        if not acquire_within(self._ledger.maintenance, patience_s, self._stopping):
            if self._stopping.is_set():
                raise RetentionStopped("the run was interrupted before it began")
            raise RetentionBusy("a rebuild or another run is under way")
        try:
            yield
        finally:
            self._ledger.maintenance.release()


def _cutoff_of(digest: str) -> datetime:
    try:
        return cutoff_of(digest)
    except ValueError:
        raise PlanChanged(f"{digest!r} is no digest of a plan") from None
