"""When a job ends, as told while it runs: nothing, or right within a factor of two."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from threading import Event
from typing import NamedTuple, Self

import pytest

from ledger.domain.events.jobs import JobAttemptLost
from ledger.images import background_sync, copy
from ledger.images.copy import copy_image
from ledger.images.files import fingerprint
from projections.estimates import UNKNOWN, Estimate, estimate
from projections.tables import JobRow
from tests.projections.copying import MIB, Copy, Disk, Work, begin_attempt

SECOND = 1.0
"""An estimate is shown in whole seconds."""
EIGHT = [Copy(16 * MIB)] * 8
UNEVEN = [Copy(size * MIB) for size in (2, 64, 8, 1, 32, 16, 4, 40)]


class Seen(NamedTuple):
    """What was told at one moment."""

    at: datetime
    done: float
    told: Estimate


SHAPES = {
    "a copy": ([Copy(64 * MIB)], Disk(shared=4 * MIB)),
    "waiting": (EIGHT, Disk(shared=8 * MIB)),
    "waiting, as fast as each can": (EIGHT, Disk(each=4 * MIB)),
    "uneven": (UNEVEN, Disk(shared=8 * MIB)),
    "uneven, as fast as each can": (UNEVEN, Disk(each=4 * MIB)),
    "uneven, one at a time": (UNEVEN, Disk(shared=8 * MIB, at_once=1)),
    "measured otherwise": ([Copy(64 * MIB, stated=80 * MIB)] * 3, Disk(shared=8 * MIB)),
    "empty ones": ([*EIGHT, Copy(0), Copy(0)], Disk(shared=8 * MIB)),
    "small ones": ([Copy(MIB // 4)] * 200, Disk(shared=8 * MIB)),
    "verified": ([Copy(64 * MIB)], Disk(shared=16 * MIB, verification=8 * MIB)),
    "verified in a moment": ([Copy(64 * MIB)], Disk(shared=4 * MIB, verification=512 * MIB)),
    "waiting and verified": (EIGHT, Disk(shared=8 * MIB, verification=3 * MIB)),
    "reflinked and verified": (
        [Copy(64 * MIB, reflinked=True)] * 4,
        Disk(verification=8 * MIB),
    ),
    "reflinked": ([Copy(64 * MIB, reflinked=True)] * 4, Disk()),
}


def followed(work: Work, every_s: float = 0.1) -> Iterator[tuple[Work, Seen]]:
    """Yield what is told of all copies together, every so often, until all are made."""
    with pytest.MonkeyPatch.context() as patch:
        total, due = sum(copy.total for copy in work.copies), work.now
        for _ in work.run(patch):
            if work.now >= due and not work.is_over:
                due = work.now + timedelta(seconds=every_s)
                done = sum(row.bytes_done for row in work.rows)
                yield work, Seen(work.now, done / total, estimate(work.rows, work.now))


def check(seen: Sequence[Seen], end: datetime) -> None:
    """Once a tenth is done, the time left is unknown or right within a factor of two."""
    for at, done, told in seen:
        left = (end - at).total_seconds()
        if done >= 0.1 and told.eta_s is not None:
            assert left / 2 - SECOND <= told.eta_s <= left * 2 + SECOND, (at, done, left, told)


def known(seen: Sequence[Seen]) -> float:
    """Return how often the time left was told once a tenth was done."""
    told = [each.told.eta_s is not None for each in seen if each.done >= 0.1]
    return sum(told) / len(told) if told else 1.0


@pytest.mark.parametrize("shape", SHAPES)
def test_the_time_left_is_right(shape: str) -> None:
    work = Work(*SHAPES[shape])
    seen = [told for _, told in followed(work)]
    check(seen, work.now)
    if "verified" not in shape and shape != "reflinked":
        assert known(seen) > 0.9


def test_eight_disks_two_at_once_end_after_sixteen_seconds() -> None:
    """After two seconds fourteen are left, for the disks that wait are known."""
    for _, (at, _, told) in followed(Work(*SHAPES["waiting"])):
        if told.eta_s is not None:
            assert at.timestamp() + told.eta_s == pytest.approx(
                Work([], Disk()).now.timestamp() + 16, abs=1.5
            )
            assert told.bytes_per_s == pytest.approx(8 * MIB, rel=0.1)


def test_a_verification_is_told_of_once_it_can_be() -> None:
    """Nobody knows before how fast it is; it goes at its own speed, not at the copy's."""
    work = Work(*SHAPES["verified"])
    for _, (_, _, told) in followed(work):
        (row,) = work.rows
        if row.copied is None:
            assert told.eta_s is None
        elif told.eta_s is not None and row.bytes_verified:
            assert told.bytes_per_s == pytest.approx(8 * MIB, rel=0.1)
    assert known([seen for _, seen in followed(Work(*SHAPES["verified"]))]) > 0.5
    assert known([seen for _, seen in followed(Work(*SHAPES["waiting and verified"]))]) > 0.7


@pytest.mark.parametrize("shape", ["a copy", "waiting", "uneven", "waiting and verified"])
@pytest.mark.parametrize("away_s", [0.5, 3600.0])
def test_a_resumed_job_is_measured_anew(shape: str, away_s: float) -> None:
    """What was copied before, and the time in which nobody worked, say nothing of the speed."""
    work = Work(*SHAPES[shape])
    seen, resumed = [], False
    for _, told in followed(work):
        seen.append(told)
        if told.done > 0.4 and not resumed:
            resumed = True
            work.kill(away_s)
            seen.clear()
    assert {row.state for row in work.rows} == {"success"}
    check(seen, work.now)
    assert known(seen) > 0.5


