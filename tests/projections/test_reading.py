"""What the views answer: fresh, in order, and only what is there."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.commands.jobs import CreateJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.domain.commands.servers import DeleteServers
from projections.views.read_models import JobTree
from projections.views.snapshot import Snapshot
from tests.support.opened import CALLER, Opened
from tests.support.read_models import drives_of, jobs_of, servers_of
from tests.support.wait import patience
from tests.support.world import ME, SOMEBODY_ELSE, disk


def jobs(snapshot: Snapshot, states: list[str] | None = None, **page: int) -> list[str]:
    return [tree.job.uuid for tree in jobs_of(snapshot, ME, states, **{"limit": -1, **page})]


# Freshness


async def test_a_read_after_an_answer_is_never_stale(opened: Opened) -> None:
    """Whatever many do at once, each sees its own change as soon as it is acknowledged."""

    async def one(nth: int) -> None:
        for step in range(5):
            uuid, job = f"d{nth}-{step}", f"j{nth}-{step}"
            new = CreateDrives(ME, (NewDrive(uuid, disk()),), "blank")
            await opened.ledger.execute(new, CALLER)
            with opened.snapshot() as snapshot:
                found = snapshot.drive(uuid, ME)
                assert found is not None
                assert not found.ready
            await opened.ledger.execute(MarkDriveReady(uuid), CALLER)
            await opened.ledger.execute(CloneDrive(ME, uuid, f"{uuid}-copy", job), CALLER)
            with opened.snapshot() as snapshot:
                found = snapshot.drive(uuid, ME)
                assert found is not None
                assert found.ready
                assert [(job, "source", True, "drive_clone")] == found.jobs
            await opened.ledger.execute(StartAttempt(job, 1, "w"), CALLER)
            await opened.ledger.execute(SucceedJob(job, 1), CALLER)
            await opened.ledger.execute(DeleteDrives(ME, (uuid,)), CALLER)
            with opened.snapshot() as snapshot:
                assert snapshot.drive(uuid, ME) is None
                tree = snapshot.job(job, ME)
                assert tree is not None
                assert tree.job.state == "success"
                assert [f"drives/{uuid}-copy"] == tree.resources

    async with patience("for all of them"):
        await asyncio.gather(*map(one, range(32)))


def test_drives_and_servers_are_read_in_the_order_asked_for(told: Opened) -> None:
    """Only those that exist and are the account's own."""
    with told.snapshot() as snapshot:
        drives = snapshot.drives_among(["cd", "gone", "theirs", "a", "nothing"], ME)
        servers = snapshot.servers_among(["s4", "t2", "s"], ME)
        assert [drive.uuid for drive in drives] == ["cd", "a"]
        assert [server.uuid for server in servers] == ["s4", "s"]
        assert drives[1] == snapshot.drive("a", ME)
        assert snapshot.drives_among([], ME) == []


def test_a_snapshot_is_of_one_moment(told: Opened) -> None:
    """Reads of one snapshot agree with each other, whatever is committed or rebuilt meanwhile."""
    with told.views.long_snapshot() as snapshot:
        before = jobs(snapshot)
        told.do(CreateJob(ME, "late", "x"))
        told.rebuild()
        told.do(CreateJob(ME, "later", "x"))
        assert before == jobs(snapshot)
        assert len(before) == snapshot.count_jobs(ME, None)
    with told.snapshot() as snapshot:
        assert jobs(snapshot)[:2] == ["later", "late"]


# Lists


def test_jobs_are_listed_by_their_last_change(told: Opened) -> None:
    """The newest first; sub-jobs are listed too, those of other accounts are not."""
    with told.snapshot() as snapshot:
        trees = jobs_of(snapshot, ME)
    stamps = [tree.job.last_modified for tree in trees]
    assert stamps == sorted(stamps, reverse=True)
    uuids = {tree.job.uuid for tree in trees}
    assert {"clone-of-s", "new-2", "leaf", "root"} < uuids
    assert "their-job" not in uuids
    told.do(UpdateProgress("new-10", 1, 50))
    with told.snapshot() as snapshot:
        assert jobs(snapshot)[0] == "new-10"
        assert [t.job.uuid for t in jobs_of(snapshot, SOMEBODY_ELSE, None, limit=9)] == [
            "their-job"
        ]


