"""What is remembered of jobs is what a read would find, for whoever knows of a commit."""

from concurrent.futures import Future
from threading import Event, Thread
from typing import Any

import pytest

from ledger.domain.commands.drives import CreateDrives, NewDrive
from ledger.domain.commands.housekeeping import SetRetention
from ledger.domain.commands.jobs import (
    CreateJob,
    FailJob,
    LabelJob,
    LoseAttempt,
    StartAttempt,
    SucceedJob,
    UpdateProgress,
)
from ledger.domain.commands.servers import DeleteServers
from ledger.store.seam import Commit
from projections.shown import families, hand_over
from projections.shown.families import ROW_BYTES
from projections.views.jobs import LongTree
from tests.projections.shown.indexed import BODY_BYTES, Indexed
from tests.support.discarding import AT_ONCE, discard
from tests.support.opened import CALLER, Opened, behind_its_back
from tests.support.wait import PATIENCE_S
from tests.support.world import ME, SOMEBODY_ELSE, disk


def test_a_job_that_is_read_again_and_again_is_never_stale(told: Opened) -> None:
    """What is remembered of it changes with whatever it shows."""
    jobs = Indexed(told)

    def shown() -> tuple[int, str, list[str]]:
        tree = jobs.tree("running-clone-of-s")
        assert tree is not None
        assert jobs.tree("running-clone-of-s") is tree
        assert jobs.tree("running-clone-of-s", SOMEBODY_ELSE) is None
        return tree.children[0].job.progress, tree.job.state, tree.resources

    assert shown() == (41, "started", ["servers/s", "servers/s4"])
    told.do(UpdateProgress("new-10", 1, 42))
    assert shown()[0] == 42
    told.rebuild()
    assert shown()[0] == 42
    told.do(UpdateProgress("new-10", 1, 43))
    assert shown()[0] == 43
    told.do(SucceedJob("new-10", 1), StartAttempt("new-12", 1, "w"), FailJob("new-12", 1, "no"))
    assert shown() == (100, "failed", ["servers/s"])
    told.do(DeleteServers(ME, ("s",)))
    assert shown()[2] == []
    assert jobs.tree("late") is None
    told.do(CreateJob(ME, "late", "x"))
    assert jobs.tree("late") is not None


def test_what_is_shown_never_goes_back(opened: Opened) -> None:
    """A commit may be handed over only after a read has met those behind it."""
    opened.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    commits: list[Commit] = []
    opened.ledger.listen_here(commits.append)
    opened.do(UpdateProgress("j", 1, 10), UpdateProgress("j", 1, 20))
    jobs = Indexed(opened)
    assert jobs.remembers("j") or jobs.tree("j")
    for late in commits:
        jobs.note(late)
        tree = jobs.tree("j")
        assert tree is not None
        assert tree.job.progress == 20


def test_only_what_changes_is_read_and_made_anew(opened: Opened) -> None:
    """A report makes the job and those above it; a new job has its whole tree read."""
    opened.do(CreateJob(ME, "p", "x"), CreateJob(ME, "other", "x"))
    opened.do(*(CreateJob(ME, child, "x", parent="p") for child in ("c", "d")))
    jobs = Indexed(opened)
    everything = ["p", "c", "d", "other"]
    assert all(jobs.tree(job) for job in everything)
    jobs.made.clear()
    opened.do(StartAttempt("c", 1, "w"), UpdateProgress("c", 1, 7), LoseAttempt("c", 1))
    with opened.snapshot() as snapshot:
        assert [jobs.tree(job) for job in everything] == [
            snapshot.job(job, ME) for job in everything
        ]
    assert jobs.made == ["p", "c"]
    opened.do(CreateJob(ME, "e", "x", parent="p"))
    assert not jobs.remembers("d")
    assert jobs.remembers("other")


def test_whoever_is_told_of_a_commit_finds_it(opened: Opened) -> None:
    """The caller waits until it was handed over, and the ledger's position too."""
    opened.do(CreateJob(ME, "j", "x"))
    jobs, positions = Indexed(opened), list[tuple[int, int]]()
    assert jobs.tree("j")
    noted, go_on, answer = Event(), Event(), Future[int]()

    def hold(news: object) -> None:
        assert isinstance(news, Commit)
        positions.append((opened.ledger.position, news.position))
        noted.set()
        assert go_on.wait(PATIENCE_S)

    def label() -> None:
        command = LabelJob(ME, "j", {"a": "b"}, ())
        answer.set_result(opened.ledger.execute_blocking(command, CALLER))

    opened.ledger.listen_first(hold)
    thread = Thread(target=label)
    thread.start()
    assert noted.wait(PATIENCE_S)
    with opened.snapshot() as snapshot:
        assert jobs.tree("j") == snapshot.job("j", ME)
    assert not answer.done()
    go_on.set()
    position = answer.result(PATIENCE_S)
    thread.join(PATIENCE_S)
    assert positions == [(position - 1, position)]


