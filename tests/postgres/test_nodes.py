"""Two nodes over one ledger in PostgreSQL: neither decides, shows or tells what is out of date."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from threading import Barrier, Event, Lock
from typing import Any

import psycopg
import pytest

from ledger import errors
from ledger.codec import decode
from ledger.commands import (
    CloneDrive,
    CreateDrives,
    CreateJob,
    CreateServers,
    DeleteDrives,
    EditProfile,
    EditServer,
    MarkDriveReady,
    NewDrive,
    NewServer,
    ServerEdit,
    StartAttempt,
    SucceedJob,
    UpdateProgress,
)
from ledger.drive import Drive
from ledger.errors import Refusal, StoreFailed, StoreUnreachable
from ledger.job import Job
from ledger.store import pg_locks, postgres, tail
from ledger.store.pg_connecting import connect
from ledger.store.postgres import PostgresStore
from ledger.store.seam import Batch, Commit
from ledger.store.writer import LOST_LIMIT
from projections.rebuild import AlreadyRebuilding, rebuild
from projections.views.postgres import PostgresProjection
from projections.views.sqlite import live_generation, superseded
from projections.views.tables import SHAPE
from tests.acceptance.running import wait_for
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.postgres import PostgresServer
from tests.support.world import ME, Foreseen, disk, machine, mount

PATIENCE_S = 20.0
TAIL_EVENTS = 10_000
WRITERS = 4


@pytest.fixture
def nodes(database: str) -> Iterator[tuple[Opened, Opened]]:
    """Each with a writer, views and a tail of its own."""
    opening = in_postgres(database)
    with (
        opening(None, circumstances=Foreseen(prefix="one")) as one,  # type: ignore[arg-type]
        opening(None, circumstances=Foreseen(prefix="two")) as two,  # type: ignore[arg-type]
    ):
        yield one, two
        assert one.failures == []
        assert two.failures == []


@pytest.fixture
def many(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """So many with --long, else a tenth."""
    long = request.config.getoption("--long")
    return lambda number: number if long else number // 10


def ready_drive(node: Opened, uuid: str) -> None:
    node.do(CreateDrives(ME, (NewDrive(uuid, disk()),), "blank"), MarkDriveReady(uuid))


def servers(node: Opened, *uuids: str) -> None:
    new = tuple(NewServer(uuid, machine(), (), (), "secret") for uuid in uuids)
    node.do(CreateServers(ME, new))


# What is decided


def test_a_refusal_rests_on_what_is_there_now(nodes: tuple[Opened, Opened]) -> None:
    """Each node knew the drive as busy, or as missing, before the other changed that."""
    one, two = nodes
    with pytest.raises(errors.DriveNotFound):
        two.do(DeleteDrives(ME, ("d",)))
    ready_drive(one, "d")
    one.do(CloneDrive(ME, "d", "copy", "j"), StartAttempt("j", 1, "w"))
    with pytest.raises(errors.DriveBusy):
        two.do(DeleteDrives(ME, ("d",)))
    with pytest.raises(errors.StaleAttempt):
        two.do(UpdateProgress("j", 2, 5))
    one.do(SucceedJob("j", 1))
    two.do(DeleteDrives(ME, ("d",)))
    with pytest.raises(errors.DriveNotFound):
        one.do(CloneDrive(ME, "d", "copy-2", "j-2"))
    assert one.replay().divergence is None


def test_what_is_only_looked_at_is_up_to_date_too(nodes: tuple[Opened, Opened]) -> None:
    """A clone is named by the naming that its owner chose at the other node; nothing guards it."""
    one, two = nodes
    ready_drive(one, "d")
    two.do(CloneDrive(ME, "d", "plain", "j-1"))
    one.do(EditProfile(ME, {}, "COUNTER"))
    two.do(CloneDrive(ME, "d", "counted", "j-2"))
    names = [_name(two, uuid) for uuid in ("plain", "counted")]
    assert names == ["disk", "disk_1"]


def _name(node: Opened, uuid: str) -> str:
    drive = node.current(f"drive-{uuid}")
    assert isinstance(drive, Drive)
    return drive.definition.name


def test_what_a_node_has_written_itself_it_need_not_read_again(
    nodes: tuple[Opened, Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own events are no news to it, also where the other's lie between them."""
    one, two = nodes
    for node, uuid in ((one, "a"), (two, "b")):
        node.do(CreateJob(ME, uuid, "x"), StartAttempt(uuid, 1, "w"))
    read: list[str] = []
    really = one.store.read_stream

    def noted(stream: str) -> Any:
        read.append(stream)
        return really(stream)

    monkeypatch.setattr(one.store, "read_stream", noted)
    for nth in range(20):
        one.do(UpdateProgress("a", 1, nth))
        two.do(UpdateProgress("b", 1, nth))
    assert read == []


