"""The current state of the jobs that report to this process, and of the jobs above them.

The commits of all processes keep it up to date. What is not in it is read from the store.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from msgspec.structs import replace

from ledger.application import Ledger
from ledger.domain.aggregates.job import Job
from ledger.domain.events.housekeeping import JobsDiscarded
from ledger.domain.events.jobs import job_stream
from ledger.domain.events.producers import JobTextsRemoved, ProgressReported
from ledger.domain.producers.leases import Lease
from ledger.leases.figures import Figures, Waiting, figures_of, newest, waiting_of
from ledger.store.seam import Commit
from ledger.store.tables import leases

T = TypeVar("T", int, datetime)

KNOWN_MOST = 50_000
PER_SECOND, BURST = 5, 20
"""Reports of a job that may become events, and how many of them at once."""


class Known:
    """A job and what its attempt last said. The marks are the numbers of its newest reports.

    `recorded` is when the last of its reports became an event, and `told` the last buffered one
    that did.
    """

    def __init__(self) -> None:
        self.job: Job | None = None
        self.attempt = 0
        self.live: int | None = None
        self.buffered: int | None = None
        self.figures: Figures | None = None
        self.unsaid = False
        """The lease may have words that were removed; the next beat has to overwrite them."""
        self.waiting: Waiting | None = None
        self.heard: datetime | None = None
        self.recorded: datetime | None = None
        self.told: ProgressReported | None = None
        self.lacks = 0.0
        self.at_s = 0.0
        self.is_read = False

    def begin(self, attempt: int) -> None:
        """Forget what another attempt has said."""
        if attempt == self.attempt:
            return
        self.attempt = attempt
        self.live = self.buffered = self.figures = self.heard = self.recorded = None
        self.waiting = self.told = None

    def keep(self, before: "Known") -> None:
        """Keep what the attempt has said here before: it may not be written yet."""
        self.lacks, self.at_s = before.lacks, before.at_s
        if before.attempt != self.attempt:
            return
        self.live = _later(self.live, before.live)
        self.buffered = _later(self.buffered, before.buffered)
        self.figures = newest(self.figures, before.figures)
        if before.heard is not None and (self.heard is None or self.heard <= before.heard):
            self.heard, self.waiting = before.heard, before.waiting
        self.recorded, self.told = _later(self.recorded, before.recorded), before.told
        if before.unsaid:
            self.drop_words()

    def drop_words(self) -> None:
        """Forget the message: the words of the job were removed. A held beat may still have it."""
        if self.figures is not None:
            self.figures = replace(self.figures, message=None)
            self.unsaid = True

    def take_turn(self, now_s: float) -> bool:
        """Return whether one more report may become an event: the bucket refills all the time."""
        self.lacks = max(0.0, self.lacks - (now_s - self.at_s) * PER_SECOND)
        self.at_s = now_s
        if self.lacks > BURST - 1:
            return False
        self.lacks += 1
        return True


class KnownJobs:
    """In the event loop, except `notice`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[str, Known] = {}
        self._over: deque[str] = deque()
        """Jobs that have ended, of which most report no more, or that were discarded."""
        ledger.listen(self.notice, lambda: bool(self._known))
        if ledger.shared:
            ledger.listen_here(self.notice)  # it is told at once, and of others' commits later

    def get(self, uuid: str) -> Known | None:
        """Return the job if it is known already."""
        known = self._known.get(uuid)
        return known if known is not None and known.is_read else None

    async def find(self, uuid: str) -> Known:
        """Return the job, which may not be there; read it unless it is known."""
        self._forget_over()
        known = self.get(uuid)
        if known is not None:
            return known
        known = self._known.setdefault(uuid, Known())  # from now on, commits are noticed
        read, lease = await asyncio.to_thread(self._read, uuid)
        if known.job is None:
            known.job = read
        if not known.is_read:
            _take_over(known, lease)
            known.is_read = True
        self._make_room()
        if known.job is None:
            self.forget(uuid)
        return known

    def _forget_over(self) -> None:
        while self._over:
            self.forget(self._over.popleft())

    def forget(self, uuid: str) -> None:
        """Read it anew the next time."""
        self._known.pop(uuid, None)

    async def look_again(self, uuid: str) -> Known:
        """Return the job as it is in the store."""
        before = self.get(uuid)
        self.forget(uuid)
        known = await self.find(uuid)
        if before is not None:
            known.keep(before)
        return known

    def notice(self, commit: Commit) -> None:
        """Follow what was committed. In the thread of whoever tells of it."""
        for stream, recorded in commit.events:
            if isinstance(recorded.event, JobsDiscarded):
                gone = (job for tree in recorded.event.trees for job in tree.jobs)
                self._over += [job for job in gone if job in self._known]
            known = self._known.get(stream.removeprefix("job-"))
            state = commit.states.get(stream)
            if known is None or not isinstance(state, Job):
                continue
            if known.job is None or known.job.last_modified <= state.last_modified:
                known.job = state
            if state.ended is not None:
                self._over.append(state.uuid)
            if isinstance(recorded.event, ProgressReported):
                known.recorded = recorded.recorded_at
            elif isinstance(recorded.event, JobTextsRemoved):
                known.drop_words()

    async def line(self, job: Job) -> Callable[[str], Job | None]:
        """Return a function that has each job above this one."""
        above: dict[str, Job | None] = {}
        parent = job.parent
        while parent is not None:
            above[parent] = (await self.find(parent)).job
            found = above[parent]
            parent = None if found is None else found.parent
        return above.get

    def _read(self, uuid: str) -> tuple[Job | None, Lease | None]:
        lease = self._ledger.read(lambda cursor: leases.find(cursor, uuid))
        return self._ledger.job(uuid), lease

    def _make_room(self) -> None:
        while len(self._known) > KNOWN_MOST:
            del self._known[next(iter(self._known))]


def _later(one: T | None, other: T | None) -> T | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _take_over(known: Known, lease: Lease | None) -> None:
    """Know what another process, or this one before, has written of the attempt."""
    job = known.job
    if job is None:
        return
    known.begin(job.attempt)
    if known.recorded is None:
        known.recorded = job.last_modified
    if lease is not None and lease.attempt == job.attempt:
        known.live, known.buffered = lease.live, lease.buffered
        known.figures, known.heard = figures_of(lease), lease.heard
        known.waiting = waiting_of(lease)


assert job_stream("") == "job-"