def test_an_event_loop_that_is_busy_for_long_forgets_rather_than_misses(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits do not pile up without end, and one call waits in the loop however many there are."""
    monkeypatch.setattr(hand_over, "WAITING_MOST", 3)
    opened.do(*(CreateJob(ME, job, "x") for job in ("j", "k")))
    opened.do(*(StartAttempt(job, 1, "w") for job in ("j", "k")))
    jobs = Indexed(opened)
    assert jobs.tree("j")
    opened.do(UpdateProgress("j", 1, 19))
    for progress in range(10, 20):
        opened.do(UpdateProgress("k", 1, progress))
        assert len(jobs._handed_over._waiting) <= 4
    assert len(jobs.wakes) == 1
    tree = jobs.tree("j")
    assert tree is not None
    assert tree.job.progress == 19
    opened.do(UpdateProgress("j", 1, 20))
    assert len(jobs.wakes) == 2
    jobs.wakes[-1]()
    assert not jobs._handed_over


def test_rows_that_were_made_anew_are_shown_at_once(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the commit on, not from when it was announced: a list shows them by then."""
    opened.do(CreateJob(ME, "j", "x"))
    with behind_its_back(opened.file) as connection:
        connection.execute("UPDATE jobs_g1 SET operation = 'drifted' WHERE uuid = 'j'")
    jobs, seen = Indexed(opened), list[tuple[Any, Any]]()
    exclusive = opened.store.exclusive

    def then_look(work: Any) -> Any:
        found = exclusive(work)
        with opened.snapshot() as snapshot:
            seen.append((jobs.tree("j"), snapshot.job("j", ME)))
        return found

    assert jobs.tree("j")
    monkeypatch.setattr(opened.store, "exclusive", then_look)
    opened.rebuild()
    assert all(remembered == read for remembered, read in seen)
    assert {tree.job.operation for tree, _ in seen} == {"drifted", "x"}
    assert jobs.tree("j")
    assert jobs.remembers("j")


def test_work_that_is_broken_off_is_not_waited_for(opened: Opened) -> None:
    """It would have made all rows anew; what is remembered afterwards is what is there."""
    opened.do(CreateJob(ME, "j", "x"))
    jobs = Indexed(opened)

    def flip(cursor: Any) -> None:
        cursor.execute("UPDATE projection_head SET generation = 1")

    opened.ledger.exclusive(flip).result()
    assert jobs.tree("j")
    assert jobs.remembers("j")


def test_a_discard_forgets_its_trees_and_no_others(opened: Opened) -> None:
    opened.do(SetRetention(AT_ONCE))
    opened.do(*(CreateJob(ME, job, "x") for job in ("old", "young", "runs")))
    opened.do(StartAttempt("old", 1, "w"), SucceedJob("old", 1))
    cutoff = opened.now()
    jobs = Indexed(opened)
    assert all(jobs.tree(job) for job in ("old", "young", "runs"))
    discard(opened.ledger, "sweep-1", cutoff)
    assert jobs.tree("old") is None
    assert jobs.remembers("young")
    assert jobs.remembers("runs")


def test_a_named_drive_is_shown_once_it_is_there(opened: Opened) -> None:
    """Nothing follows from a drive that nobody names, or that stays."""
    jobs = Indexed(opened)
    opened.do(CreateJob(ME, "j", "x"))
    assert jobs.tree("j")
    opened.do(CreateDrives(ME, (NewDrive("d", disk()),), "blank"))
    assert jobs.remembers("j")


def test_memory_is_bounded_in_bytes(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was not asked for the longest goes first; what is too long is not kept at all."""
    each = ROW_BYTES + BODY_BYTES
    jobs = Indexed(opened, bytes_most=3 * each)
    names = [f"j{number}" for number in range(4)]
    opened.do(*(CreateJob(ME, job, "x") for job in names))
    for job in ("j0", "j1", "j2", "j0", "j3"):
        assert jobs.tree(job)
        assert jobs.bytes <= 3 * each
    assert [job for job in names if jobs.remembers(job)] == ["j0", "j2", "j3"]
    opened.do(CreateJob(ME, "c", "x", parent="j2"))
    assert jobs.tree("c")
    assert jobs.bytes == 2 * each + ROW_BYTES
    assert jobs.tree("j2")
    assert jobs.bytes == each + 2 * each
    monkeypatch.setattr(families, "FAMILY_BYTES_MOST", each)
    opened.do(LabelJob(ME, "j2", {"a": "b"}, ()))
    assert jobs.tree("j2")
    assert not jobs.remembers("c")
    assert jobs.bytes == each
    assert Indexed(opened, bytes_most=0).tree("j3")


def test_a_long_tree_is_not_read(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "TREE_MOST", 1)
    opened.do(CreateJob(ME, "p", "x"), CreateJob(ME, "c", "x", parent="p"))
    with pytest.raises(LongTree):
        Indexed(opened).tree("c")