def test_a_node_that_has_missed_much_forgets_what_it_knew(
    nodes: tuple[Opened, Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not read, before its next command, all that others did while it had nothing to do."""
    monkeypatch.setattr(postgres, "NEWS_MOST", 20)
    one, two = nodes
    ready_drive(two, "d")
    one.do(CloneDrive(ME, "d", "copy", "j"), StartAttempt("j", 1, "w"))
    with pytest.raises(errors.DriveBusy):
        two.do(DeleteDrives(ME, ("d",)))
    one.do(*(UpdateProgress("j", 1, 50, nth) for nth in range(40)), SucceedJob("j", 1))
    noticed: list[object] = []
    monkeypatch.setattr("ledger.store.memory.Memory.notice", lambda _, news: noticed.append(news))
    two.do(DeleteDrives(ME, ("d",)))
    assert noticed == []
    assert two.ledger.position >= one.ledger.position


def at_once(*works: Callable[[], object]) -> list[object]:
    """What comes of these, begun at the same moment; a refusal is an outcome."""
    together = Barrier(len(works))

    def work(do: Callable[[], object]) -> object:
        together.wait()
        try:
            return do()
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(work, works))


def test_a_clone_and_a_deletion_never_both(
    nodes: tuple[Opened, Opened], many: Callable[[int], int]
) -> None:
    """From two nodes at the same moment, 1,000 times: one of them is refused."""
    one, two = nodes
    won = {"clone": 0, "deletion": 0}
    for nth in range(many(1_000)):
        ready_drive(one, f"d{nth}")
        clone = CloneDrive(ME, f"d{nth}", f"c{nth}", f"j{nth}")
        deletion = DeleteDrives(ME, (f"d{nth}",))
        cloner, deleter = (one, two) if nth % 2 else (two, one)
        cloned, deleted = at_once(
            lambda node=cloner, command=clone: node.do(command),
            lambda node=deleter, command=deletion: node.do(command),
        )
        assert isinstance(cloned, int) != isinstance(deleted, int), (cloned, deleted)
        won["clone" if isinstance(cloned, int) else "deletion"] += 1
    assert min(won.values()) > 0, won
    assert one.replay().divergence is None


def test_a_drive_is_never_attached_twice(
    nodes: tuple[Opened, Opened], many: Callable[[int], int]
) -> None:
    """To two servers, from two nodes at the same moment, 1,000 times."""
    one, two = nodes
    servers(one, "s1", "s2")
    won = [0, 0]
    for nth in range(many(1_000)):
        ready_drive(one, f"d{nth}")
        outcomes = at_once(
            lambda nth=nth: one.do(EditServer(ME, "s1", ServerEdit(), mounts=_mounts(nth))),
            lambda nth=nth: two.do(EditServer(ME, "s2", ServerEdit(), mounts=_mounts(nth))),
        )
        attached = [isinstance(outcome, int) for outcome in outcomes]
        assert sum(attached) == 1, outcomes
        won[attached.index(True)] += 1
    assert min(won) > 0, won
    assert one.replay().divergence is None


def _mounts(nth: int) -> tuple[Any, ...]:
    return (mount(f"d{nth}"),)


def test_work_that_meets_loses_nothing(nodes: tuple[Opened, Opened]) -> None:
    """Both go on with the same streams and clone one drive, all the time; each command counts."""
    one, two = nodes
    ready_drive(one, "d")
    one.do(CreateJob(ME, "shared", "x"), StartAttempt("shared", 1, "w"))

    def work(node: Opened, name: str) -> int:
        recorded = 0
        for nth in range(60):
            try:
                node.do(UpdateProgress("shared", 1, nth))
                recorded += 1
            except errors.ProgressWentBack:
                pass
            node.do(CloneDrive(ME, "d", f"{name}-{nth}", f"{name}-job-{nth}"))
        return recorded

    updates = at_once(lambda: work(one, "one"), lambda: work(two, "two"))
    with one.ledger.log() as log:
        of_shared = [topic for _, topic, _ in log.stream("job-shared")]
    assert of_shared.count("progress-updated/1") == sum(updates)  # type: ignore[arg-type]
    assert one.replay().divergence is None
    assert one.rows() == two.rows()


def test_a_node_that_is_paused_in_mid_batch_holds_nobody_up_for_long(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends its transaction; it begins anew once it goes on, and does nothing twice."""
    monkeypatch.setattr(postgres, "TRANSACTION_S", 1)
    paused, go_on = Event(), Event()
    really = postgres.tasks.defer

    def pause(*given: Any) -> None:
        really(*given)
        if not paused.is_set():
            paused.set()
            go_on.wait(PATIENCE_S)

    opening = in_postgres(database)
    with opening(None) as one, opening(None) as two, ThreadPoolExecutor(1) as thread:  # type: ignore[arg-type]
        one.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
        monkeypatch.setattr(postgres.tasks, "defer", pause)
        late = thread.submit(one.do, UpdateProgress("j", 1, 10))
        assert paused.wait(PATIENCE_S)
        began = time.monotonic()
        two.do(UpdateProgress("j", 1, 20))
        assert time.monotonic() - began < PATIENCE_S / 2
        go_on.set()
        with pytest.raises(errors.ProgressWentBack):
            late.result(PATIENCE_S)
        assert one.replay().divergence is None


def test_a_command_that_loses_again_and_again_is_done_before_all_others(
    nodes: tuple[Opened, Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time the other node is first, as long as it may be; in the end it has to wait."""
    one, two = nodes
    one.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    append = one.store.append
    hurrying: list[Future[int]] = []

    def second(batch: Batch) -> int:
        hurrying.append(threads.submit(two.do, UpdateProgress("j", 1, 50)))
        with suppress(TimeoutError):
            hurrying[-1].result(1)
        return append(batch)

    with ThreadPoolExecutor(1) as threads:
        monkeypatch.setattr(one.store, "append", second)
        one.do(UpdateProgress("j", 1, 50))
        monkeypatch.undo()
        for each in hurrying:
            each.result(PATIENCE_S)
    assert len(hurrying) == LOST_LIMIT + 2
    with one.ledger.log() as log:
        assert len(log.stream("job-j")) == 2 + 1 + len(hurrying)


# What is told


class Heard:
    """What a tail tells."""

    def __init__(self, node: Opened) -> None:
        self.commits: list[Commit] = []
        self._lock = Lock()
        node.ledger.listen(self.hear)

    def hear(self, commit: Commit) -> None:
        with self._lock:
            self.commits.append(commit)

    def events(self) -> list[tuple[str, Any]]:
        with self._lock:
            return [(stream, one.event) for commit in self.commits for stream, one in commit.events]

    def wait_for(self, events: int) -> list[tuple[str, Any]]:
        wait_for(f"for {events} events", lambda: len(self.events()) >= events, within_s=60)
        return self.events()


def recorded(node: Opened) -> list[tuple[str, Any]]:
    with node.ledger.log() as log:
        return [(each.stream, decode(each.topic, each.state).event) for each in log.events()]


def test_every_commit_of_all_nodes_is_told_once_and_in_order(
    nodes: tuple[Opened, Opened],
) -> None:
    """With the states as these events leave them, also of streams that began before."""
    one, two = nodes
    one.do(CreateJob(ME, "old", "x"), StartAttempt("old", 1, "w"))
    ready_drive(one, "d")
    before = len(recorded(one))
    wait_for("for the tail to be there", lambda: two.ledger.position >= before)
    heard = Heard(two)
    one.do(UpdateProgress("old", 1, 10), CloneDrive(ME, "d", "copy", "j"))
    two.do(UpdateProgress("old", 1, 20), StartAttempt("j", 1, "w"))
    one.do(SucceedJob("j", 1))
    told = heard.wait_for(len(recorded(one)) - before)
    assert told == recorded(one)[before:]
    last = heard.commits[-1]
    assert last.position == one.ledger.position
    ended = last.states["job-j"]
    assert isinstance(ended, Job)
    assert ended.state == "success"
    assert {"d", "copy"} <= set().union(*(commit.related for commit in heard.commits))


def test_a_tail_beside_writers_misses_nothing(
    nodes: tuple[Opened, Opened], many: Callable[[int], int], database: str
) -> None:
    """100,000 events of four writers; the tail sees each position once, in order."""
    reader = nodes[0]
    heard = Heard(reader)
    opening = in_postgres(database)
    each = many(TAIL_EVENTS * 10) // WRITERS

    def write(nth: int) -> None:
        with opening(None, circumstances=Foreseen(prefix=f"w{nth}")) as writer:  # type: ignore[arg-type]
            writer.do(CreateJob(ME, f"w{nth}", "x"), StartAttempt(f"w{nth}", 1, "w"))
            with ThreadPoolExecutor(16) as callers:
                updates = [UpdateProgress(f"w{nth}", 1, 50) for _ in range(each - 2)]
                list(callers.map(writer.do, updates))

    at_once(*(lambda nth=nth: write(nth) for nth in range(WRITERS)))
    told = heard.wait_for(each * WRITERS)
    assert told == recorded(reader)


def test_nothing_is_lost_with_the_connection_that_listens(
    nodes: tuple[Opened, Opened], many: Callable[[int], int], database: str
) -> None:
    """It is ended again and again while the other node writes."""
    one, two = nodes
    heard = Heard(two)
    stop = Event()
    ended: list[int] = []

    def interfere() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            while not stop.is_set():
                row = connection.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE application_name LIKE %s AND datname = current_database()",
                    (f"%listening to {tail.CHANNEL}",),
                ).fetchone()
                assert row is not None
                ended.append(row[0])
                time.sleep(0.05)

    def write() -> None:
        one.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
        for nth in range(many(5_000)):
            one.do(UpdateProgress("j", 1, 50, nth))
        stop.set()

    at_once(write, interfere)
    assert sum(ended) > 0
    assert heard.wait_for(many(5_000) + 2) == recorded(one)


def test_a_tail_goes_on_where_there_are_many_connections(
    nodes: tuple[Opened, Opened],
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its next one has a descriptor above 1023, as beside a thousand websockets."""
    monkeypatch.setattr("ledger.store.listening.RECONNECT_S", 0.5)
    one, two = nodes
    heard = Heard(two)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2_000), limits[1]))
    with ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)

        def opened(files: int) -> None:
            for _ in range(files):
                held.callback(os.close, os.open(os.devnull, os.O_RDONLY))

        opened(1_100)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE %s AND datname = current_database()",
                (f"%listening to {tail.CHANNEL}",),
            )
        wait_for("for the connection to be lost", lambda: "listened to anew" in caplog.text)
        opened(100)  # in the place of that one, too
        for nth in range(3):  # the last are waited for over the new one
            one.do(CreateJob(ME, f"j{nth}", "x"))
            heard.wait_for(nth + 1)


