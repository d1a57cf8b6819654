"""The eventsourcing library used plainly: a declarative aggregate and `save()`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.sqlite import SQLiteApplicationRecorder

WARM_UP = 1_500
"""Saves that fill the library's WAL once, so that it is overwritten from then on."""
FULL = 2


class LibraryJob(Aggregate):
    """A job with the fields of our `ProgressUpdated`."""

    @event("Created")
    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.progress = 0

    @event("ProgressUpdated")
    def update_progress(
        self, attempt: int, progress: int, bytes_done: int, bytes_total: int, offset: int
    ) -> None:
        self.attempt = attempt
        self.progress = progress
        self.bytes_done = bytes_done
        self.bytes_total = bytes_total
        self.offset = offset


class Saving:
    """Jobs in memory, which favors the library over loading each before its update."""

    def __init__(self, application: Application[UUID], jobs: list[LibraryJob]) -> None:
        self._application = application
        self._jobs = jobs

    @classmethod
    @contextmanager
    def begin(cls, file: Path, count: int) -> Iterator["Saving"]:
        application: Application[UUID] = Application(
            env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(file)}
        )
        try:
            _sync_fully(application)
            jobs = [LibraryJob(operation="benchmark") for _ in range(count)]
            application.save(*jobs)
            saving = cls(application, jobs)
            saving.round(WARM_UP)
            yield saving
        finally:
            application.close()

    def round(self, updates: int) -> float:
        """Make updates, each saved by itself; return how many in a second."""
        started = perf_counter()
        for number in range(updates):
            job = self._jobs[number % len(self._jobs)]
            job.update_progress(1, number * 100 // updates, number, updates, number)
            self._application.save(job)
        return updates / (perf_counter() - started)


def _sync_fully(application: Application[UUID]) -> None:
    """Set `synchronous=FULL` on the one connection of this thread, which stays in the pool."""
    recorder = application.recorder
    assert isinstance(recorder, SQLiteApplicationRecorder)
    with recorder.datastore.get_connection(commit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone()[0] == FULL
