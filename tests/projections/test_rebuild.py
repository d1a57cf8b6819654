"""Building the read models anew beside the live ones."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

import projections.maintenance.rebuild
from ledger.domain.commands import Command
from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.commands.jobs import CreateJob, FailJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.domain.commands.servers import CloneServer, DeleteServers
from ledger.domain.commands.tags import CreateTags, DeleteTag, NewTag
from ledger.domain.errors.store import StoreFailed, UnknownEvent
from ledger.store.seam import Cursor, Log
from ledger.store.sqlite.long_reads import LongReads
from ledger.store.sqlite.store import SqliteStore
from projections.maintenance.rebuild import AlreadyRebuilding, NotCompared, rebuild
from tests.support.opened import Opened, behind_its_back
from tests.support.story import STORY
from tests.support.wait import PATIENCE_S, wait_for
from tests.support.world import ME, Foreseen, disk

DRIFTS = {
    "a value": "UPDATE jobs_g{g} SET progress = 7 WHERE uuid = 'new-10'",
    "a row too many": "INSERT INTO attachments_g{g} VALUES ('s', 9, 'theirs', 'now')",
    "a row too few": "DELETE FROM drives_g{g} WHERE uuid = 'a'",
    "an empty table": "DELETE FROM servers_g{g}",
}


def generations(file: Path) -> tuple[int, set[int]]:
    """The live one, and all whose tables exist."""
    with closing(sqlite3.connect(file)) as connection:
        [(live,)] = connection.execute("SELECT generation FROM projection_head")
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return live, {int(n.rpartition("_g")[2]) for (n,) in names if n.rpartition("_g")[2].isdigit()}


def drift(opened: Opened, how: str) -> None:
    live, _ = generations(opened.file)
    with behind_its_back(opened.file) as connection:
        assert connection.execute(DRIFTS[how].format(g=live)).rowcount


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short story takes many of them."""
    monkeypatch.setattr(projections.maintenance.rebuild, "SLICE_ROWS", 4)
    monkeypatch.setattr(projections.maintenance.rebuild, "CATCH_UP_STREAMS", 3)
    monkeypatch.setattr(projections.maintenance.rebuild, "REPORT_EVENTS", 10)


def test_a_rebuild_gives_the_live_rows(told: Opened) -> None:
    """Byte for byte, in another generation, and the old one is gone."""
    before = told.rows()
    rebuilt = told.rebuild()
    assert before == told.rows()
    assert rebuilt.before == rebuilt.after
    assert (2, {2}) == generations(told.file)
    with told.ledger.log() as log:
        assert (log.last_position(), log.count()) == (rebuilt.position, rebuilt.events)


def test_a_rebuild_of_nothing_gives_nothing(opened: Opened) -> None:
    """An empty ledger has no rows."""
    rebuilt = opened.rebuild()
    assert rebuilt.before == rebuilt.after
    assert (rebuilt.position, rebuilt.events) == (0, 0)


def test_a_rebuild_can_follow_a_rebuild(told: Opened) -> None:
    """Generations go on, also after reopening."""
    told.rebuild()
    told.rebuild()
    assert (3, {3}) == generations(told.file)
    told.do(CreateJob(ME, "late", "x"))
    told.close()
    with Opened(told.file, environment=Foreseen(prefix="again")) as again:
        rebuilt = again.rebuild()
        assert rebuilt.before == rebuilt.after
        again.do(DeleteDrives(ME, ("new-1",)))
        assert again.replay().divergence is None


def test_a_rebuild_leaves_secrets_alone(told: Opened) -> None:
    """Plain tables are no projections."""
    told.rebuild()
    with told.snapshot() as snapshot:
        [server] = snapshot.servers_among(["s2"], ME)
    assert server.vnc_password == "hush"


