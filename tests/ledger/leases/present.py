"""A service that is there, or is away, while time passes as a test wishes."""

import asyncio
from datetime import datetime, timedelta

from msgspec.structs import replace

from ledger.codec import decode
from ledger.domain.aggregates.job import Job
from ledger.domain.events import Event
from ledger.domain.events.jobs import job_stream
from ledger.domain.producers.commands import RegisterJob
from ledger.domain.producers.leases import Lease
from ledger.domain.producers.limits import limits
from ledger.leases.held import HeldBeats, Written
from ledger.leases.watch import Watch
from ledger.store.seam import Cursor
from ledger.store.tables import leases
from ledger.store.tables.leases import Renewal
from ledger.store.tables.streams import stored_of
from tests.support.opened import Opened
from tests.support.producing import HERE, registered
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
