"""Placement of drives and servers that should be kept apart, as far as possible."""

from collections.abc import Sequence

import pytest
from hypothesis import given as whatever
from hypothesis import strategies as st

from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.commands import Command
from ledger.domain.commands.drives import CloneDrive, CreateDrives, DeleteDrives, NewDrive
from ledger.domain.commands.servers import ChangePower, CloneServer, DeleteServers
from ledger.domain.context import Fact, PoolSpace
from ledger.domain.decisions.placement import place, place_server
from ledger.domain.errors.pools import PoolsFull, PoolSilent, UnknownStorageType
from ledger.domain.events.drives import DriveCreated
from ledger.domain.events.servers import ServerPowerChanged
from tests.support.deciding import Given, Outcome, given
from tests.support.world import (
    GIB,
    HOSTS,
    ME,
    SOMEBODY_ELSE,
    Foreseen,
    cdrom,
    disk,
    mount,
    ready_drive,
    server_created,
)

POOLS = (
    PoolSpace("a", "dssd", 300 * GIB),
    PoolSpace("b", "dssd", 200 * GIB),
    PoolSpace("c", "dssd", 100 * GIB),
    PoolSpace("tape", "zadara", 900 * GIB),
)


def world(pools: tuple[PoolSpace, ...] = POOLS) -> Given:
    """A drive in each pool, two servers that mount some, and what is not ours to see."""
    return given(
        *(ready_drive(f"in-{pool.name}", pool=pool.name) for pool in POOLS),
        *(ready_drive(f"too-in-{pool.name}", pool=pool.name) for pool in POOLS),
        server_created("in-a-and-b", mount("in-a"), mount("in-b", 1)),
        server_created("twice-in-a", mount("too-in-a"), mount("in-a", 1), mount("in-c", 2)),
        server_created("empty"),
        ready_drive("their-in-a", owner=SOMEBODY_ELSE, pool="a"),
        ready_drive("library-in-a", cdrom(), owner=LIBRARY, pool="a"),
        server_created(
            "their-server", mount("their-in-a"), mount("library-in-a", 1), owner=SOMEBODY_ELSE
        ),
        ready_drive("gone-from-a", pool="a"),
        DeleteDrives(ME, ("gone-from-a",)),
        server_created("gone", mount("too-in-b")),
        DeleteServers(ME, ("gone",)),
        ready_drive("source", pool="b"),
        environment=Foreseen(pools),
    )


def pool_of(outcome: Outcome, drive: str) -> str:
    [created] = outcome.events_of(f"drive-{drive}")
    assert isinstance(created, DriveCreated)
    return created.pool


AVOIDED: dict[tuple[str, ...], tuple[str, str]] = {
    (): ("a", "b"),
    ("in-a",): ("b", "b"),
    ("in-b",): ("a", "a"),
    ("in-c",): ("a", "b"),
    ("in-a", "in-b"): ("c", "c"),
    ("in-b", "in-a"): ("c", "c"),
    # the first above all
    ("in-a", "in-b", "in-c"): ("c", "c"),
    ("in-c", "in-b", "in-a"): ("a", "a"),
    ("in-b", "in-c", "in-a"): ("a", "a"),
    ("in-c", "in-a", "in-b"): ("b", "b"),
    # a server stands for its drives, each of them
    ("in-a-and-b",): ("c", "c"),
    ("twice-in-a",): ("b", "b"),
    ("twice-in-a", "in-b"): ("b", "b"),
    ("in-b", "twice-in-a"): ("c", "c"),
    ("empty",): ("a", "b"),
    # what is nowhere
    ("nothing",): ("a", "b"),
    ("their-in-a",): ("a", "b"),
    ("their-server",): ("a", "b"),
    ("gone-from-a",): ("a", "b"),
    ("gone",): ("a", "b"),
    ("in-tape",): ("a", "b"),
    ("nothing", "in-a"): ("b", "b"),
    # everybody may see what is in the library
    ("library-in-a",): ("b", "b"),
    # named twice is no worse
    ("in-a", "in-a"): ("b", "b"),
}
"""What is avoided, and the pools of a new drive and of a clone of one that is in b."""


@pytest.mark.parametrize("avoid", AVOIDED, ids=", ".join)
def test_new_drives_and_clones_avoid_the_pools_of_the_given_drives(
    avoid: tuple[str, ...],
) -> None:
    """A new drive goes to the roomiest of the best pools, a clone stays near if it may."""
    created = world().when(CreateDrives(ME, (NewDrive("new", disk()),), "blank", avoid))
    cloned = world().when(CloneDrive(ME, "source", "copy", "j", avoid=avoid))
    assert AVOIDED[avoid] == (pool_of(created, "new"), pool_of(cloned, "copy"))


