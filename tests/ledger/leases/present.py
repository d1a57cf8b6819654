"""A service that is there, or is away, while time passes as a test wishes."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Self

from msgspec.structs import replace

from ledger.codec import decode
from ledger.domain.aggregates.job import Job
from ledger.domain.errors.store import StoreFailed
from ledger.domain.events import Event
from ledger.domain.events.jobs import job_stream
from ledger.domain.events.producers import Holder, ProgressReported
from ledger.domain.producers.commands import RegisterJob
from ledger.domain.producers.leases import Lease
from ledger.domain.producers.limits import limits
from ledger.leases.held_beats import HeldBeats, Written
from ledger.leases.known_jobs import KnownJobs
from ledger.leases.reports import Answer, Live, Report, Reporting, Said
from ledger.leases.watch import Watch
from ledger.store.seam import Cursor
from ledger.store.tables import leases
from ledger.store.tables.leases import Renewal
from ledger.store.tables.streams import stored_of
from tests.support.opened import CALLER, Opened
from tests.support.producing import HERE, registered
from tests.support.wait import wait_until
from tests.support.world import ME, START

LEASE_S, ABANDON_S = 90, 300
LOST_S = LEASE_S + 5


class Clock:
    """A clock that stands still until it is moved; it counts from the start of a machine, too."""

    def __init__(self) -> None:
        self.shown = START
        self.elapsed_s = 0.0

    def __call__(self) -> datetime:
        return self.shown

    def advance(self, seconds: float) -> None:
        self.shown += timedelta(seconds=seconds)
        self.elapsed_s += max(seconds, 0)


class Present:
    """A ledger, and what looks after its leases."""

    def __init__(self, opened: Opened, clock: Clock) -> None:
        self.opened, self.clock = opened, clock
        self.ledger = opened.ledger
        self.watch = Watch(opened.ledger)
        self.beats = self.beats_of_a_node()

    def beats_of_a_node(self) -> HeldBeats:
        return HeldBeats(self.ledger, elapsed_s=lambda: self.clock.elapsed_s)

    async def after(self, seconds: float) -> None:
        """Let the service be there for so long, and then look who is over."""
        self.pass_by(seconds)
        await self.watch.look()

    def pass_by(self, seconds: float) -> None:
        """Let the service be there for so long, as if it had noted that all the time."""

        def note(cursor: Cursor) -> None:
            leases.be_there(cursor, self.ledger.clock_parameter())
            cursor.execute("UPDATE service_time SET seen = seen + ?", (int(seconds * 1_000_000),))

        self.ledger.exclusive(note).result()
        self.clock.advance(seconds)

    async def after_absence(self, seconds: float) -> None:
        """Let the service be away for so long, and then look who is over."""
        self.clock.advance(seconds)
        await self.watch.look()

    async def beat(
        self, uuid: str = "j", *, holds_s: float = LEASE_S, by: HeldBeats | None = None
    ) -> Written:
        """Beat, and have it written before the answer."""
        beats = by or self.beats
        written, _ = await asyncio.gather(beats.write(beat(uuid, holds_s)), beats.keep_writing())
        return written

    def job(self, uuid: str = "j") -> Job:
        job = self.ledger.job(uuid)
        assert job is not None
        return job

    def lease(self, uuid: str = "j") -> Lease | None:
        return self.ledger.read(lambda cursor: leases.find(cursor, uuid))

    def written_s(self, uuid: str = "j") -> float:
        """Return when the last beat came that is in the store, from the start of the test on."""
        lease = self.lease(uuid)
        assert lease is not None
        assert lease.heard is not None
        return round((lease.heard - START).total_seconds(), 1)

    def events(self, uuid: str = "j") -> list[Event]:
        stored = self.ledger.read(lambda cursor: stored_of(cursor, job_stream(uuid)))
        return [decode(topic, state).event for topic, state in stored]

    def told(self, uuid: str = "j") -> list[str]:
        """Return what happened after the job was registered and begun."""
        names = [type(event).__name__ for event in self.events(uuid)]
        begun = ("JobCreated", "JobRegistered", "JobAttemptStarted", "ChildAttached")
        return [name for name in names if name not in begun]


def beat(uuid: str = "j", holds_s: float = LEASE_S, *, figures: bytes | None = None) -> Renewal:
    return Renewal(uuid, 1, int(holds_s * 1_000_000), figures=figures)


def working(
    uuid: str = "j", parent: str | None = None, *, lease_s: int | None = LEASE_S, **more: object
) -> RegisterJob:
    """Return a job that is abandoned soon after it was lost."""
    said = replace(
        registered(),
        limits=limits(lease_s=lease_s, abandon_after_s=ABANDON_S, queue_s=1000, deadline_s=600),
        **more,
    )
    return RegisterJob(ME, uuid, "backup", said, parent, HERE)


class Node:
    """A process that takes reports. It writes what waits to be written; what is held, it holds."""

    def __init__(self, present: Present) -> None:
        self.present = present
        self.beats = present.beats_of_a_node()
        self.known = KnownJobs(present.ledger)
        self.reporting = Reporting(
            present.ledger,
            self.beats,
            self.known,
            elapsed_s=lambda: present.clock.elapsed_s,
        )

    async def __aenter__(self) -> Self:
        self._writing = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writing.cancel()
        await asyncio.wait([self._writing])

    async def _write(self) -> None:
        while True:
            with suppress(StoreFailed):
                await self.beats.keep_writing()

    async def report(
        self,
        uuid: str = "j",
        *,
        attempt: int | None = None,
        holder: Holder | None = HERE,
        said: Said | None = None,
        **more: Any,
    ) -> Answer:
        report = Report(uuid, ME, holder, lambda _: attempt, said, **more)
        return await self.reporting.take(report, CALLER)

    async def hears(self, of: Callable[[Job], object], uuid: str = "j") -> None:
        """Wait until this process knows that this is so; what it does not know, it reads."""

        def has_heard() -> bool:
            known = self.known.get(uuid)
            return known is None or bool(known.job and of(known.job))

        await wait_until("the node hears of it", has_heard)

    def live(self, uuid: str = "j") -> Live:
        found = self.reporting.live(uuid, self.present.lease(uuid))
        assert found is not None
        return found


def says(happened_at: datetime = START, **fields: Any) -> Said:
    """Return what a report says with these fields."""
    return Said(ProgressReported(0, happened_at, **fields), frozenset(fields))