def test_a_long_copy_is_told_of_all_the_time() -> None:
    """Its per cents take a quarter of an hour, and its reports are a tenth of its age apart."""
    copy = [Copy(100 * 1024 * MIB)]
    work = Work(copy, Disk(shared=MIB), step_s=5)
    seen = [told for _, told in followed(work, every_s=60)]
    check(seen, work.now)
    assert known(seen) > 0.99


def test_speed_that_varies(seed: int) -> None:
    """From second to second, within a factor of three: the mean counts."""
    random = Random(seed)  # noqa: S311 - not for secrets
    with pytest.MonkeyPatch.context() as patch:
        work = Work(EIGHT, Disk(shared=8 * MIB))
        seen = []
        for number, _ in enumerate(work.run(patch)):
            if number % 20 == 0:
                object.__setattr__(work.disk, "shared", random.uniform(4, 12) * MIB)
            done = sum(row.bytes_done for row in work.rows) / (128 * MIB)
            seen.append(Seen(work.now, done, estimate(work.rows, work.now)))
    check(seen[:-1], work.now)


# A disk that takes its time to make data durable


@dataclass
class SlowDisk:
    """A real copy's disk: each byte takes so long to write, and so long to sync once written.

    All of it is in one thread, so that nothing but these takes time.
    """

    work: Work
    written_per_s: float
    synced_per_s: float
    seen: list[Seen] = field(default_factory=list)
    _unsynced: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, count: int) -> None:
        self._unsynced += count
        self._pass(count / self.written_per_s)

    def sync(self, _fd: int) -> None:
        count, self._unsynced = self._unsynced, 0
        self._pass(count / self.synced_per_s)

    def submit(self, function: Callable[[int], None], fd: int) -> Future[None]:
        """Do it at once, as the only thread of the pool would."""
        done: Future[None] = Future()
        done.set_result(function(fd))
        return done

    def _pass(self, seconds: float) -> None:
        end = self.work.now + timedelta(seconds=seconds)
        while self.work.now < end:
            self.work.now = min(self.work.now + timedelta(seconds=0.1), end)
            (row,) = self.work.rows
            done = row.bytes_done / self.work.copies[0].total
            self.seen.append(Seen(self.work.now, done, estimate([row], self.work.now)))


@pytest.mark.parametrize("written_per_s", [float("inf"), MIB], ids=["syncs only", "both alike"])
def test_the_last_sync_is_work(
    written_per_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is not done: until the disk has it all, the time left covers the rest."""
    monkeypatch.setattr(copy, "CHUNK_BYTES", MIB // 4)
    monkeypatch.setattr(copy, "CHECKPOINT_BYTES", 4 * MIB)
    work = Work([Copy(19 * MIB)], Disk())
    work.set_clock(monkeypatch)
    disk = SlowDisk(work, written_per_s, MIB)
    monkeypatch.setattr(background_sync, "ThreadPoolExecutor", lambda **_: disk)
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, disk.sync)
    source = tmp_path / "source"
    source.write_bytes(b"data" * (19 * MIB // 4))
    copy_image(
        source=source,
        part=tmp_path / "part",
        size=19 * MIB,
        resume=None,
        on_checkpoint=begin_attempt(work, 0).report,
        on_moved=disk.write,
        rate=None,
        verify=False,
        stop=Event(),
        expected=fingerprint(source),
    )
    check(disk.seen, work.now)
    assert known(disk.seen) > 0.9
    *_, last = (each for each in disk.seen if each.told.eta_s is not None)
    assert (work.now - last.at).total_seconds() < 1
    assert min(each.at for each in disk.seen if each.done >= 0.1) < work.now - timedelta(seconds=12)


# Unknown


def begun() -> Work:
    """Return two copies after a few seconds."""
    work = Work([Copy(64 * MIB)] * 2, Disk(shared=8 * MIB))
    with pytest.MonkeyPatch.context() as patch:
        for _ in work.run(patch):
            if all(row.bytes_done > 8 * MIB for row in work.rows):
                return work
    raise AssertionError


def told(rows: Sequence[JobRow], at: datetime) -> Estimate:
    return estimate(rows, at)


def test_nothing_is_known_before_anything_was_measured() -> None:
    """Neither of jobs that wait, nor in the first second."""
    work = Work(EIGHT, Disk(shared=8 * MIB))
    assert told(work.rows, work.now) == UNKNOWN
    for _, seen in followed(work):
        if (seen.at - Work([], Disk()).now).total_seconds() < 1:
            assert seen.told == UNKNOWN


def test_nothing_is_known_once_reports_are_overdue() -> None:
    """A worker that is silent may be dead; it is given two reports' time."""
    work = begun()
    assert told(work.rows, work.now) != UNKNOWN
    assert told(work.rows, work.now + timedelta(seconds=10)).bytes_per_s is not None
    assert told(work.rows, work.now + timedelta(seconds=20)) == UNKNOWN


def test_nothing_is_known_once_the_time_is_up() -> None:
    """The estimate was wrong; that nothing is left would be, too."""
    work = begun()
    left = told(work.rows, work.now).eta_s
    assert left is not None
    assert told(work.rows, work.now + timedelta(seconds=left + 1)).eta_s is None


def test_nothing_is_known_of_a_lost_worker() -> None:
    work = begun()
    work.tell(0, JobAttemptLost(1))
    assert told(work.rows, work.now) == UNKNOWN


def test_the_end_is_unknown_if_the_work_is() -> None:
    """One of the jobs does not say how much it has to copy; the speed is known all the same."""
    work = begun()
    first, second = work.rows
    unstated = [first, JobRow(**{**_fields(second), "bytes_total": None, "weight": None})]
    assert told(unstated, work.now).eta_s is None
    assert told(unstated, work.now).bytes_per_s is not None


def _fields(row: JobRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}