def test_every_disk_of_a_cloned_server_keeps_apart() -> None:
    """Also from the source itself: so copies lie elsewhere."""
    outcome = world().when(CloneServer(ME, "in-a-and-b", "copy", "j", avoid=("in-a-and-b",)))
    assert [pool_of(outcome, "new-1"), pool_of(outcome, "new-3")] == ["c", "c"]
    outcome = world().when(CloneServer(ME, "in-a-and-b", "copy", "j"))
    assert [pool_of(outcome, "new-1"), pool_of(outcome, "new-3")] == ["a", "b"]


def test_the_storage_type_comes_before_every_wish() -> None:
    """The only pool of a type is taken, however it is avoided; and without one it is refused."""
    avoid = ("in-tape",)
    tape = NewDrive("new", disk(storage_type="zadara"))
    outcome = world().when(CreateDrives(ME, (tape,), "blank", avoid))
    assert pool_of(outcome, "new") == "tape"
    none = NewDrive("new", disk(storage_type="ssd"))
    world().when(CreateDrives(ME, (none,), "blank", avoid)).then_refused(
        UnknownStorageType, point="storage_type"
    )


def test_an_existing_image_stays_where_it_is() -> None:
    """A named pool is not a preference."""
    new = NewDrive("new", disk(), "a")
    outcome = world().when(CreateDrives(ME, (new,), "upload", ("in-a",)))
    assert pool_of(outcome, "new") == "a"


def test_an_avoided_resource_is_not_guarded() -> None:
    """Two clones that avoid the same drive do not have to wait for each other."""
    outcome = world().when(CreateDrives(ME, (NewDrive("new", disk()),), "blank", ("in-a",)))
    assert "in-a" not in outcome.world.guarded


def with_full(*names: str) -> Given:
    """The same world, where these pools are full."""
    return world(tuple(pool._replace(full=pool.name in names) for pool in POOLS))


def with_silent(*names: str) -> Given:
    """The same world, where these pools do not answer."""
    return world(tuple(pool._replace(silent=pool.name in names) for pool in POOLS))


def test_a_clone_leaves_a_pool_that_is_silent() -> None:
    """Near the source or not, the image could not be made there now; a full one comes first."""
    outcome = with_silent("a").when(CloneDrive(ME, "in-a", "copy", "j"))
    assert pool_of(outcome, "copy") == "b"
    full = POOLS[1]._replace(full=True)
    pools = (POOLS[0]._replace(silent=True), full, POOLS[2]._replace(silent=True))
    assert place(pools, "dssd") == full


@pytest.mark.parametrize(
    "command",
    [
        CloneDrive(ME, "in-a", "copy", "j"),
        CreateDrives(ME, (NewDrive("new", disk()),), "blank"),
        CreateDrives(ME, (NewDrive("new", disk()),), "chunked"),
    ],
    ids=["clone", "blank", "chunked"],
)
def test_nothing_is_placed_where_only_silent_pools_are(command: Command) -> None:
    """A pool of another storage type does not matter."""
    with_silent("a", "b", "c").when(command).then_refused(PoolSilent, "does not answer")
    assert with_silent("tape").when(command).refusal is None


def test_a_clone_leaves_a_full_pool() -> None:
    """However roomy it was, and near the source."""
    outcome = with_full("a").when(CloneDrive(ME, "in-a", "copy", "j"))
    assert pool_of(outcome, "copy") == "b"


