"""Drives as accounts see them: the library's, where they lie, and which ones are unfinished."""

import pytest

from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.commands.drives import (
    CloneDrive,
    CompleteResize,
    CreateDrives,
    DeleteDrives,
    MarkDriveReady,
    NewDrive,
    ResizeDrive,
)
from ledger.domain.commands.jobs import StartAttempt, SucceedJob
from ledger.domain.commands.servers import ChangePower, CreateServers, DeleteServers, NewServer
from ledger.domain.commands.tags import CreateTags, NewTag
from ledger.domain.decisions.placement import place_server
from tests.support.opened import Opened
from tests.support.read_models import drives_of, tags_of
from tests.support.world import (
    GIB,
    HOSTS,
    ME,
    SOMEBODY_ELSE,
    cdrom,
    disk,
    machine,
    mount,
)


@pytest.fixture
def library(opened: Opened) -> Opened:
    """A cdrom of the library that both accounts use."""
    opened.do(
        CreateDrives(LIBRARY, (NewDrive("l", cdrom()), NewDrive("l2", disk())), "upload"),
        MarkDriveReady("l"),
        CreateServers(ME, (NewServer("s", machine(), (mount("l"),), (), "hush"),)),
        CreateServers(SOMEBODY_ELSE, (NewServer("t", machine(), (mount("l"),), (), "hush"),)),
        CloneDrive(ME, "l", "copy", "j"),
        CloneDrive(SOMEBODY_ELSE, "l", "their-copy", "k"),
    )
    return opened


@pytest.mark.parametrize("account", [ME, SOMEBODY_ELSE, LIBRARY])
def test_a_library_drive_is_seen_by_everybody_without_what_others_do_with_it(
    library: Opened, account: str
) -> None:
    """Neither servers nor jobs: not even one's own."""
    with library.snapshot() as snapshot:
        drive = snapshot.drive("l", account)
        assert drive is not None
        assert (drive.owner, drive.ready) == (LIBRARY, True)
        assert drive.mounted_on == drive.jobs == drive.tags == []
        assert snapshot.drives_among(["copy", "l"], account)[-1] == drive


def test_library_drives_are_in_no_accounts_list(library: Opened) -> None:
    """They have a list of their own, the oldest first."""
    with library.snapshot() as snapshot:
        assert [drive.uuid for drive in drives_of(snapshot, ME)] == ["copy"]
        assert [drive.uuid for drive in drives_of(snapshot, LIBRARY)] == ["l", "l2"]
        assert (snapshot.count("drives", ME), snapshot.count("drives", LIBRARY)) == (1, 2)
        assert [uuid for uuid, _ in snapshot.pools(ME)] == ["copy"]


def test_a_clone_of_a_library_drive_shows_its_job(library: Opened) -> None:
    """It is the account's own; the job names both, because the account may see both."""
    with library.snapshot() as snapshot:
        copy = snapshot.drive("copy", ME)
        assert copy is not None
        assert [job.job for job in copy.jobs] == ["j"]
        tree = snapshot.job("j", ME)
        assert tree is not None
        assert tree.resources == ["drives/copy", "drives/l"]
        assert snapshot.drive("their-copy", ME) is None


def test_pools_are_told_of_ones_own_drives(opened: Opened) -> None:
    """Where each lies, the oldest first; clones too, deleted ones not."""
    opened.do(
        CreateDrives(ME, (NewDrive("a", disk(), "fast"), NewDrive("gone", disk())), "blank"),
        CreateDrives(ME, (NewDrive("b", disk(storage_type="zadara")),), "blank"),
        CreateDrives(SOMEBODY_ELSE, (NewDrive("theirs", disk()),), "blank"),
        MarkDriveReady("a"),
        DeleteDrives(ME, ("gone",)),
        CloneDrive(ME, "a", "copy", "j"),
    )
    with opened.snapshot() as snapshot:
        assert snapshot.pools(ME) == [("a", "fast"), ("b", "slow"), ("copy", "fast")]