@pytest.mark.parametrize("how", DRIFTS)
def test_a_drifted_row_is_repaired(told: Opened, how: str) -> None:
    """The digests say that there was something to repair; after it there is not."""
    before = told.rows()
    drift(told, how)
    assert before != told.rows()
    rebuilt = told.rebuild()
    assert rebuilt.before != rebuilt.after
    assert before == told.rows()
    again = told.rebuild()
    assert again.before == again.after == rebuilt.after


MEANWHILE: tuple[Command, ...] = (
    UpdateProgress("new-10", 1, 77, 7, 9, 8),
    DeleteDrives(ME, ("new-1",)),
    DeleteServers(ME, ("s2",), "disks"),
    CreateDrives(ME, (NewDrive("late", disk()),), "blank"),
    FailJob("new-10", 1, "on fire"),
    StartAttempt("new-12", 1, "w"),
    SucceedJob("new-12", 1),
    CreateJob(ME, "late-job", "x"),
    CreateJob(ME, "late-child", "x", parent="late-job"),
)


def test_what_is_recorded_while_it_fills_is_caught_up_with(told: Opened) -> None:
    """Changed rows, new ones and those that are gone: nothing of them is missed."""
    commands = list(MEANWHILE)

    def report(done: int, total: int) -> None:
        if commands:
            told.do(commands.pop(0))

    rebuilt = rebuild(told.ledger, report)
    told.do(*commands)
    assert rebuilt.before == rebuilt.after
    assert told.replay().divergence is None


