"""Worker processes on a ledger in PostgreSQL, and a node without HTTP that gives them work."""

import hashlib
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from api.data.location import PostgresDatabase
from api.service.clocks import now
from ledger.application import Ledger
from ledger.codec import decode
from ledger.domain.aggregates.job import Job
from ledger.domain.commands import Command
from ledger.domain.commands.drives import CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.context import PoolSpace
from ledger.domain.events import Event
from ledger.domain.events.drives import DriveDefinition
from ledger.domain.events.jobs import job_stream
from ledger.images.pools import Pool
from ledger.store.writer import Caller
from tests.harness.evidence import watch_service
from tests.support import processes
from tests.support.wait import PATIENCE_S, wait_for
from tests.support.world import Foreseen

ME = Caller("me", "")
MIB = 1024**2
SIZE = 1 * MIB
STALLED_S = 3.0
"""A worker of a busy machine may be silent for a while, and must not be taken for dead."""


class Worker:
    """One `job-ledger worker` that has started."""

    def __init__(self, url: str, pools: Sequence[Pool], log: Path, *options: str) -> None:
        named = [f"--pool={pool.name}={pool.path},type={pool.storage_type}" for pool in pools]
        command = ("worker", "--store", url, *named, f"--stalled-after={STALLED_S}", *options)
        self.log = log
        with log.open("ab") as written:
            self.process = processes.start(*command, stdout=written, stderr=written)
        watch_service(self.process.pid, "a worker", self.logged)
        self.name = f"worker:{os.uname().nodename}:{self.process.pid}"

    def wait_until_it_works(self) -> "Worker":
        wait_for("for the worker to begin", lambda: "works on" in self.logged())
        return self

    def logged(self) -> str:
        return self.log.read_text(errors="replace")

    def pause(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """Asks it to stop; its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


class Fleet:
    def __init__(self, url: str, directory: Path, pools: Sequence[Pool]) -> None:
        self.url = url
        self.pools = {pool.name: pool for pool in pools}
        self._directory = directory
        self._workers: list[Worker] = []
        spaces = tuple(PoolSpace(pool.name, pool.storage_type, 2**40) for pool in pools)
        self.ledger = Ledger(
            *PostgresDatabase(url).open(),
            Foreseen(spaces),
            now=now,
            on_failure=lambda _: None,
        )

    def worker(self, *options: str, pools: Sequence[str] | None = None) -> Worker:
        log = self._directory / f"worker-{len(self._workers)}.log"
        has = [self.pools[name] for name in (pools or self.pools)]
        worker = Worker(self.url, has, log, *options)
        self._workers.append(worker)
        return worker

    def do(self, *commands: Command) -> None:
        for command in commands:
            self.ledger.execute_blocking(command, ME)

    def source(self, pool: str = "main", size: int = SIZE) -> str:
        """A drive full of data."""
        drive = str(uuid4())
        self.pools[pool].image(drive).write_bytes(os.urandom(size))
        definition = DriveDefinition("source", "disk", size, self.pools[pool].storage_type)
        new = NewDrive(drive, definition, pool)
        self.do(CreateDrives("me", (new,), "upload"), MarkDriveReady(drive))
        return drive

    def clone(self, source: str, **more: Any) -> tuple[str, str]:
        """The job, and the drive that it makes."""
        job, drive = str(uuid4()), str(uuid4())
        self.do(CloneDrive("me", source, drive, job, **more))
        return job, drive

    def job(self, uuid: str) -> Job:
        job = self.ledger.current(job_stream(uuid))
        assert isinstance(job, Job)
        return job

    def history(self, job: str) -> list[tuple[str, Event]]:
        """Who said what."""
        with self.ledger.log() as log:
            recorded = [decode(topic, state) for _, topic, state in log.stream(job_stream(job))]
        return [(each.actor, each.event) for each in recorded]

    def wait_until(self, state: str, jobs: Sequence[str]) -> None:
        wait_for(f"for {state}", lambda: {self.job(job).state for job in jobs} == {state})

    def wait_for_checkpoints(self, jobs: Sequence[str]) -> None:
        """Until the copies of all of them are under way, and have been recorded."""
        wait_for("for copies under way", lambda: all(self.job(job).offset for job in jobs))

    def wait_for_progress(self, jobs: Sequence[str]) -> None:
        """Until the copies of all of them have got further than they are now."""
        before = {job: self.job(job).offset for job in jobs}
        wait_for(
            "for copies to go on", lambda: all(self.job(job).offset > before[job] for job in jobs)
        )

    def tasks(self) -> list[tuple[str, str]]:
        """Status and queue of each."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(
                "SELECT status::text, queue_name FROM procrastinate_jobs ORDER BY id"
            ).fetchall()

    def sha256(self, drive: str, pool: str = "main") -> str:
        return hashlib.sha256(self.pools[pool].image(drive).read_bytes()).hexdigest()

    def files(self, pool: str = "main") -> set[str]:
        return {path.name for path in self.pools[pool].path.iterdir()} - {".pool"}

    def close(self) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.kill()
        self.ledger.close()


@contextmanager
def fleet_on(url: str, directory: Path, *pools: Pool) -> Iterator[Fleet]:
    """Workers on these pools, all of which end here."""
    for pool in pools:
        pool.path.mkdir()
    fleet = Fleet(url, directory, pools)
    try:
        yield fleet
    finally:
        fleet.close()
