"""Two nodes over one ledger: neither decides on outdated state."""

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any

import psycopg
import pytest

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.server import Server
from ledger.domain.commands import Command
from ledger.domain.commands.drives import CloneDrive, CreateDrives, DeleteDrives, NewDrive
from ledger.domain.commands.jobs import CreateJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.domain.commands.keypairs import CreateKeypairs, DeleteKeypair, NewKeypair
from ledger.domain.commands.profiles import EditProfile
from ledger.domain.commands.servers import (
    ChangePower,
    CreateServers,
    DeleteServers,
    EditServer,
    NewServer,
    ServerEdit,
)
from ledger.domain.errors.drives import DriveBusy, DriveNotFound
from ledger.domain.errors.jobs import ProgressWentBack, StaleAttempt
from ledger.domain.errors.keypairs import UnknownKeypair
from ledger.domain.errors.quotas import QuotaExceeded
from ledger.domain.events.jobs import Resource
from ledger.domain.events.servers import IpConf, Nic
from ledger.domain.quotas import Holding, Quotas
from ledger.store.holding_counts import HoldingCounts
from ledger.store.postgres import others as pg_others
from ledger.store.seam import Batch, Cursor
from ledger.store.writer import LOST_LIMIT
from projections.views.generations import live_generation
from tests.postgres.nodes import Nodes, at_once, make_drive
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.wait import PATIENCE_S, wait_for
from tests.support.world import ME, SOMEBODY_ELSE, Foreseen, disk, machine, mount


def servers(node: Opened, *uuids: str) -> None:
    new = tuple(NewServer(uuid, machine(), (), (), "secret") for uuid in uuids)
    node.do(CreateServers(ME, new))


def test_a_refusal_is_based_on_the_current_state(nodes: Nodes) -> None:
    """Each node knew the drive as busy, or as missing, before the other changed that."""
    one, two = nodes
    with pytest.raises(DriveNotFound):
        two.do(DeleteDrives(ME, ("d",)))
    make_drive(one, "d")
    one.do(CloneDrive(ME, "d", "copy", "j"), StartAttempt("j", 1, "w"))
    with pytest.raises(DriveBusy):
        two.do(DeleteDrives(ME, ("d",)))
    with pytest.raises(StaleAttempt):
        two.do(UpdateProgress("j", 2, 5))
    one.do(SucceedJob("j", 1))
    two.do(DeleteDrives(ME, ("d",)))
    with pytest.raises(DriveNotFound):
        one.do(CloneDrive(ME, "d", "copy-2", "j-2"))
    assert one.replay().divergence is None


def test_what_a_rebuild_repairs_is_read_anew_at_other_nodes(nodes: Nodes) -> None:
    """Rows had drifted, and the other node had refused what they forbade. No event says so."""
    one, two = nodes
    make_drive(one, "d")
    make_drive(one, "e")
    one.do(CreateJob(ME, "j", "x", (Resource("drives", "e", "source"),)))

    def drift(cursor: Cursor) -> None:
        g = live_generation(cursor)
        cursor.execute(f"UPDATE job_resources_g{g} SET resource = 'd'")

    one.ledger.exclusive(drift).result(PATIENCE_S)
    two.ledger.exclusive(lambda _: two.ledger.forget()).result(PATIENCE_S)
    for _ in range(2):
        with pytest.raises(DriveBusy):
            two.do(DeleteDrives(ME, ("d",)))
    rebuilt = one.rebuild()
    assert rebuilt.before != rebuilt.after
    two.do(DeleteDrives(ME, ("d",)))


def test_state_that_is_only_read_is_current_too(nodes: Nodes) -> None:
    """A clone is named by the naming that its owner chose at the other node; nothing guards it."""
    one, two = nodes
    make_drive(one, "d")
    two.do(CloneDrive(ME, "d", "plain", "j-1"))
    one.do(EditProfile(ME, {}, "COUNTER"))
    two.do(CloneDrive(ME, "d", "counted", "j-2"))
    names = [_name(two, uuid) for uuid in ("plain", "counted")]
    assert names == ["disk", "disk_1"]


