"""An account's log: which events tell what, to whom, and in which order."""

from datetime import timedelta
from typing import get_args

import msgspec
import pytest

from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    EditDrive,
    FailResize,
    MarkDriveReady,
    NewDrive,
    ResizeDrive,
)
from ledger.domain.commands.servers import ChangePower
from ledger.domain.commands.tags import CreateTags, NewTag
from ledger.domain.events import (
    Event,
    Recorded,
    drives,
    housekeeping,
    jobs,
    keypairs,
    producers,
    profiles,
    servers,
    tags,
    tokens,
)
from ledger.domain.producers.limits import limits
from ledger.store.parameters import timestamp
from ledger.store.writer import Caller
from projections.audit_log import LOGGED_EVENTS, Line, entries
from projections.views.read_models import LogEntry
from tests.support.opened import Opened, behind_its_back
from tests.support.story import STORY
from tests.support.world import GIB, ME, SOMEBODY_ELSE, START, disk, machine

NAMED = (
    jobs.Resource("drives", "d", "source"),
    jobs.Resource("servers", "s", "source"),
    jobs.Resource("drives", "copy", "destination"),
)

TOLD: list[tuple[str, Event, list[Line]]] = [
    (
        "job-j",
        jobs.JobCreated("drive_clone", ME, NAMED, "j"),
        [
            Line("clone_src", "Drives", "d"),
            Line("clone_src", "Servers", "s"),
            Line("clone_dst", "Drives", "copy"),
        ],
    ),
    ("job-j", jobs.JobCreated("drive_clone", ME, (), "j"), []),
    ("job-j", jobs.JobCreated("no operation of ours", ME, NAMED, "j"), []),
    ("job-j", jobs.JobLabelled({"env": "prod"}, ("team",)), []),
    ("job-j", jobs.ChildAttached("k"), []),
    ("job-j", jobs.JobAttemptStarted(1, "w"), []),
    ("job-j", jobs.JobAttemptLost(1), []),
    ("job-j", jobs.ProgressUpdated(1, 5, 5, 100, 5), []),
    ("job-j", jobs.ChildEnded("k", "success"), []),
    ("job-j", jobs.JobSucceeded(), []),
    ("job-j", jobs.JobFailed("on fire"), [Line("fail", "Jobs", "j", "on fire")]),
    ("job-j", jobs.JobCancelled(), [Line("cancel", "Jobs", "j")]),
    ("job-j", producers.JobRegistered("//nas", limits(), START), []),
    ("job-j", producers.ProgressReported(1, START), []),
    ("job-j", producers.JobAttemptReturned(1), []),
    ("job-j", producers.JobAttemptFailed(1, START), []),
    ("job-j", producers.JobSealed(), []),
    ("job-j", producers.JobCancelRequested(60), []),
    ("job-j", producers.JobCancelSeen(1), []),
    ("job-j", producers.JobSkipped(START), []),
    ("job-j", producers.LateReportRecorded(1, "succeeded", START), []),
    ("job-j", producers.JobTextsRemoved(), []),
    ("drive-d", drives.DriveCreated(ME, disk(), "p", "blank"), [Line("create", "Drives", "d")]),
    ("drive-d", drives.DriveCreated(ME, disk(), "p", "upload"), [Line("create", "Drives", "d")]),
    ("drive-d", drives.DriveCreated(ME, disk(), "p", "chunked"), [Line("create", "Drives", "d")]),
    ("drive-d", drives.DriveCreated(ME, disk(), "p", "clone"), []),
    ("drive-d", drives.DriveReady(), []),
    ("drive-d", drives.DriveImageFailed("full"), [Line("fail", "Drives", "d", "full")]),
    ("drive-d", drives.DriveChanged(disk()), [Line("update", "Drives", "d")]),
    ("drive-d", drives.DriveResizeStarted(GIB), [Line("update", "Drives", "d")]),
    ("drive-d", drives.DriveResized(), []),
    ("drive-d", drives.DriveResizeFailed("full"), [Line("update", "Drives", "d", "full")]),
    ("drive-d", drives.DriveDeleted(), [Line("delete", "Drives", "d")]),
    ("server-s", servers.ServerCreated(ME, machine()), [Line("create", "Servers", "s")]),
    ("server-s", servers.ServerChanged(()), [Line("update", "Servers", "s")]),
    (
        "server-s",
        servers.ServerPowerChanged("start", "running", "h"),
        [Line("start_send", "Servers", "s"), Line("boot", "Servers", "s")],
    ),
    (
        "server-s",
        servers.ServerPowerChanged("stop", "stopped"),
        [Line("stop_send", "Servers", "s"), Line("stop", "Servers", "s")],
    ),
    (
        "server-s",
        servers.ServerPowerChanged("shutdown", "stopped"),
        [Line("stop_send", "Servers", "s"), Line("stop", "Servers", "s")],
    ),
    (
        "server-s",
        servers.ServerPowerChanged("restart", "running", "h"),
        [Line(action, "Servers", "s") for action in ("stop_send", "stop", "start_send", "boot")],
    ),
    ("server-s", servers.ServerDeleted(), [Line("delete", "Servers", "s")]),
    ("tag-t", tags.TagCreated(ME, "x"), [Line("create", "Tags", "t")]),
    ("tag-t", tags.TagChanged("x", {}), [Line("update", "Tags", "t")]),
    ("tag-t", tags.ResourceTagged("drives", "d"), []),
    ("tag-t", tags.ResourceUntagged("d"), []),
    ("tag-t", tags.TagDeleted(), [Line("delete", "Tags", "t")]),
    (
        "keypair-k",
        keypairs.KeypairCreated(ME, "x", "ssh-rsa AAAA"),
        [Line("create", "Keypairs", "k")],
    ),
    ("keypair-k", keypairs.KeypairChanged("y", {}), [Line("update", "Keypairs", "k")]),
    ("keypair-k", keypairs.KeypairDeleted(), [Line("delete", "Keypairs", "k")]),
    ("profile-p", profiles.ProfileChanged(("phone",)), [Line("update", "Profile", "p")]),
    ("token-t", tokens.TokenIssued(ME, "laptop"), []),
    ("token-t", tokens.TokenRemoved(ME), []),
    # The ledger's own acts are nobody's.
    (housekeeping.POLICY_STREAM, housekeeping.RetentionPolicySet(timedelta(days=3), START), []),
    ("sweep-w", housekeeping.JobsDiscarded(timedelta(days=3), START, 1, ()), []),
    ("compaction-c", housekeeping.ArchiveWritten("a", "00", 1, 1, 1, ()), []),
    ("compaction-c", housekeeping.LedgerCompacted(1), []),
    ("restoration-r", housekeeping.LedgerRestored(2, "note"), []),
    ("parking-job-j", housekeeping.StreamParked("job-j", "sweep", "what is this"), []),
    ("parking-job-j", housekeeping.StreamReleased(skip=False), []),
]