@pytest.mark.parametrize(
    "command",
    [
        CloneDrive(ME, "in-a", "copy", "j"),
        CloneServer(ME, "in-a-and-b", "copy", "j"),
        CreateDrives(ME, (NewDrive("new", disk()),), "chunked"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_no_data_go_to_a_full_pool(command: Command) -> None:
    with_full("a", "b", "c").when(command).then_refused(PoolsFull, point="storage_type")


def test_a_blank_drive_has_no_data() -> None:
    outcome = with_full("a", "b", "c").when(CreateDrives(ME, (NewDrive("n", disk()),), "blank"))
    assert pool_of(outcome, "n") == "a"


NAMES = st.sampled_from("abcde")
CROWDED = st.lists(st.lists(NAMES, max_size=4), max_size=4)


def times(name: str, crowded: Sequence[Sequence[str]]) -> list[int]:
    """How often each thing to be avoided is there: the smaller list is the better place."""
    return [sum(1 for place_name in places if place_name == name) for places in crowded]


@whatever(
    pools=st.lists(
        st.builds(
            PoolSpace,
            *(NAMES, st.just("dssd"), st.integers(0, 3)),
            free_files=st.integers(0, 2),
            silent=st.sampled_from([False]),
        ),
        min_size=1,
        unique_by=lambda pool: pool.name,
    ),
    near=st.none() | NAMES,
    avoid=CROWDED,
)
def test_no_pool_separates_better_than_the_chosen_one(
    pools: list[PoolSpace], near: str | None, avoid: list[list[str]]
) -> None:
    """Of those with files that are not full, from left to right; then nearness, then room."""

    def faults(pool: PoolSpace) -> tuple[bool, bool, list[int]]:
        return not pool.free_files, pool.full, times(pool.name, avoid)

    chosen = place(tuple(pools), "dssd", near=near, avoid=avoid)
    for other in pools:
        assert faults(chosen) <= faults(other)
        if faults(chosen) == faults(other):
            assert chosen.name == near or other.name != near
            if near not in (chosen.name, other.name):
                assert chosen.free_bytes >= other.free_bytes
    assert chosen == place(tuple(reversed(pools)), "dssd", near=near, avoid=avoid)


@whatever(
    hosts=st.lists(NAMES, min_size=1, unique=True).map(tuple), server=st.uuids(), avoid=CROWDED
)
def test_no_host_separates_better_than_the_chosen_one(
    hosts: tuple[str, ...], server: object, avoid: list[list[str]]
) -> None:
    """From left to right; the same server with the same wishes goes to the same host."""
    chosen = place_server(hosts, str(server), avoid=avoid)
    assert times(chosen, avoid) == min(times(host, avoid) for host in hosts)
    assert chosen == place_server(hosts, str(server), avoid=avoid)


def test_servers_are_spread_over_all_hosts_by_default() -> None:
    """None is left empty, none takes them all."""
    taken = {place_server(HOSTS, f"server-{nth}") for nth in range(50)}
    assert taken == set(HOSTS)


# Hosts


def running(server: str, host: str, *, owner: str = ME) -> tuple[Fact, Fact]:
    return (
        server_created(server, owner=owner),
        Fact(f"server-{server}", ServerPowerChanged("start", "running", host)),
    )


FREELY = place_server(HOSTS, "s")
OTHERS = tuple(host for host in HOSTS if host != FREELY)

ON: dict[tuple[str, ...], set[str]] = {
    (): {FREELY},
    ("freely",): {*OTHERS},
    ("freely", "first"): {OTHERS[1]},
    ("first", "second", "freely"): {FREELY},
    ("freely", "first", "second"): {OTHERS[1]},
    ("second", "freely", "first"): {OTHERS[0]},
    ("nothing",): {FREELY},
    ("theirs",): {FREELY},
    ("stopped",): {FREELY},
    ("drive",): {FREELY},
    ("s",): {FREELY},
}
"""What is avoided, and the hosts of which one is taken."""


@pytest.mark.parametrize("avoid", ON, ids=", ".join)
def test_a_started_server_avoids_the_hosts_of_the_given_servers(avoid: tuple[str, ...]) -> None:
    """The first matters most; stopped, unknown and other accounts' servers have no host."""
    outcome = given(
        server_created("s"),
        running("freely", FREELY),
        running("first", OTHERS[0]),
        running("second", OTHERS[1]),
        running("theirs", FREELY, owner=SOMEBODY_ELSE),
        running("stopped", FREELY),
        ChangePower(ME, "stopped", "stop"),
        ready_drive("drive"),
    ).when(ChangePower(ME, "s", "start", avoid))
    [changed] = outcome.events_of("server-s")
    assert isinstance(changed, ServerPowerChanged)
    assert changed.host in ON[avoid]


def with_files(**left: int) -> Given:
    """The same world, where these pools may take only so many files more."""
    return world(tuple(pool._replace(free_files=left.get(pool.name, 9)) for pool in POOLS))


def blank(count: int) -> CreateDrives:
    return CreateDrives(ME, tuple(NewDrive(f"n{each}", disk()) for each in range(count)), "blank")


def test_a_blank_drive_needs_a_file() -> None:
    """It is refused before anybody is told that it was made."""
    with_files(a=0, b=0, c=0).when(blank(1)).then_refused(PoolsFull, point="storage_type")
    assert pool_of(with_files(a=0, b=1).when(blank(1)), "n0") == "b"


def test_a_full_pool_is_better_than_one_without_files() -> None:
    pools = [POOLS[0]._replace(full=True), POOLS[1]._replace(free_files=0)]
    assert pool_of(world(tuple(pools)).when(blank(1)), "n0") == "a"


def test_a_request_for_many_drives_needs_as_many_files() -> None:
    """All are made or none; what one pool has no files for goes to the next."""
    outcome = with_files(a=2, b=1, c=0).when(blank(3))
    assert [pool_of(outcome, f"n{each}") for each in range(3)] == ["a", "a", "b"]
    with_files(a=2, b=1, c=0).when(blank(4)).then_refused(PoolsFull, point="storage_type")