def test_hosts_are_told_of_ones_own_running_servers(opened: Opened) -> None:
    """The oldest first; what is stopped or deleted is nowhere."""
    for owner, uuids in ((ME, ("c", "b", "a", "gone")), (SOMEBODY_ELSE, ("theirs",))):
        for uuid in uuids:
            opened.do(
                CreateServers(owner, (NewServer(uuid, machine(), (), (), "hush"),)),
                ChangePower(owner, uuid, "start"),
            )
    opened.do(
        ChangePower(ME, "b", "stop"), ChangePower(ME, "gone", "stop"), DeleteServers(ME, ("gone",))
    )
    with opened.snapshot() as snapshot:
        assert snapshot.hosts(ME) == [(uuid, place_server(HOSTS, uuid)) for uuid in ("c", "a")]
        running, stopped = snapshot.servers_among(["c", "b"], ME)
    assert running.host == place_server(HOSTS, "c")
    assert running.active_since is not None
    assert (stopped.host, stopped.active_since) == (None, None)


def test_drives_that_wait_for_an_image_or_grow_are_unfinished(opened: Opened) -> None:
    """Everybody's, but for clones that are copied: those are their jobs' business."""

    def unfinished() -> list[str]:
        with opened.snapshot() as snapshot:
            return snapshot.unfinished_drives()

    opened.do(
        CreateDrives(ME, (NewDrive("a", disk()), NewDrive("b", disk())), "blank"),
        CreateDrives(SOMEBODY_ELSE, (NewDrive("theirs", disk()),), "upload"),
    )
    assert unfinished() == ["a", "b", "theirs"]
    opened.do(MarkDriveReady("a"), DeleteDrives(ME, ("b",)), MarkDriveReady("theirs"))
    assert unfinished() == []
    opened.do(CloneDrive(ME, "a", "copy", "j"))
    assert unfinished() == []
    opened.do(StartAttempt("j", 1, "w"), SucceedJob("j", 1), ResizeDrive(ME, "copy", 2 * GIB))
    assert unfinished() == ["copy"]
    opened.do(CompleteResize("copy"))
    assert unfinished() == []


def test_a_drive_that_grows_shows_its_old_size(opened: Opened) -> None:
    """And that it is being resized."""

    def shown() -> tuple[int, bool]:
        with opened.snapshot() as snapshot:
            drive = snapshot.drive("a", ME)
        assert drive is not None
        return drive.definition.size, drive.resizing

    opened.do(
        CreateDrives(ME, (NewDrive("a", disk()),), "blank"),
        MarkDriveReady("a"),
        ResizeDrive(ME, "a", 2 * GIB),
    )
    assert shown() == (GIB, True)
    opened.do(CompleteResize("a"))
    assert shown() == (2 * GIB, False)


def test_a_tag_shows_what_bears_it_and_is_shown_by_it(opened: Opened) -> None:
    """Both ways, in the order of uuids; until one of them is deleted."""
    opened.do(
        CreateDrives(ME, (NewDrive("b", disk()), NewDrive("a", disk())), "blank"),
        CreateServers(ME, (NewServer("s", machine(), (), (), "hush"),)),
        CreateTags(
            ME, (NewTag("u", "x", {"k": "v"}, ("s", "b", "a")), NewTag("t", "x", {}, ("s",)))
        ),
    )
    with opened.snapshot() as snapshot:
        tags = {tag.uuid: tag for tag in tags_of(snapshot, ME)}
        [server] = snapshot.servers_among(["s"], ME)
        assert snapshot.tags_among(["u", "t"], SOMEBODY_ELSE) == []
    assert [(bearer.kind, bearer.uuid) for bearer in tags["u"].resources] == [
        ("drives", "a"),
        ("drives", "b"),
        ("servers", "s"),
    ]
    assert (tags["u"].name, tags["u"].meta) == ("x", {"k": "v"})
    assert server.tags == ["t", "u"]
    opened.do(DeleteDrives(ME, ("a",)), DeleteServers(ME, ("s",)))
    with opened.snapshot() as snapshot:
        [tag] = snapshot.tags_among(["u"], ME)
    assert [bearer.uuid for bearer in tag.resources] == ["b"]