@pytest.mark.parametrize(
    "states",
    [
        ["started"],
        ["success"],
        ["failed"],
        ["success", "failed"],
        ["started", "failed"],
        [],
        ["no"],
    ],
    ids="+".join,
)
def test_jobs_are_filtered_by_state(told: Opened, states: list[str]) -> None:
    """One state or several, in the same order as all."""
    with told.snapshot() as snapshot:
        every = jobs_of(snapshot, ME)
        wanted = [tree.job.uuid for tree in every if tree.job.state in states]
        assert wanted == jobs(snapshot, states)
        assert len(wanted) == snapshot.count_jobs(ME, states)
        assert wanted == list(snapshot.listed_jobs(ME, states, limit=-1))


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_put_together_are_the_list(told: Opened, limit: int) -> None:
    """Nothing is left out and nothing comes twice, also where changes have the same time."""
    with told.snapshot() as snapshot:
        every = jobs(snapshot)
        pages = [
            uuid
            for offset in range(0, len(every) + limit, limit)
            for uuid in jobs(snapshot, limit=limit, offset=offset)
        ]
        assert every == pages
        assert jobs(snapshot, limit=0) == []
        drives = [drive.uuid for drive in drives_of(snapshot, ME)]
        servers = [server.uuid for server in servers_of(snapshot, ME)]
        assert drives[1:3] == [d.uuid for d in drives_of(snapshot, ME, limit=2, offset=1)]
        assert servers[1:3] == [s.uuid for s in servers_of(snapshot, ME, limit=2, offset=1)]
        assert (len(drives), len(servers)) == (
            snapshot.count("drives", ME),
            snapshot.count("servers", ME),
        )


def test_jobs_of_one_moment_are_listed_by_uuid(opened: Opened) -> None:
    """The order is whole: a page never depends on chance."""
    opened.do(
        CreateDrives(ME, (NewDrive("d", disk()),), "blank"),
        MarkDriveReady("d"),
        CreateJob(ME, "p", "x"),
        CreateJob(ME, "c", "x", parent="p"),
    )
    with opened.snapshot() as snapshot:
        assert jobs(snapshot) == ["c", "p"]