def test_what_comes_and_goes_between_two_snapshots_leaves_no_row(
    told: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stream is read by a snapshot of its own, and as of the same position as the first."""
    log, snapshots = told.ledger.log, count(1)

    def log_meanwhile() -> AbstractContextManager[Log]:
        if next(snapshots) == 3:
            told.do(CreateTags(ME, (NewTag("zz", "for a moment", resources=("a",)),)))
        return log()

    def report(done: int, total: int) -> None:
        if done == total:
            told.do(DeleteTag(ME, "zz"))

    monkeypatch.setattr(projections.maintenance.rebuild, "SNAPSHOT_S", -1)
    monkeypatch.setattr(projections.maintenance.rebuild, "SNAPSHOT_FACTOR", -1)
    monkeypatch.setattr(told.ledger, "log", log_meanwhile)
    rebuilt = rebuild(told.ledger, report)
    assert next(snapshots) > rebuilt.events / 10
    assert rebuilt.before == rebuilt.after


def long_reads(told: Opened) -> LongReads:
    assert isinstance(told.store, SqliteStore)
    return told.store.disk._wal._reads


def test_a_rebuild_goes_on_after_a_read_that_was_cut(
    told: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes makes the log so long that its own reads are cut: every second one here."""
    log, snapshots, commands = told.ledger.log, count(1), list(MEANWHILE)

    @contextmanager
    def log_until_cut() -> Iterator[Log]:
        with log() as found:
            # The writer, which cuts them, does so only before it does anything.
            if next(snapshots) % 2 and threading.current_thread().name != "ledger-writer":
                assert long_reads(told).cut_oldest()
            yield found

    def report(done: int, total: int) -> None:
        long_reads(told).cut_oldest()
        if done == total:
            told.do(*commands)
            commands.clear()

    with monkeypatch.context() as patch:
        patch.setattr(told.ledger, "log", log_until_cut)
        rebuilt = rebuild(told.ledger, report)
    assert next(snapshots) > 6
    assert rebuilt.before == rebuilt.after
    assert told.replay().divergence is None


def test_rebuilt_rows_that_could_not_be_compared_are_live(
    told: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, before = projections.maintenance.rebuild.digest, told.rows()

    def cut_digest(cursor: Cursor, generation: int) -> str:
        assert long_reads(told).cut_oldest()
        return digest(cursor, generation)

    monkeypatch.setattr(projections.maintenance.rebuild, "digest", cut_digest)
    with pytest.raises(NotCompared, match="are rebuilt"):
        told.rebuild()
    assert (2, {2}) == generations(told.file)
    assert before == told.rows()


def test_what_is_recorded_at_the_very_end_is_caught_up_with(told: Opened) -> None:
    """All of it after the last stream was folded."""

    commands = list(MEANWHILE)

    def report(done: int, total: int) -> None:
        if done == total:
            told.do(*commands)
            commands.clear()

    rebuilt = rebuild(told.ledger, report)
    assert rebuilt.before == rebuilt.after
    with told.snapshot() as snapshot:
        assert snapshot.drive("late", ME) is not None
        assert snapshot.servers_among(["s4"], ME) == []
    assert told.replay().divergence is None


@contextmanager
def traffic(told: Opened, threads: int) -> Iterator[list[int]]:
    """Threads that clone, copy and delete, all the time; how often each of them did."""
    done = threading.Event()
    counts = [0] * threads
    failed: list[BaseException] = []

    def work(nth: int) -> None:
        try:
            while not done.is_set():
                uuid = f"d-{nth}-{counts[nth]}"
                told.do(
                    CreateDrives(ME, (NewDrive(uuid, disk()),), "blank"),
                    MarkDriveReady(uuid),
                    CloneDrive(ME, uuid, f"{uuid}-copy", f"{uuid}-job"),
                    StartAttempt(f"{uuid}-job", 1, "w"),
                    SucceedJob(f"{uuid}-job", 1),
                    CloneServer(ME, "s", f"s-{uuid}", f"s-job-{uuid}"),
                    DeleteDrives(ME, (uuid,)),
                )
                counts[nth] += 1
        except BaseException as error:  # noqa: BLE001 - for the test to see
            failed.append(error)

    workers = [threading.Thread(target=work, args=(nth,)) for nth in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield counts
    finally:
        done.set()
        for worker in workers:
            worker.join(PATIENCE_S)
    assert not any(worker.is_alive() for worker in workers)
    assert failed == []


def test_a_rebuild_beside_live_traffic_gives_the_live_rows(
    told: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands of several threads go on, none is lost, and the digests are of one moment."""
    monkeypatch.setattr(projections.maintenance.rebuild, "CATCH_UP_STREAMS", 64)
    rebuilt = 0

    def rebuilt_beside_all() -> bool:
        nonlocal rebuilt
        found = told.rebuild()
        assert found.before == found.after
        rebuilt += 1
        return rebuilt >= 3 and all(counts)

    with traffic(told, 3) as counts:
        wait_for("for commands of each thread beside a rebuild", rebuilt_beside_all)
    with told.snapshot() as snapshot:
        assert 7 + sum(counts) * 3 == snapshot.count("drives", ME)
    assert told.replay().divergence is None


def test_a_rebuild_ends_however_fast_commands_come(told: Opened) -> None:
    """Also when more streams change in a round than are caught up with."""
    with traffic(told, 3), ThreadPoolExecutor(1) as thread:
        rebuilding = thread.submit(told.rebuild)
        try:
            rebuilt = rebuilding.result(PATIENCE_S)
        except TimeoutError:
            told.ledger._writer.stop()  # ends it
            raise
    assert rebuilt.before == rebuilt.after


# When it goes wrong


class Crash(Exception):
    pass


def crash(done: int, total: int) -> None:
    if done == total:
        raise Crash


def rebuild_and_die(told: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild whose process is killed when all is folded: nothing clears up behind it."""
    clears = iter([projections.maintenance.rebuild._Rebuild._clear])

    def clear_once(self: object) -> None:
        for clear in clears:
            clear(self)
            return

    with monkeypatch.context() as patch:
        patch.setattr(projections.maintenance.rebuild._Rebuild, "_clear", clear_once)
        with pytest.raises(Crash):
            rebuild(told.ledger, crash)


def test_a_rebuild_that_fails_leaves_nothing_behind(told: Opened) -> None:
    """What it had built is cleared at once, and the live rows are as they were."""
    before = told.rows()
    with pytest.raises(Crash):
        rebuild(told.ledger, crash)
    assert before == told.rows()
    assert (1, {1}) == generations(told.file)


def test_a_rebuild_that_crashed_leaves_the_live_rows_as_they_were(
    told: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The half-built generation is beside them, and nobody reads it."""
    before = told.rows()
    rebuild_and_die(told, monkeypatch)
    assert before == told.rows()
    live, there = generations(told.file)
    assert (1, {1, 2}) == (live, there)
    told.do(CreateJob(ME, "late", "x"))
    assert told.replay().divergence is None


@pytest.mark.parametrize("reopened", [False, True], ids=["same process", "next start"])
def test_a_rebuild_after_a_crashed_one_begins_anew(
    told: Opened, monkeypatch: pytest.MonkeyPatch, *, reopened: bool
) -> None:
    """What was left of the last one is cleared first: it may be stale, or of another version."""
    rebuild_and_die(told, monkeypatch)
    with behind_its_back(told.file) as connection:
        connection.execute("INSERT INTO attachments_g2 VALUES ('stale', 9, 'stale', 'stale')")
    told.do(DeleteDrives(ME, ("new-1",)))
    before = told.rows()
    if reopened:
        told.close()
        with Opened(told.file) as again:
            rebuilt = again.rebuild()
    else:
        rebuilt = told.rebuild()
    assert rebuilt.before == rebuilt.after
    assert before == told.rows()
    assert (2, {2}) == generations(told.file)


def test_a_process_that_is_killed_after_the_flip_leaves_nothing_to_worry_about(
    told: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old generation is cleared by the next rebuild."""
    clears = iter([True, False])
    clear = projections.maintenance.rebuild._Rebuild._clear

    def clear_once(self: object) -> None:
        if not next(clears):
            raise Crash
        clear(self)

    before = told.rows()
    with monkeypatch.context() as patch:
        patch.setattr(projections.maintenance.rebuild._Rebuild, "_clear", clear_once)
        with pytest.raises(Crash):
            told.rebuild()
    assert (2, {1, 2}) == generations(told.file)
    assert before == told.rows()
    told.rebuild()
    assert (3, {3}) == generations(told.file)
    assert before == told.rows()


UNDECODABLE = {
    "an unknown name": (
        "UPDATE stored_events SET topic = 'job-exploded/9' WHERE {w}",
        "job-exploded/9",
    ),
    "a broken shape": ("UPDATE stored_events SET state = '{{}}' WHERE {w}", "job-succeeded/2"),
}


@pytest.mark.parametrize("how", UNDECODABLE)
def test_an_event_that_cannot_be_read_stops_the_rebuild(told: Opened, how: str) -> None:
    """It is named, nothing is flipped, and the live rows go on."""
    before = told.rows()
    statement, named = UNDECODABLE[how]
    where = "originator_id = 'job-leaf' AND topic = 'job-succeeded/2'"
    with behind_its_back(told.file) as connection:
        assert connection.execute(statement.format(w=where)).rowcount == 1
    with pytest.raises(UnknownEvent, match=named):
        told.rebuild()
    assert generations(told.file)[0] == 1
    assert before == told.rows()
    told.do(CreateJob(ME, "late", "x"))


def test_one_rebuild_at_a_time(told: Opened) -> None:
    """A second one is refused while the first is under way, and can come after it."""
    refused: list[Exception] = []

    def report(done: int, total: int) -> None:
        try:
            told.rebuild()
        except AlreadyRebuilding as error:
            refused.append(error)

    rebuild(told.ledger, report)
    assert refused
    told.rebuild()


def test_a_rebuild_of_a_stopped_ledger_fails(tmp_path: Path) -> None:
    """It does not wait for ever, and the next one is not refused for it."""
    opened = Opened(tmp_path / "stopped.sqlite")
    opened.do(*STORY)
    opened.ledger._writer.stop()
    for _ in range(2):
        with pytest.raises(StoreFailed):
            opened.rebuild()
    opened.close()
