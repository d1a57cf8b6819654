"""Jobs of producers, for tests."""

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from ledger.domain.commands import Command
from ledger.domain.commands.jobs import LabelJob
from ledger.domain.events.jobs import JobCancelled, JobFailed, JobSucceeded
from ledger.domain.events.producers import (
    Ends,
    Exit,
    Holder,
    JobAttemptFailed,
    JobCancelRequested,
    JobRegistered,
    JobSkipped,
    Phase,
    ProgressReported,
    Text,
    Tolerated,
)
from ledger.domain.producers.commands import (
    AbandonJob,
    End,
    EndJob,
    FailAttempt,
    ForceEnd,
    LoseProducer,
    RegisterJob,
    ReportProgress,
    RequestCancel,
    ReturnAttempt,
    SealJob,
    SeeCancel,
    SettleJob,
    TakeUpJob,
)
from ledger.domain.producers.limits import limits
from ledger.domain.producers.texts import text_of
from tests.support.world import ME, START

HERE, THERE = Holder("here", host="nas", pid=1), Holder("there")
DONE = JobSucceeded(START, Exit(0))
SKIPPED = JobSkipped(START)
BROKEN = JobFailed(reason="program", happened_at=START, exit=Exit(23))
KILLED = JobFailed(reason="signal", happened_at=START, exit=Exit(signal="KILL"))
STOPPED = JobCancelled("interrupted", START)


def registered(
    *,
    source: str = "//nas",
    external_id: str | None = None,
    series: str | None = None,
    ends: Ends = "self",
    cancellable: bool = True,
    expect_children: int | None = None,
    tolerate: tuple[Tolerated, ...] = (),
) -> JobRegistered:
    return JobRegistered(
        source,
        limits(lease_s=90),
        START,
        ends,
        external_id,
        series,
        cancellable=cancellable,
        expect_children=expect_children,
        tolerate=tolerate,
    )


def running(
    uuid: str = "j",
    parent: str | None = None,
    *,
    end: End | None = None,
    cancellable: bool = True,
    series: str | None = None,
) -> RegisterJob:
    """Return a job that a process works on."""
    said = registered(cancellable=cancellable, series=series)
    return RegisterJob(ME, uuid, "backup", said, parent, HERE, end)


def queued(uuid: str = "j", parent: str | None = None) -> RegisterJob:
    return RegisterJob(ME, uuid, "backup", registered(), parent)


def group(
    uuid: str = "g",
    parent: str | None = None,
    *,
    expect: int | None = None,
    tolerate: tuple[Tolerated, ...] = (),
) -> RegisterJob:
    said = registered(ends="children", expect_children=expect, tolerate=tolerate)
    return RegisterJob(ME, uuid, "fan out", said, parent)


def report(
    done: int,
    total: int | None = 100,
    *,
    attempt: int = 1,
    percent: int | None = None,
    phase: Phase | None = None,
) -> ProgressReported:
    return ProgressReported(attempt, START, done, total, percent=percent, phase=phase)


_MESSAGE, _WORDS = text_of("photos/2019", b"0123456789abcdef")

PRODUCED: tuple[Command, ...] = (
    # a group of groups that fails, while what is below one of its jobs runs on
    group("fleet", expect=3),
    running("nas", "fleet"),
    ReportProgress("nas", report(40, phase=Phase("scan", 1, 2))),
    ReportProgress("nas", ProgressReported(1, START, message=_MESSAGE), words=(_WORDS,)),
    running("upload", "nas"),
    EndJob("nas", 1, DONE),
    group("disks", "fleet", tolerate=("failed",)),
    running("sda", "disks", end=BROKEN),
    running("sdb", "disks", end=SKIPPED),
    SealJob(ME, "disks"),
    queued("tonight", "fleet"),
    SealJob(ME, "fleet"),
    TakeUpJob("tonight", 0, HERE),
    FailAttempt("tonight", JobAttemptFailed(1, START, error_type="OSError", message=Text(2, "00"))),
    TakeUpJob("tonight", 1, THERE),
    EndJob("tonight", 2, BROKEN),
    # lost and back; lost, abandoned, and really done
    running("laptop"),
    LoseProducer("laptop", 1, report(7)),
    ReturnAttempt("laptop", 1),
    running("phone"),
    LoseProducer("phone", 1),
    AbandonJob("phone", 1),
    EndJob("phone", 1, DONE),
    # asked to stop
    running("asked"),
    RequestCancel(ME, "asked", JobCancelRequested(60, note=Text(2, "00"))),
    SeeCancel("asked", 1),
    EndJob("asked", 1, STOPPED),
    queued("never"),
    RequestCancel(ME, "never", JobCancelRequested(60)),
    queued("waiting"),
    # asked to stop because of a job above
    running("night"),
    ReportProgress("night", report(20)),
    group("fan", "night", expect=2),
    running("worked", "fan"),
    queued("unworked", "fan"),
    RequestCancel(ME, "night", JobCancelRequested(60)),
    SettleJob("unworked"),
    SettleJob("fan"),
    # one of many of its kind, labelled after its end
    running("nightly", series="nas/nightly", end=DONE),
    LabelJob(ME, "nightly", {"env": "home"}),
    # a group that runs, in which a job is lost, and one waits for another attempt
    group("crew"),
    running("lost", "crew"),
    ReportProgress("lost", report(40)),
    LoseProducer("lost", 1),
    running("again", "crew"),
    ReportProgress("again", report(30)),
    FailAttempt("again", JobAttemptFailed(1, START)),
    running("beats", "crew"),
    ReportProgress("beats", report(60)),
    # one that its producer knows by an id of its own
    RegisterJob(ME, "dated", "backup", registered(external_id="photos@1"), holder=HERE),
    # other ways to end
    queued("expired"),
    AbandonJob("expired", 0),
    running("killed", end=KILLED),
    running("forced"),
    RequestCancel(ME, "forced", JobCancelRequested(-60)),
    ForceEnd(ME, "forced"),
    running("gone"),
    LoseProducer("gone", 1),
    ForceEnd(ME, "gone"),
)
"""A history in which most things happen to jobs of producers."""


def named(commands: Iterable[Command], owner: str, uuid: Callable[[str], str]) -> Iterator[Command]:
    """Yield the same for jobs of another owner, with other uuids."""
    for command in commands:
        given = {"owner": owner} if hasattr(command, "owner") else {}
        for name in ("job", "parent"):
            if getattr(command, name, None) is not None:
                given[name] = uuid(getattr(command, name))
        yield replace(command, **given)
