"""Where things go: a new drive's image in a pool, a started server on a compute host.

What is to be avoided is a wish: it is fulfilled as far as it can be, the first named above all, and
nothing is ever refused because of it.
"""

from collections.abc import Sequence
from zlib import crc32

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.server import Server
from ledger.domain.context import PoolSpace, State
from ledger.domain.errors import PoolElsewhere, UnknownStorageType

Crowded = Sequence[Sequence[str]]
"""For each thing to be avoided, the most important first: the pools or hosts where it is."""


def place(
    pools: tuple[PoolSpace, ...],
    storage_type: str,
    *,
    near: str | None = None,
    avoid: Crowded = (),
) -> PoolSpace:
    """A pool of this storage type: apart from what to avoid, then `near`, then the roomiest.

    A copy within a pool may be a reflink, so a clone is placed near its source.

    Raises `UnknownStorageType` when no pool has the type.
    """
    fitting = [pool for pool in pools if pool.storage_type == storage_type]
    if not fitting:
        raise UnknownStorageType(storage_type, (pool.storage_type for pool in pools))

    def preference(pool: PoolSpace) -> tuple[list[int], bool, int, str]:
        return _apart(pool.name, avoid), pool.name == near, pool.free_bytes, pool.name

    return max(fitting, key=preference)


def place_here(
    pools: tuple[PoolSpace, ...], storage_type: str, *, avoid: Crowded = ()
) -> PoolSpace:
    """The same, for an image that is sent to this process: a pool that it has mounted.

    Raises `UnknownStorageType`, or `PoolElsewhere` if only pools that it has not are of this type.
    """
    here = tuple(pool for pool in pools if pool.here and pool.storage_type == storage_type)
    if here:
        return place(here, storage_type, avoid=avoid)
    elsewhere = place(pools, storage_type)
    raise PoolElsewhere(elsewhere.name, storage_type)


def place_server(hosts: tuple[str, ...], server: str, *, avoid: Crowded = ()) -> str:
    """A compute host apart from what to avoid; among equals, spread by the server's uuid."""
    first = crc32(server.encode()) % len(hosts)
    in_turn = hosts[first:] + hosts[:first]
    return max(in_turn, key=lambda host: _apart(host, avoid))


def _apart(place_name: str, avoid: Crowded) -> list[int]:
    """How far a place keeps from each thing to be avoided; the larger list is the better place."""
    return [-list(places).count(place_name) for places in avoid]


def pools_to_avoid(state: State, uuids: Sequence[str], owner: str) -> list[list[str]]:
    """The pools of these drives; a server stands for all the drives it mounts.

    What is unknown, or somebody else's, is nowhere.
    """
    return [_pools_of(state, uuid, owner) for uuid in uuids]


def hosts_to_avoid(state: State, uuids: Sequence[str], owner: str) -> list[list[str]]:
    """The hosts that these servers run on, if they do."""
    servers = (state.peek(uuid) for uuid in uuids)
    return [
        [server.host]
        if isinstance(server, Server) and server.owner == owner and server.host is not None
        else []
        for server in servers
    ]


def _pools_of(state: State, uuid: str, owner: str) -> list[str]:
    named = state.peek(uuid)
    if isinstance(named, Server) and named.owner == owner:
        drives = [state.peek(mount.drive) for mount in named.mounts]
    else:
        drives = [named]
    return [drive.pool for drive in drives if isinstance(drive, Drive) and drive.visible_to(owner)]