def test_a_whole_list_is_read_some_at_a_time(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same order as a page of it, whatever is read of each part meanwhile."""
    monkeypatch.setattr("projections.views.lists.STREAM_ROWS", 3)
    monkeypatch.setattr("ledger.store.log.READ_ROWS", 2)
    opened.do(*(CreateJob(ME, f"j{nth}", "x") for nth in range(7)))
    with opened.views.long_snapshot() as snapshot:
        every = snapshot.listed_jobs(ME, None, limit=-1)
        parts = [
            [tree.uuid for tree in snapshot.jobs_among(part, ME)]
            for part in snapshot.batches("jobs", every, 10**6)
        ]
    assert parts == [["j6", "j5", "j4"], ["j3", "j2", "j1"], ["j0"]]


def test_drives_and_servers_are_listed_oldest_first(told: Opened) -> None:
    """Deleted ones and those of other accounts are not."""
    with told.snapshot() as snapshot:
        drives = [drive.uuid for drive in drives_of(snapshot, ME)]
        servers = [server.uuid for server in servers_of(snapshot, ME)]
        theirs = [drive.uuid for drive in drives_of(snapshot, SOMEBODY_ELSE)]
    assert drives == ["a", "b", "cd", "new-1", "new-3", "new-11", "new-9"]
    assert servers == ["s", "t", "s2", "s4", "u"]
    assert theirs == ["theirs"]


def test_answers_are_not_limited_by_the_number_of_sql_variables(told: Opened) -> None:
    """SQLite allows 32,766 of them, some builds fewer; a list may be longer."""
    with told.snapshot() as snapshot:
        drives, servers = drives_of(snapshot, ME), servers_of(snapshot, ME)
        trees = jobs_of(snapshot, ME)
        assert len(drives) > 4
        snapshot._connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 4)
        assert drives == drives_of(snapshot, ME)
        assert servers == servers_of(snapshot, ME)
        assert trees == jobs_of(snapshot, ME)
        assert trees[-1] == snapshot.job(trees[-1].job.uuid, ME)


# Trees and relations


def shape(tree: JobTree) -> object:
    return {tree.job.uuid: [shape(child) for child in tree.children]}


def test_a_job_is_shown_with_all_below_it(told: Opened) -> None:
    """Four deep, children in the order in which they came; and from any place in the tree."""
    with told.snapshot() as snapshot:
        root, twig = snapshot.job("root", ME), snapshot.job("twig", ME)
        assert root is not None
        assert twig is not None
        assert shape(root) == {"root": [{"branch": [{"twig": [{"leaf": []}, {"other-leaf": []}]}]}]}
        assert shape(twig) == {"twig": [{"leaf": []}, {"other-leaf": []}]}
        listed = {tree.job.uuid: tree for tree in jobs_of(snapshot, ME)}
        assert root == listed["root"]
        assert twig == listed["twig"]


def test_a_sub_job_is_shown_with_all_below_it(opened: Opened) -> None:
    """Whatever is beside it, which need not be read if nothing is below."""
    opened.do(
        CreateJob(ME, "root", "x"),
        *(CreateJob(ME, uuid, "x", parent="root") for uuid in ("branch", "leaf", "other")),
        CreateJob(ME, "twig", "x", parent="branch"),
    )
    with opened.snapshot() as snapshot:
        shown = snapshot.jobs_among(["leaf", "branch", "twig"], ME)
        below = {tree.job.uuid: [child.job.uuid for child in tree.children] for tree in shown}
        assert below == {"leaf": [], "branch": ["twig"], "twig": []}
        (root,) = snapshot.jobs_among(["root"], ME)
        assert [child.job.uuid for child in root.children] == ["branch", "leaf", "other"]


def test_many_children_stay_in_order(opened: Opened) -> None:
    """By their place, not by their uuid or the text of their number."""
    opened.do(CreateJob(ME, "p", "x"))
    uuids = [f"c{nth}" for nth in range(12, 0, -1)]
    opened.do(*(CreateJob(ME, uuid, "x", parent="p") for uuid in uuids))
    with opened.snapshot() as snapshot:
        tree = snapshot.job("p", ME)
    assert tree is not None
    assert uuids == [child.job.uuid for child in tree.children]


def test_a_job_of_another_account_is_not_shown(told: Opened) -> None:
    """Nor a drive, nor a server."""
    with told.snapshot() as snapshot:
        assert snapshot.job("root", SOMEBODY_ELSE) is None
        assert snapshot.drive("a", SOMEBODY_ELSE) is None
        assert snapshot.servers_among(["s"], SOMEBODY_ELSE) == []
        assert snapshot.job("nothing", ME) is None
        assert snapshot.count_jobs(SOMEBODY_ELSE, None) == 1


def test_resources_of_a_job_are_those_that_exist(told: Opened) -> None:
    """A deleted drive or server is dropped from every job that names it."""

    def resources(job: str) -> list[str]:
        with told.snapshot() as snapshot:
            tree = snapshot.job(job, ME)
            assert tree is not None
            return tree.resources

    assert resources("new-2") == ["drives/a", "drives/new-1"]
    told.do(DeleteDrives(ME, ("new-1",)))
    assert resources("new-2") == ["drives/a"]
    assert resources("clone-of-s") == ["servers/s", "servers/s2"]
    told.do(DeleteServers(ME, ("s2",)))
    assert resources("clone-of-s") == ["servers/s"]
    assert resources("clone-of-a") == ["drives/a"], "what a failed job made is gone"


def test_a_drive_shows_its_jobs_and_servers(told: Opened) -> None:
    """Jobs oldest first, with their role and whether they run; servers oldest first."""
    with told.snapshot() as snapshot:
        a, cd, copy = (snapshot.drive(uuid, ME) for uuid in ("a", "cd", "new-9"))
        assert a is not None
        assert cd is not None
        assert copy is not None
    assert a.mounted_on == ["s"]
    assert a.jobs == [
        ("new-2", "source", False, "drive_clone"),
        ("new-6", "source", False, "drive_clone"),
        ("new-10", "source", True, "drive_clone"),
        ("clone-of-a", "source", False, "drive_clone"),
    ]
    assert cd.mounted_on == ["s", "t", "s2", "s4"]
    assert (
        copy.mounted_on,
        copy.jobs,
        copy.ready,
    ) == (["s4"], [("new-10", "destination", True, "drive_clone")], False)


def test_a_server_shows_its_mounts_jobs_and_password(told: Opened) -> None:
    """A clone has the password of its source; a deleted drive is mounted no longer."""
    with told.snapshot() as snapshot:
        # What a failed job made, s3, is gone.
        [s, s2] = snapshot.servers_among(["s", "s2", "s3"], ME)
    assert [mount.drive for mount in s.mounts] == ["a", "b", "cd"]
    assert [mount.drive for mount in s2.mounts] == ["new-1", "new-3", "cd"]
    assert "hush" == s.vnc_password == s2.vnc_password
    assert s2.jobs == [("clone-of-s", "destination", False, "server_clone")]
    with closing(sqlite3.connect(told.file)) as connection:
        kept = connection.execute("SELECT server FROM server_secrets ORDER BY server").fetchall()
    assert kept == [("s",), ("s2",), ("s4",), ("t",), ("u",)]


def test_work_that_waits_is_found_at_the_next_start(told: Opened) -> None:
    """Running jobs without sub-jobs and drives without an image, of every account."""
    with told.snapshot() as snapshot:
        leaves = snapshot.running_leaves()
        unready = snapshot.unfinished_drives()
    assert leaves == ["new-10", "new-12", "other-leaf", "their-job"], "oldest first"
    assert unready == ["theirs"]
