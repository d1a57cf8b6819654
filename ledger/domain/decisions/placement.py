"""Placement: a pool for a new drive's image, a compute host for a started server.

Avoiding others is a wish: it is fulfilled as far as possible, the first named above all, and never
leads to a refusal.
"""

from collections.abc import Sequence
from zlib import crc32

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.server import Server
from ledger.domain.context import PoolSpace, State
from ledger.domain.decisions.room import with_room
from ledger.domain.errors.pools import (
    NoPools,
    PoolElsewhere,
    PoolsFull,
    PoolSilent,
    UnknownStorageType,
)

Crowded = Sequence[Sequence[str]]
"""For each thing to avoid, the most important first: the pools or hosts where it is."""


def place(
    pools: tuple[PoolSpace, ...],
    storage_type: str,
    *,
    near: str | None = None,
    avoid: Crowded = (),
) -> PoolSpace:
    """Choose a pool of this storage type: away from `avoid`, then `near`, then with most room.

    A full one is chosen last, after it one that can take no more files, and at the very last one
    that is silent. A copy within a pool may be a reflink, so a clone is placed near its source.

    Raise `NoPools`, `UnknownStorageType` if none of the pools has the type, or `PoolSilent`.
    """
    if not pools:
        raise NoPools
    fitting = [pool for pool in pools if pool.storage_type == storage_type]
    if not fitting:
        raise UnknownStorageType(storage_type, (pool.storage_type for pool in pools))

    def preference(pool: PoolSpace) -> tuple[bool, bool, bool, list[int], bool, int, str]:
        has_files, near_it = pool.free_files > 0, pool.name == near
        rated = _rate(pool.name, avoid)
        answers = not pool.silent
        return answers, has_files, not pool.full, rated, near_it, pool.free_bytes, pool.name

    chosen = max(fitting, key=preference)
    if chosen.silent:
        raise PoolSilent(chosen.name)
    return chosen


def place_blank(
    pools: tuple[PoolSpace, ...], storage_type: str, *, avoid: Crowded = ()
) -> PoolSpace:
    """Choose a pool for an image without data, which takes a file and hardly any room.

    Raise `UnknownStorageType` or `PoolsFull`.
    """
    chosen = place(pools, storage_type, avoid=avoid)
    if not chosen.free_files:
        raise PoolsFull(chosen.name, chosen.storage_type)
    return chosen


def place_here(
    pools: tuple[PoolSpace, ...], storage_type: str, *, avoid: Crowded = ()
) -> PoolSpace:
    """Choose a pool that this process has mounted, for an image that is sent to it.

    Raise what `place` raises, `PoolElsewhere` if only pools of other nodes have this type, or
    `PoolsFull`.
    """
    here = tuple(pool for pool in pools if pool.here and pool.storage_type == storage_type)
    if here:
        return with_room(place(here, storage_type, avoid=avoid))
    elsewhere = place(pools, storage_type)
    raise PoolElsewhere(elsewhere.name, storage_type)


def place_server(hosts: tuple[str, ...], server: str, *, avoid: Crowded = ()) -> str:
    """Choose a compute host away from `avoid`; among equals, spread by the server's uuid."""
    first = crc32(server.encode()) % len(hosts)
    rotated = hosts[first:] + hosts[:first]
    return max(rotated, key=lambda host: _rate(host, avoid))


def _rate(place_name: str, avoid: Crowded) -> list[int]:
    """Rate a place by how much it avoids; the greater list is the better place."""
    return [-list(places).count(place_name) for places in avoid]


def pools_to_avoid(state: State, uuids: Sequence[str], owner: str) -> list[list[str]]:
    """Return the pools of these drives; a server stands for all drives it mounts.

    What is unknown, or belongs to another account, is in no pool.
    """
    return [_pools_of(state, uuid, owner) for uuid in uuids]


def hosts_to_avoid(state: State, uuids: Sequence[str], owner: str) -> list[list[str]]:
    """Return the hosts that these servers run on, if they run."""
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
