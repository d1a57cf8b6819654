"""Copies under a simulated clock: what workers would report, folded into the rows that show it."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job, evolve
from ledger.domain.commands.jobs import UpdateProgress
from ledger.domain.events import Recorded
from ledger.domain.events.drives import DriveDefinition
from ledger.domain.events.jobs import (
    JobAttemptStarted,
    JobCreated,
    JobEvent,
    JobSucceeded,
    ProgressUpdated,
)
from ledger.images.background_sync import Checkpoint
from ledger.images.steps import FREELY
from ledger.store.writer import Caller
from ledger.workers import attempts
from ledger.workers.attempts import Attempt, CopySettings
from projections.rows import job_row
from projections.tables import JobRow
from tests.support.world import ME, START

MIB = 1024**2
_DRIVE = Drive("d", ME, DriveDefinition("d", "disk", MIB, "dssd"), "main", "blank", START)


@dataclass
class Copy:
    """A copy to make: its data and, if that was not measured well, what was stated of it."""

    data: int
    stated: int = -1
    reflinked: bool = False

    @property
    def total(self) -> int:
        return self.data if self.stated < 0 else self.stated


@dataclass(frozen=True)
class Disk:
    """Bytes per second of all copies, of each copy, and of each verification; None: no limit."""

    shared: float = float("inf")
    each: float = float("inf")
    verification: float | None = None
    at_once: int = 2


@dataclass
class Work:
    """Copies that a pool of threads makes one after the other, some at once."""

    copies: Sequence[Copy]
    disk: Disk
    step_s: float = 0.05
    now: datetime = START
    jobs: list[Job] = field(default_factory=list)
    _running: dict[int, "_Running"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, copy in enumerate(self.copies):
            created = JobCreated("drive_clone", ME, (), "root", "root", number, copy.total)
            self.jobs.append(evolve(None, f"job-{number}", self._recorded(created)))

    @property
    def rows(self) -> list[JobRow]:
        return [job_row(job) for job in self.jobs]

    @property
    def is_over(self) -> bool:
        return all(job.state != "started" for job in self.jobs)

    def run(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Yield after each step, until all copies have been made."""
        self.set_clock(patch)
        while not self.is_over:
            self._begin()
            self.now += timedelta(seconds=self.step_s)
            for number, running in list(self._running.items()):
                if running.go_on(self.disk, len(self._running), self.step_s, self.now.timestamp()):
                    self.tell(number, JobSucceeded())
                    del self._running[number]
            yield

    def set_clock(self, patch: pytest.MonkeyPatch) -> None:
        """Let attempts go by this clock."""
        patch.setattr(attempts, "time", SimpleNamespace(monotonic=self._clock))

    def kill(self, away_s: float) -> None:
        """End the process; another one resumes a while later what was not durable or not done."""
        self._running.clear()
        self.now += timedelta(seconds=away_s)

    def _begin(self) -> None:
        for number, job in enumerate(self.jobs):
            if len(self._running) >= self.disk.at_once:
                return
            if job.state == "started" and number not in self._running:
                self._running[number] = _Running(self, number)

    def tell(self, number: int, event: JobEvent) -> None:
        self.jobs[number] = evolve(self.jobs[number], f"job-{number}", self._recorded(event))

    def _clock(self) -> float:
        return self.now.timestamp()

    def _recorded(self, event: JobEvent) -> Recorded[JobEvent]:
        return Recorded(self.now, "w", "", event)


def begin_attempt(work: Work, number: int, *, verifies: bool = False) -> Attempt:
    """Begin an attempt at a job whose reports go into its row."""
    work.tell(number, JobAttemptStarted(work.jobs[number].attempt + 1, "w"))
    job = work.jobs[number]

    def execute(command: UpdateProgress, _: Caller) -> None:
        report = ProgressUpdated(
            command.attempt,
            command.progress,
            command.bytes_done,
            command.bytes_total,
            command.offset,
            command.bytes_verified,
        )
        work.tell(number, report)

    return Attempt(
        SimpleNamespace(execute_blocking=execute),  # type: ignore[arg-type]
        Caller("w", ""),
        job,
        job.attempt,
        source=_DRIVE,
        destination=None,
        fingerprint=OSError(),
        pools={},
        copying=CopySettings(1, None, verify=verifies),
        on_moved=lambda _: None,
        stop=threading.Event(),
        steps=FREELY,
    )


class _Running:
    """A copy that a thread is making."""

    def __init__(self, work: Work, number: int) -> None:
        self._copy = work.copies[number]
        self._verifies = work.disk.verification is not None
        self._done = work.jobs[number].offset
        self._verified = 0.0
        self._due = work.now.timestamp() + 1
        self._attempt = begin_attempt(work, number, verifies=self._verifies)

    def go_on(self, disk: Disk, at_once: int, step_s: float, now: float) -> bool:
        """Work for one step; return whether the job is done."""
        data = self._copy.data
        if self._done < data or not self._verifies:
            speed = min(disk.shared / at_once, disk.each)
            self._done = data if self._copy.reflinked else min(data, self._done + speed * step_s)
            if self._done >= data or now >= self._due:
                self._report(now)
            return self._done >= data and not self._verifies
        assert disk.verification is not None
        self._verified = min(data, self._verified + disk.verification * step_s)
        self._report(now)
        return self._verified >= data

    def _report(self, now: float) -> None:
        self._due = now + 1
        verified = int(self._verified) if self._verifies else None
        done = int(self._done)
        self._attempt.report(Checkpoint(done, done, self._copy.data, verified))
