"""The ledger's front door: commands in, committed events out."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from itertools import starmap
from typing import TypeVar

from ledger.codec import decode
from ledger.domain.aggregates import Aggregate, fold
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job
from ledger.domain.commands import Command
from ledger.domain.disk_space import DiskSpace
from ledger.domain.errors.store import StoreFailed
from ledger.domain.events.drives import drive_stream
from ledger.domain.events.jobs import job_stream
from ledger.domain.stamps import microseconds
from ledger.images.steps import Commits
from ledger.images.surveys import Surveyor, Surveys, places
from ledger.store.lease import Lease, ThreadLease
from ledger.store.metrics import Meter
from ledger.store.patience import read_patiently
from ledger.store.seam import CommitFeed, Cursor, FirstListener, Listener, Log, Projection, Store
from ledger.store.tables.streams import stored_of
from ledger.store.writer import Caller, Writer, always

T = TypeVar("T")


class Ledger:
    """The only door for writers. Thread-safe; when a method returns, its effects are durable."""

    def __init__(
        self,
        store: Store,
        projection: Projection,
        environment: Surveyor,
        *,
        now: Callable[[], datetime],
        on_failure: Callable[[StoreFailed], None],
    ) -> None:
        """`now` is the machine's clock, which counts only where no other machine has the ledger."""
        self._store = store
        self._surveys = Surveys(environment)
        self.maintenance = self._lease("maintenance")
        """Held by at most one rebuild, compaction or restore."""
        self.checkpointing = self._lease("checkpointing")
        """Held by the process that keeps checkpoints."""
        self._writer = Writer(store, projection, environment, now=now, on_failure=on_failure)
        self.clock = self._writer.clock
        """The only clock of the ledger's events."""
        self._tail = None if store.others is None else store.others.commit_tail()
        self._feed: CommitFeed = self._tail or self._writer

    def _lease(self, name: str) -> Lease:
        others = self._store.others
        return ThreadLease() if others is None else others.lease(name)

    async def execute(self, command: Command, by: Caller) -> int:
        """Decide the command and record its events; return the ledger's position once durable.

        Raise `StoreFailed`, or the command's `Refusal`; `outcome_of` the error tells whether it may
        have been recorded.
        """
        if not places(command):
            return await self._writer.execute(command, by)
        return await self._surveys.surveyed(
            command, lambda images: self._writer.execute(command, by, images)
        )

    def execute_blocking(self, command: Command, by: Caller) -> int:
        """Do the same as `execute`, for worker threads."""
        if not places(command):
            return self._writer.execute_blocking(command, by)
        return self._surveys.surveyed_blocking(
            command, lambda images: self._writer.execute_blocking(command, by, images)
        )

    def listen(self, listener: Listener, wanted: Callable[[], bool] = always) -> None:
        """Call `listener` with every commit to the ledger, by any process, in order.

        The calls come from a background thread; commits may be left out while `wanted` is false.
        """
        self._feed.listen(listener, wanted)

    def listen_here(self, listener: Listener) -> None:
        """Call `listener` with every commit of this process; in the writer's thread."""
        self._writer.listen(listener)

    def listen_first(self, listener: FirstListener) -> None:
        """Call `listener` with every commit of this process before anybody is told of it.

        And before and after all rows are made anew. In the writer's thread; must not fail.
        """
        self._writer.listen_first(listener)

    def exclusive(
        self, work: Callable[[Cursor], T], *, afterwards: Callable[[], None] | None = None
    ) -> "Future[T]":
        """Run `work` in a writing transaction of its own, between two batches of commands.

        `afterwards` is called after its commit, before any process commits anything else. If that
        cannot be kept, it is not called, and the future ends with `PauseLost`.
        """
        return self._writer.exclusive(work, afterwards)

    async def write(self, work: Callable[[Cursor], T]) -> T:
        """Run `work` as `exclusive` does, for a request; it continues if the request is cancelled.

        Raise what `work` raises, or `StoreFailed`.
        """
        return await self._writer.write(work)

    @property
    def meter(self) -> Meter:
        """The counters of this process's writer."""
        return self._writer.meter

    def recorded_bytes(self) -> dict[str, int]:
        """Return how many bytes of events this process has recorded in a day, by their actors."""
        return self._writer.recorded_bytes()

    @property
    def commits(self) -> int:
        """How often this process has committed; incremented before listeners hear of it."""
        return self._writer.commits

    @property
    def position(self) -> int:
        """The position of the newest event that this process knows of.

        It is updated before listeners hear of a commit.
        """
        return max(self._writer.position, self._feed.position)

    @property
    def stuck_s(self) -> float:
        """For how long the writer has been busy with one thing; 0 while it waits."""
        return self._writer.stuck_s

    @property
    def commits_under_way(self) -> Commits:
        """What those must know who leave room for commits."""
        return self._writer

    def forget(self) -> None:
        """Make the writer read its state anew. In the writer's thread only."""
        self._writer.forget()

    def busy(self) -> bool:
        """Whether commands wait; exclusive work that can be cut short should then end."""
        return self._writer.busy()

    def current(self, stream: str) -> Aggregate | None:
        """Return the aggregate of a stream as of the last commit, folded from its events.

        In any thread. If the store cannot be reached, wait for it as writers do.
        """
        return read_patiently(
            self._store, lambda cursor: fold(stream, starmap(decode, stored_of(cursor, stream)))
        )

    def job(self, uuid: str) -> Job | None:
        """Return the job as of the last commit."""
        job = self.current(job_stream(uuid))
        assert job is None or isinstance(job, Job)
        return job

    def drive(self, uuid: str) -> Drive | None:
        """Return the drive as of the last commit, even a deleted one."""
        drive = self.current(drive_stream(uuid))
        assert drive is None or isinstance(drive, Drive)
        return drive

    @contextmanager
    def now(self) -> Iterator[Callable[[str], Aggregate | None]]:
        """Yield a function like `current`, for many streams as of the same moment."""
        with self._store.log() as log:
            yield lambda stream: fold(
                stream, (decode(topic, stored) for _, topic, stored in log.stream(stream))
            )

    def clock_parameter(self) -> int | None:
        """Return the time for a statement, in microseconds; None where the store's clock counts."""
        now = self.clock.read()
        others = self._store.others
        return microseconds(now) if others is None else others.clock_parameter()

    @property
    def shared(self) -> bool:
        """Whether other processes may use the ledger too."""
        return self._tail is not None

    def read(self, work: Callable[[Cursor], T]) -> T:
        """Return what `work` reads as of the last commit; for short reads, in any thread."""
        return self._store.read(work)

    def log(self) -> AbstractContextManager[Log]:
        """Open the log as of now, to read from in any thread."""
        return self._store.log()

    def disk_space(self) -> DiskSpace | None:
        """Return how full the ledger's disk is; None where only a database server knows."""
        return None if self._store.disk is None else self._store.disk.space()

    def stop_waiting(self) -> None:
        """Wait no longer for a store that is out of reach, because the process stops.

        What was to be recorded meanwhile ends with `StoreUnreachable`.
        """
        if self._store.others is not None:
            self._store.others.stop_waiting()

    def close(self) -> None:
        """Finish the commands that wait, then close the store."""
        self.stop_waiting()
        self._writer.stop()
        if self._tail is not None:
            self._tail.close()
        self._store.close()