def test_a_poll_is_behind_the_notifications(
    nodes: tuple[Opened, Opened], monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    """Events that nobody was notified of are told within about a second."""
    one, two = nodes
    one.do(CreateJob(ME, "j", "x"))
    heard = Heard(two)
    monkeypatch.setattr("ledger.store.postgres.CHANNEL", "another_channel")
    one.do(StartAttempt("j", 1, "w"))
    assert [stream for stream, _ in heard.wait_for(1)][-1] == "job-j"


def test_while_nobody_wants_to_know_nothing_is_read(
    nodes: tuple[Opened, Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whoever begins to listen is told of what comes after, not of what was before."""
    one, two = nodes
    wanted = Event()
    told: list[Commit] = []
    two.ledger.listen(told.append, wanted.is_set)
    one.do(CreateJob(ME, "before", "x"))
    wait_for("for the tail to skip", lambda: two.ledger.position >= one.ledger.position)
    wanted.set()
    one.do(CreateJob(ME, "after", "x"))
    wait_for("for the tail to tell", lambda: bool(told))
    assert [stream for commit in told for stream, _ in commit.events] == ["job-after"]


# What is shown


def test_a_rebuild_on_one_node_beside_writes_on_the_other(nodes: tuple[Opened, Opened]) -> None:
    """The same rows before and after; the other goes on in the new generation."""
    one, two = nodes
    two.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    stop = Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            two.do(UpdateProgress("j", 1, 50, written))
            two.do(CreateJob(ME, f"job-{written}", "x"))
            written += 1

    def rebuild_often() -> None:
        try:
            for _ in range(4):
                rebuilt = one.rebuild()
                assert rebuilt.before == rebuilt.after
        finally:
            stop.set()

    outcomes = at_once(write, rebuild_often)
    assert outcomes == [None, None]
    assert written > 4
    assert one.rows() == two.rows()
    assert len(one.rows()["jobs"]) == written + 1
    assert one.replay().divergence is None


def test_what_is_done_by_one_node_at_a_time(nodes: tuple[Opened, Opened]) -> None:
    """While one has its turn the other is refused, and what a dead one had is free."""
    one, two = nodes
    assert one.ledger.maintenance.acquire()
    assert one.ledger.maintenance.locked()
    assert not two.ledger.maintenance.acquire()
    with pytest.raises(AlreadyRebuilding):
        two.rebuild()
    assert two.ledger.checkpointing.acquire()
    two.ledger.checkpointing.release()
    one.ledger.maintenance.release()
    assert two.ledger.maintenance.acquire()
    two.ledger.maintenance.release()


def test_a_turn_that_was_lost_is_noticed(nodes: tuple[Opened, Opened], database: str) -> None:
    """A rebuild whose session ended does not flip: another may be at it."""
    one, two = nodes
    one.do(CreateJob(ME, "j", "x"))

    def end_turn(done: int, total: int) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND mode = 'ExclusiveLock' AND pid <> pg_backend_pid()"
            )

    with pytest.raises(StoreFailed):
        rebuild(one.ledger, end_turn)
    assert two.rebuild().before == two.rebuild().after


def test_who_has_lost_a_turn_does_nothing_to_who_has_it(
    nodes: tuple[Opened, Opened], database: str
) -> None:
    """The other's rebuild is under way when the first one gives up: it loses no table, no row."""
    one, two = nodes
    one.do(CreateJob(ME, "j", "x"))
    lost, begun, given_up = Event(), Event(), Event()

    def lose(done: int, total: int) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND mode = 'ExclusiveLock' AND pid <> pg_backend_pid()"
            )
        lost.set()
        begun.wait()

    def give_up() -> None:
        try:
            with pytest.raises(StoreFailed):
                rebuild(one.ledger, lose)
        finally:
            given_up.set()

    def go_on(done: int, total: int) -> None:
        begun.set()
        given_up.wait()

    with ThreadPoolExecutor(1) as threads:
        giving_up = threads.submit(give_up)
        lost.wait()
        rebuilt = rebuild(two.ledger, go_on)
        giving_up.result()
    assert rebuilt.before == rebuilt.after
    assert one.rows() == two.rows()


def test_a_node_that_is_out_of_date_stops(nodes: tuple[Opened, Opened], database: str) -> None:
    """Where another has given the rows another shape it must not write its own."""
    one, _ = nodes
    one.do(CreateJob(ME, "j", "x"))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "UPDATE projection_head SET shape = %s, generation = generation + 1", (SHAPE + 1,)
        )
    with pytest.raises(StoreFailed, match="out of date"):
        one.do(CreateJob(ME, "k", "x"))
    assert [type(failure) for failure in one.failures] == [StoreFailed]
    one.failures.clear()


# How they begin


@pytest.mark.parametrize("round_", range(3))
def test_nodes_that_begin_at_once(postgres: PostgresServer, round_: int) -> None:
    """The tables are made once, whoever comes first; all of them have the ledger then."""
    url = postgres.new_database("begun")
    stores = at_once(*[lambda: PostgresStore(url, PostgresProjection())] * 6)
    try:
        for store in stores:
            assert isinstance(store, PostgresStore)
            with store.log() as log:
                assert log.count() == 0
    finally:
        for store in stores:
            store.close()  # type: ignore[attr-defined]


def test_a_move_has_the_place_alone(database: str) -> None:
    """It waits for the nodes that there are, and while it is under way none begins."""
    nodes = [PostgresStore(database, PostgresProjection()) for _ in range(2)]
    with connect(database).raw as moving:
        row = moving.execute("SELECT pg_try_advisory_lock(%s)", (pg_locks.HAVING,)).fetchone()
        assert row == (False,)
    for node in nodes:
        node.close()
    with connect(database).raw as moving:
        row = moving.execute("SELECT pg_try_advisory_lock(%s)", (pg_locks.HAVING,)).fetchone()
        assert row == (True,)
        with pytest.raises(StoreFailed, match="being moved"):
            PostgresStore(database, PostgresProjection())


def test_a_node_that_is_paused_in_exclusive_work_loses_it(
    monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    monkeypatch.setattr(postgres, "TRANSACTION_S", 1)
    paused, woken = Event(), Event()

    def pause(cursor: Any) -> None:
        paused.set()
        woken.wait()

    one = PostgresStore(database, PostgresProjection())
    monkeypatch.undo()  # who waits for it has more time
    two = PostgresStore(database, PostgresProjection())
    with ThreadPoolExecutor(1) as threads:
        doing = threads.submit(one.exclusive, pause)
        try:
            paused.wait()
            two.exclusive(lambda cursor: cursor.execute("DELETE FROM hourly_keys"))
        finally:
            woken.set()
        with pytest.raises(StoreUnreachable):
            doing.result()
    one.exclusive(lambda cursor: cursor.execute("DELETE FROM hourly_keys"))
    for store in (one, two):
        store.close()


def test_a_reader_that_takes_its_time_holds_up_nobody_but_a_rebuild(
    nodes: tuple[Opened, Opened],
) -> None:
    """It reads the rows that are superseded; their tables cannot go before it is done."""
    one, two = nodes
    two.do(CreateJob(ME, "j", "x"))
    with ThreadPoolExecutor(1) as threads:
        with two.views.long_snapshot() as slow:
            slow.jobs(ME, None, limit=1)
            rebuilding = threads.submit(one.rebuild)
            wait_for("for the flip", lambda: two.ledger.read(live_generation) == 2)
            for nth in range(20):
                two.ledger.exclusive(lambda cursor: cursor.execute("SELECT 1")).result(5)
                one.do(CreateJob(ME, f"one-{nth}", "x"))
                time.sleep(0.05)
            assert slow.jobs(ME, None, limit=1)
        rebuilt = rebuilding.result()
    assert rebuilt.before == rebuilt.after
    assert two.ledger.exclusive(superseded).result() == []


def test_a_node_that_is_paused_in_a_batch_holds_up_a_flip_only(
    nodes: tuple[Opened, Opened], monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    """Not those who would append behind the flip."""
    monkeypatch.setattr(postgres, "TRANSACTION_S", 1)
    one, two = nodes
    with connect(database).raw as paused, ThreadPoolExecutor(1) as threads:
        with paused.transaction():
            paused.execute("SELECT pg_advisory_xact_lock_shared(%s)", (pg_locks.APPENDING,))
            flip = threads.submit(one.ledger.exclusive, lambda _: None, afterwards=lambda: None)
            two.do(CreateJob(ME, "j", "x"))
            with pytest.raises(StoreUnreachable):
                flip.result().result()
            two.do(CreateJob(ME, "k", "x"))
        one.ledger.exclusive(lambda _: None, afterwards=lambda: None).result()


def test_a_commit_that_waits_for_its_standby_is_waited_for(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By those behind it, too, for longer than a server that is gone would be."""
    monkeypatch.setattr(postgres, "TRANSACTION_S", 1)
    monkeypatch.setattr(postgres, "RECONNECT_S", 1)
    opening = in_postgres(database)
    with opening(None) as one, connect(database).raw as waiting, ThreadPoolExecutor(1) as threads:  # type: ignore[arg-type]
        with waiting.transaction():
            waiting.execute("UPDATE leaf_count SET position = position")
            doing = threads.submit(one.do, CreateJob(ME, "j", "x"))
            time.sleep(4)
        doing.result()
        assert one.failures == []