IDS = [f"{type(event).__name__}-{nth}" for nth, (_, event, _) in enumerate(TOLD)]


@pytest.mark.parametrize(("stream", "event", "lines"), TOLD, ids=IDS)
def test_an_event_tells_its_lines_in_one_entry(
    stream: str, event: Event, lines: list[Line]
) -> None:
    """Keyed by whose it is, when it was and which event it is; without lines there is none."""
    made = entries(stream, 3, Recorded(START, "actor", "request", event), ME)
    if not lines:
        assert made == {}
        return
    [((table, key), row)] = made.items()
    assert (table, key) == (
        "audit_log",
        (ME, "2026-01-02T03:04:05.678901+00:00", stream, 3),
    )
    assert row[:5] == (*key, "actor")
    assert msgspec.json.decode(row[5], type=list[Line]) == lines


def test_every_event_is_in_that_table() -> None:
    """A new kind of event must be given to it; and those that tell are known to a rebuild."""
    assert {type(event) for _, event, _ in TOLD} == set(get_args(Event))
    assert {type(event) for _, event, lines in TOLD if lines} == LOGGED_EVENTS


# The log as it is read


def log_of(opened: Opened, owner: str = ME) -> list[LogEntry]:
    with opened.snapshot() as snapshot:
        found = list(snapshot.log_entries(owner))
        assert len(found) == snapshot.count_log_entries(owner)
    return found


