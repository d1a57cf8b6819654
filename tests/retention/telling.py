"""What the tests of retention do, and look at, time and again."""

from ledger.domain.commands.drives import CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.commands.jobs import CreateJob, StartAttempt, SucceedJob, UpdateProgress
from tests.support.retained import Retained
from tests.support.world import ME, disk

DAYS = 3
ACTS = ("policy", "sweep", "compaction", "parking")


def jobs(kept: Retained) -> set[str]:
    """The jobs that are shown, whoever's they are."""
    return {str(row[0]) for row in kept.rows()["jobs"]}


def streams(kept: Retained) -> set[str]:
    """The streams that are in the store, but for the ledger's own acts."""
    with kept.ledger.log() as log:
        return {stream for stream in log.streams_after(0) if stream.partition("-")[0] not in ACTS}


def acts(kept: Retained, kind: str) -> list[str]:
    """The streams of the ledger's own acts of this kind."""
    with kept.ledger.log() as log:
        return log.streams_of(kind)


def check(kept: Retained) -> None:
    """The record is sound, and both folds of it are what is shown."""
    for archives in (None, kept.archives):
        divergence = kept.replay(archives).divergence
        assert divergence is None, divergence
    shown = kept.rows()
    rebuilt = kept.rebuild()
    assert rebuilt.before == rebuilt.after
    assert kept.rows() == shown


def drive(kept: Retained, uuid: str) -> None:
    kept.do(CreateDrives(ME, (NewDrive(uuid, disk(uuid)),), "blank"), MarkDriveReady(uuid))


def clone(kept: Retained, source: str, job: str) -> None:
    """A whole clone of a drive, to `copy-<job>`."""
    kept.do(
        CloneDrive(ME, source, f"copy-{job}", job),
        StartAttempt(job, 1, "w"),
        UpdateProgress(job, 1, 50, 5, 10, 5),
        SucceedJob(job, 1),
    )


def family(kept: Retained, root: str) -> None:
    """A job `root` with a job `<root>-below` below it; both succeed."""
    below = f"{root}-below"
    kept.do(
        CreateJob(ME, root, "x"),
        CreateJob(ME, below, "x", parent=root),
        StartAttempt(below, 1, "w"),
        SucceedJob(below, 1),
    )