def _name(node: Opened, uuid: str) -> str:
    drive = node.current(f"drive-{uuid}")
    assert isinstance(drive, Drive)
    return drive.definition.name


def test_what_is_read_as_of_two_moments_is_read_again(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other node deletes what a server has, or the server, after each read of a decision."""
    one, two = nodes
    really, reads = one.store.read, count()

    def delete_after(read: int, deletion: Command) -> Callable[[Callable[[Cursor], Any]], Any]:
        nth = count()

        def read_and_delete(work: Callable[[Cursor], Any]) -> Any:
            found = really(work)
            if next(nth) == read:
                next(reads)
                two.do(deletion)
            return found

        return read_and_delete

    for nth in range(4):
        for drive, server in ((f"d{nth}", f"s{nth}"), (f"e{nth}", f"t{nth}")):
            make_drive(one, drive)
            new = NewServer(server, machine(), (mount(drive),), (), "")
            one.do(CreateServers(ME, (new,)))
        for deletion, command in (
            (DeleteDrives(ME, (f"d{nth}",)), ChangePower(ME, f"s{nth}", "start")),
            (DeleteServers(ME, (f"t{nth}",), "none"), DeleteDrives(ME, (f"e{nth}",))),
        ):
            one.ledger.exclusive(lambda _: one.ledger.forget()).result(PATIENCE_S)
            with monkeypatch.context() as patch:
                patch.setattr(one.store, "read", delete_after(nth, deletion))
                one.do(command)
    assert next(reads) == 8
    assert one.replay().divergence is None


def test_a_node_does_not_reread_its_own_writes(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It skips its own events, even where events of the other lie between them."""
    one, two = nodes
    for node, uuid in ((one, "a"), (two, "b")):
        node.do(CreateJob(ME, uuid, "x"), StartAttempt(uuid, 1, "w"))
    read: list[Callable[[Cursor], Any]] = []
    really = one.store.read

    def noted(work: Callable[[Cursor], Any]) -> Any:
        read.append(work)
        return really(work)

    monkeypatch.setattr(one.store, "read", noted)
    for nth in range(20):
        one.do(UpdateProgress("a", 1, nth))
        two.do(UpdateProgress("b", 1, nth))
    assert read == []


def test_a_node_that_missed_many_commits_clears_its_cache(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not read, before its next command, all that others did while it had nothing to do."""
    monkeypatch.setattr(pg_others, "NEWS_MAX", 20)
    one, two = nodes
    make_drive(two, "d")
    one.do(CloneDrive(ME, "d", "copy", "j"), StartAttempt("j", 1, "w"))
    with pytest.raises(DriveBusy):
        two.do(DeleteDrives(ME, ("d",)))
    one.do(*(UpdateProgress("j", 1, 50, nth) for nth in range(40)), SucceedJob("j", 1))
    noticed: list[object] = []
    monkeypatch.setattr(
        "ledger.store.state_cache.StateCache.drop_changed", lambda _, news: noticed.append(news)
    )
    two.do(DeleteDrives(ME, ("d",)))
    assert noticed == []
    assert two.ledger.position >= one.ledger.position


def until_each_has_won(times: int, won: Collection[int]) -> Iterator[int]:
    """So many times at the least, and until nobody was second each time."""
    give_up = time.monotonic() + PATIENCE_S
    for nth in count():
        if nth >= times and min(won):
            return
        assert nth < times or time.monotonic() < give_up, won
        yield nth


def test_a_clone_and_a_deletion_never_both_succeed(
    nodes: Nodes, many: Callable[[int], int]
) -> None:
    """From two nodes at the same moment, 1,000 times: one of them is refused."""
    one, two = nodes
    won = {"clone": 0, "deletion": 0}
    for nth in until_each_has_won(many(1_000), won.values()):
        make_drive(one, f"d{nth}")
        clone = CloneDrive(ME, f"d{nth}", f"c{nth}", f"j{nth}")
        deletion = DeleteDrives(ME, (f"d{nth}",))
        cloner, deleter = (one, two) if nth % 2 else (two, one)
        cloned, deleted = at_once(
            lambda node=cloner, command=clone: node.do(command),
            lambda node=deleter, command=deletion: node.do(command),
        )
        assert isinstance(cloned, int) != isinstance(deleted, int), (cloned, deleted)
        won["clone" if isinstance(cloned, int) else "deletion"] += 1
    assert one.replay().divergence is None


def test_a_drive_is_never_attached_twice(nodes: Nodes, many: Callable[[int], int]) -> None:
    """To two servers, from two nodes at the same moment, 1,000 times."""
    one, two = nodes
    servers(one, "s1", "s2")
    won = [0, 0]
    for nth in until_each_has_won(many(1_000), won):
        # Who made the drive has no need to read it, and is often first: each has its turns.
        make_drive(nodes[nth % 2], f"d{nth}")
        outcomes = at_once(
            lambda nth=nth: one.do(EditServer(ME, "s1", ServerEdit(), mounts=_mounts(nth))),
            lambda nth=nth: two.do(EditServer(ME, "s2", ServerEdit(), mounts=_mounts(nth))),
        )
        attached = [isinstance(outcome, int) for outcome in outcomes]
        assert sum(attached) == 1, outcomes
        won[attached.index(True)] += 1
    assert one.replay().divergence is None


def test_an_address_is_never_given_out_twice(nodes: Nodes, many: Callable[[int], int]) -> None:
    """To two servers of an account, from two nodes at the same moment, 200 times."""
    one, two = nodes
    card = Nic("22:00:00:00:00:09", ip_v4_conf=IpConf("dhcp"))
    one.do(
        CreateServers(
            ME, tuple(NewServer(uuid, machine(), (), (card,), "secret") for uuid in ("s1", "s2"))
        )
    )
    first = {"s1": 0, "s2": 0}
    for _ in until_each_has_won(many(200), first.values()):
        at_once(
            lambda: one.do(ChangePower(ME, "s1", "start")),
            lambda: two.do(ChangePower(ME, "s2", "start")),
        )
        given = {uuid: _address(one, uuid) for uuid in ("s1", "s2")}
        assert set(given.values()) == {"10.0.0.9", "10.0.0.10"}, given
        first[min(given, key=lambda uuid: len(given[uuid]))] += 1
        at_once(
            lambda: two.do(ChangePower(ME, "s1", "stop")),
            lambda: one.do(ChangePower(ME, "s2", "stop")),
        )
    assert one.replay().divergence is None
    assert one.rows() == two.rows()


def _address(node: Opened, uuid: str) -> str:
    server = node.current(f"server-{uuid}")
    assert isinstance(server, Server)
    (address,) = server.addresses
    return address.ip


def test_no_server_shows_a_deleted_keypair(nodes: Nodes, many: Callable[[int], int]) -> None:
    """Created with it at one node while it is deleted at the other, 200 times."""
    one, two = nodes
    won = {"creation": 0, "deletion": 0}
    for nth in until_each_has_won(many(200), won.values()):
        key, uuid = f"k{nth}", f"s{nth}"
        nodes[nth % 2].do(CreateKeypairs(ME, (NewKeypair(key, "x", "ssh-rsa AAAA"),)))
        new = NewServer(uuid, machine(pubkeys=(key,)), (), (), "secret")
        created, deleted = at_once(
            lambda new=new: one.do(CreateServers(ME, (new,))),
            lambda key=key: two.do(DeleteKeypair(ME, key)),
        )
        assert isinstance(deleted, int), deleted
        if isinstance(created, int):
            with one.snapshot() as snapshot:
                (server,) = snapshot.servers_among([uuid], ME)
            assert server.definition.pubkeys == ()
        else:
            assert isinstance(created, UnknownKeypair)
        won["creation" if isinstance(created, int) else "deletion"] += 1
    assert one.replay().divergence is None


def _mounts(nth: int) -> tuple[Any, ...]:
    return (mount(f"d{nth}"),)


def test_concurrent_commands_of_two_nodes_lose_nothing(nodes: Nodes) -> None:
    """Both go on with the same streams and clone one drive, all the time; each command counts."""
    one, two = nodes
    make_drive(one, "d")
    one.do(CreateJob(ME, "shared", "x"), StartAttempt("shared", 1, "w"))

    def work(node: Opened, name: str) -> int:
        recorded = 0
        for nth in range(60):
            try:
                node.do(UpdateProgress("shared", 1, nth))
                recorded += 1
            except ProgressWentBack:
                pass
            node.do(CloneDrive(ME, "d", f"{name}-{nth}", f"{name}-job-{nth}"))
        return recorded

    updates = at_once(lambda: work(one, "one"), lambda: work(two, "two"))
    with one.ledger.log() as log:
        of_shared = [topic for _, topic, _ in log.stream("job-shared")]
    assert of_shared.count("progress-updated/2") == sum(updates)
    assert one.replay().divergence is None
    assert one.rows() == two.rows()


def somebody_waits(database: str) -> bool:
    """For a lock by which others are kept from appending."""
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
        )
        return found.fetchone() is not None


def test_a_command_that_keeps_conflicting_is_given_precedence(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    """Each time the other node is first, as long as it may be; in the end it has to wait."""
    one, two = nodes
    one.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    append = one.store.append
    hurrying: list[Future[int]] = []

    def second(batch: Batch) -> int:
        hurrying.append(threads.submit(two.do, UpdateProgress("j", 1, 50)))
        wait_for("for the other node", lambda: hurrying[-1].done() or somebody_waits(database))
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


@pytest.fixture
def limited(database: str) -> Iterator[Nodes]:
    """Two nodes that let an account have two drives."""
    quotas = Quotas(drives=2)
    with (
        in_postgres(database, Foreseen(prefix="one", quotas=quotas)) as one,
        in_postgres(database, Foreseen(prefix="two", quotas=quotas)) as two,
    ):
        yield one, two


def test_a_quota_counts_what_other_nodes_make_and_delete(limited: Nodes) -> None:
    """From the next command on, in both directions."""
    one, two = limited
    make_drive(one, "a")
    make_drive(two, "b")
    for node in limited:
        with pytest.raises(QuotaExceeded):
            make_drive(node, "c")
    one.do(DeleteDrives(ME, ("b",)))
    make_drive(two, "c")
    with pytest.raises(QuotaExceeded):
        make_drive(one, "d")


def test_others_cause_no_count_where_the_answer_is_clear(
    limited: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they make is counted only once it might be too much."""
    one, two = limited
    counted: list[Holding] = []
    count = HoldingCounts._count

    def spy(self: HoldingCounts, holding: Holding) -> object:
        counted.append(holding)
        return count(self, holding)

    one.do(CreateJob(ME, "first", "x"))
    make_drive(one, "a")
    monkeypatch.setattr(HoldingCounts, "_count", spy)
    two.do(*(CreateJob(ME, f"j{nth}", "x") for nth in range(5)))
    one.do(DeleteDrives(ME, ("a",)))
    make_drive(one, "b")
    assert counted == []
    two.do(CreateDrives(SOMEBODY_ELSE, (NewDrive("theirs", disk()),), "blank"))
    counted.clear()
    make_drive(one, "c")
    assert counted == [Holding(ME, "drives")]


def test_a_quota_counts_the_addresses_that_servers_of_other_nodes_use(database: str) -> None:
    """As many as each start takes, and each stop gives back."""
    quotas = Quotas(addresses=3)
    cards = tuple(Nic(f"22:00:00:00:00:0{nth}", ip_v4_conf=IpConf("dhcp")) for nth in range(2))
    with (
        in_postgres(database, Foreseen(prefix="one", quotas=quotas)) as one,
        in_postgres(database, Foreseen(prefix="two", quotas=quotas)) as two,
    ):
        for server in ("a", "b"):
            new = NewServer(server, machine(), (), cards, "secret")
            one.do(CreateServers(ME, (new,)))
        two.do(ChangePower(ME, "a", "start"))
        for node in (one, two):
            with pytest.raises(QuotaExceeded):
                node.do(ChangePower(ME, "b", "start"))
        one.do(ChangePower(ME, "a", "stop"))
        two.do(ChangePower(ME, "b", "start"))
        with pytest.raises(QuotaExceeded):
            one.do(ChangePower(ME, "a", "start"))