def test_the_newest_line_comes_first(opened: Opened) -> None:
    """Also of the lines of one event."""
    opened.do(
        CreateDrives(ME, (NewDrive("d", disk()), NewDrive("e", disk())), "blank"),
        MarkDriveReady("d"),
        EditDrive(ME, "d", name="x"),
        CloneDrive(ME, "d", "copy", "j"),
        DeleteDrives(ME, ("e",)),
    )
    assert [entry.line[:3] for entry in log_of(opened)] == [
        ("delete", "Drives", "e"),
        ("clone_dst", "Drives", "copy"),
        ("clone_src", "Drives", "d"),
        ("update", "Drives", "d"),
        ("create", "Drives", "e"),
        ("create", "Drives", "d"),
    ]


def test_an_entry_says_when_and_by_whom_it_was_caused(opened: Opened) -> None:
    """A worker's doing is told to the account whose drive it is."""
    opened.do(CreateDrives(ME, (NewDrive("d", disk()),), "blank"), MarkDriveReady("d"))
    opened.do(ResizeDrive(ME, "d", 2 * GIB), by=Caller(ME, "r"))
    opened.do(FailResize("d", "PoolFull"), by=Caller("worker:w", ""))
    failed, wanted, created = log_of(opened)
    assert (failed.actor, failed.line) == (
        "worker:w",
        Line("update", "Drives", "d", "PoolFull"),
    )
    assert wanted.actor == created.actor == ME
    assert timestamp(START) <= created.recorded_at < wanted.recorded_at < failed.recorded_at


def test_each_account_has_a_log_of_its_own(told: Opened) -> None:
    """Nothing of the others, and nothing of the library."""
    told.do(
        CreateDrives(LIBRARY, (NewDrive("l", disk()),), "blank"),
        MarkDriveReady("l"),
        CloneDrive(SOMEBODY_ELSE, "l", "their-copy", "their-clone"),
    )
    assert [entry.line for entry in log_of(told, SOMEBODY_ELSE)] == [
        Line("clone_dst", "Drives", "their-copy"),
        Line("clone_src", "Drives", "l"),
        Line("create", "Drives", "theirs"),
    ]
    mine = {entry.line.uuid for entry in log_of(told)}
    assert not mine & {"l", "their-copy", "theirs", "their-clone"}
    assert log_of(told, "nobody") == []


def test_what_is_deleted_stays_in_the_log(told: Opened) -> None:
    """A log does not forget."""
    lines = [entry.line for entry in log_of(told)]
    assert Line("create", "Drives", "gone") in lines
    assert Line("delete", "Drives", "gone") in lines
    assert Line("cancel", "Jobs", "cancelled-clone") in lines


def test_a_long_log_is_read_some_at_a_time(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same order, none twice and none left out, whatever is read beside it."""
    monkeypatch.setattr("ledger.store.log.READ_ROWS", 3)
    opened.do(*(CreateTags(ME, (NewTag(f"t{nth:02}", "x"),)) for nth in range(20)))
    with opened.snapshot() as snapshot:
        reading = snapshot.log_entries(ME)
        read = []
        for entry in reading:
            read.append(entry.line.uuid)
            assert snapshot.count_log_entries(ME) == 20
    assert read == [f"t{nth:02}" for nth in reversed(range(20))]


def test_a_rebuilt_log_is_the_same(opened: Opened) -> None:
    """Entry by entry, and an audit finds nothing."""
    opened.do(*STORY, ChangePower(ME, "t", "restart"))
    before = log_of(opened)
    rebuilt = opened.rebuild()
    assert rebuilt.before == rebuilt.after
    assert log_of(opened) == before
    assert opened.replay().divergence is None


TAMPERINGS = {
    "changed": "UPDATE audit_log_g1 SET actor = 'x' WHERE stream = 'drive-gone'",
    "missing": "DELETE FROM audit_log_g1 WHERE stream = 'drive-gone'",
    "made up": "INSERT INTO audit_log_g1 VALUES ('account-1', '2026', 'drive-x', 1, 'x', '[]')",
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_an_entry_that_is_not_as_its_event_made_it_is_found(told: Opened, how: str) -> None:
    """Changed, missing or made up: the auditor names the place, and a rebuild repairs it."""
    before = log_of(told)
    with behind_its_back(told.file) as connection:
        assert connection.execute(TAMPERINGS[how]).rowcount
    divergence = told.replay().divergence
    assert divergence is not None
    assert "audit_log" in divergence.reason
    told.rebuild()
    assert log_of(told) == before
    assert told.replay().divergence is None
