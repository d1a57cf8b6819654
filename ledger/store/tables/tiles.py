"""The tables of the tree: leaf hashes and roots of subtrees in tiles, and moments beside them.

`extend` makes tiles some time after the events, in order. From then on a leaf's hash is in its tile
even when its event is gone; leaves after the last tiled one are in `stored_events` only. Bit
`i % 8` of byte `i // 8` of a tile's `gone` stands for its leaf `i`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from heapq import merge
from itertools import takewhile
from typing import NamedTuple

from ledger.domain.errors import Expected
from ledger.domain.stamps import microseconds
from ledger.merkle.tree import HASH_BYTES, complete_root
from ledger.store.log import streamed
from ledger.store.seam import Cursor, LoggedEvent
from ledger.store.tables.stamps import dating, stamp_of

TILE = 256
"""Hashes in a full tile."""
_NONE_GONE = bytes(TILE // 8)
_ALL_GONE = (1 << TILE) - 1


def _nothing(_: int) -> Iterable[LoggedEvent]:
    return ()


class LeavesMissing(Expected):
    """Events were removed from the ledger before their leaves were in the tree."""


class Tiled(NamedTuple):
    """How far the tiles go: the number of leaves, the last position, and the latest moment."""

    leaves: int
    position: int
    latest: int


class LeafTile(NamedTuple):
    """The hashes of some leaves, in order, and as bits of a number which events are gone."""

    leaves: list[bytes]
    gone: int


def tiled(cursor: Cursor) -> Tiled:
    cursor.execute(
        "SELECT leaf_index + 1, position, latest FROM moments ORDER BY leaf_index DESC LIMIT 1"
    )
    return Tiled._make(cursor.fetchone() or (0, 0, 0))


def extend(cursor: Cursor) -> int:
    """Tile the leaves that follow, at most to the end of the newest tile; return how many.

    Raises `LeavesMissing` if one of them is not there.
    """
    before = tiled(cursor)
    events = _following(cursor, before, TILE - before.leaves % TILE)
    if events:
        dated = dating(cursor, events[0][0], events[-1][0])
        moments = (dated.moment(position, stamp_of(state) or 0) for position, _, state in events)
        end = Tiled(before.leaves + len(events), events[-1][0], max(before.latest, *moments))
        fill(cursor, before, [leaf for _, leaf, _ in events], end)
    return len(events)


def fill(cursor: Cursor, before: Tiled, leaves: list[bytes], end: Tiled) -> None:
    """Add leaves to the newest tile, which has room for them and then goes to `end`."""
    tile = before.leaves // TILE
    newest = leaf_tile(cursor, tile)
    if newest is None:
        row = (tile, _NONE_GONE, b"".join(leaves))
        cursor.execute("INSERT INTO leaf_tiles VALUES (?, ?, ?)", row)
    else:
        leaves = newest.leaves + leaves
        cursor.execute("UPDATE leaf_tiles SET leaves = ? WHERE tile = ?", (b"".join(leaves), tile))
        cursor.execute("DELETE FROM moments WHERE leaf_index = ?", (before.leaves - 1,))
    cursor.execute(
        "INSERT INTO moments VALUES (?, ?, ?)", (end.leaves - 1, end.position, end.latest)
    )
    if len(leaves) == TILE:
        _add_node(cursor, 1, tile, complete_root(leaves))


def _following(cursor: Cursor, before: Tiled, limit: int) -> list[tuple[int, bytes, bytes]]:
    """Return the events after the tiles as (position, leaf, state)."""
    cursor.execute("SELECT leaves FROM leaf_count")
    wanted = min(limit, cursor.fetchone()[0] - before.leaves)
    cursor.execute(
        "SELECT position, leaf, state, leaf_index FROM stored_events WHERE position > ?"
        " ORDER BY position LIMIT ?",
        (before.position, wanted),
    )
    events = cursor.fetchall()
    end = before.leaves + wanted
    if [index for *_, index in events] != list(range(before.leaves, end)):
        raise LeavesMissing(f"events are missing between leaves {before.leaves} and {end - 1}")
    return [(position, leaf, state) for position, leaf, state, _ in events]


def _add_node(cursor: Cursor, level: int, number: int, node: bytes) -> None:
    """Add the root of full tile `number` below, and that of its own tile once it is full."""
    tile, held = divmod(number, TILE)
    joined = [*nodes(cursor, level, tile), node]
    if held:
        cursor.execute(
            "UPDATE node_tiles SET nodes = ? WHERE level = ? AND tile = ?",
            (b"".join(joined), level, tile),
        )
    else:
        cursor.execute("INSERT INTO node_tiles VALUES (?, ?, ?)", (level, tile, node))
    if len(joined) == TILE:
        _add_node(cursor, level + 1, tile, complete_root(joined))


# Reading


def leaf_tile(cursor: Cursor, tile: int) -> LeafTile | None:
    """Return the tile; None if it is dropped, or not begun."""
    cursor.execute("SELECT leaves, gone FROM leaf_tiles WHERE tile = ?", (tile,))
    row = cursor.fetchone()
    return None if row is None else LeafTile(_hashes(row[0]), int.from_bytes(row[1], "little"))


def nodes(cursor: Cursor, level: int, tile: int) -> list[bytes]:
    """Return the roots in a tile of level 1 and above; none if it is not begun."""
    cursor.execute("SELECT nodes FROM node_tiles WHERE level = ? AND tile = ?", (level, tile))
    row = cursor.fetchone()
    return [] if row is None else _hashes(row[0])


def stored_leaves(cursor: Cursor, first: int, end: int) -> list[bytes]:
    """Return the leaf hashes of stored events, from `first` up to `end`."""
    cursor.execute(
        "SELECT leaf FROM stored_events WHERE leaf_index >= ? AND leaf_index < ?"
        " ORDER BY leaf_index",
        (first, end),
    )
    return [leaf for (leaf,) in cursor.fetchall()]


def position_at(
    cursor: Cursor, moment: datetime, archived: Callable[[int], Iterable[LoggedEvent]] = _nothing
) -> int:
    """Return the end of the longest prefix of the ledger without an event of a later moment.

    From the newest stamp on, that is all of it. `archived` returns the archived events after a
    position, in order. Events that are gone for good are not seen: if one of them was the first
    that came later, the position is at most 255 events too far.
    """
    latest = microseconds(moment)
    cursor.execute(
        "SELECT leaf_index, position FROM moments WHERE latest <= ?"
        " ORDER BY latest DESC, leaf_index DESC LIMIT 1",
        (latest,),
    )
    leaf_index, found = cursor.fetchone() or (-1, 0)
    cursor.execute(
        "SELECT coalesce((SELECT position FROM moments WHERE leaf_index > ? ORDER BY leaf_index"
        " LIMIT 1), (SELECT max(position) FROM stored_events), 0)",
        (leaf_index,),
    )
    (end,) = cursor.fetchone()
    dated = dating(cursor, found + 1, end)
    gone = ((event.position, event.state) for event in archived(found))
    for position, state in merge(_states(cursor, found, end), takewhile(_until(end), gone)):
        if dated.moment(position, stamp_of(state) or 0) > latest:
            break
        found = position
    return int(found)


def _states(cursor: Cursor, after: int, end: int) -> Iterator[tuple[int, bytes]]:
    return streamed(
        cursor,
        "SELECT position, state FROM stored_events WHERE position > ? AND position <= ?"
        " ORDER BY position",
        (after, end),
    )


def _until(end: int) -> Callable[[tuple[int, bytes]], bool]:
    return lambda event: event[0] <= end


# What is gone


def mark_gone(cursor: Cursor, leaf_indexes: Iterable[int]) -> None:
    """Note that the events of these leaves are gone, in the transaction that deletes them.

    They must be tiled. A full tile whose events are all gone is dropped: its root stays.
    """
    bits: defaultdict[int, int] = defaultdict(int)
    for index in leaf_indexes:
        bits[index // TILE] |= 1 << index % TILE
    if not bits:
        return
    newest = max(bits)
    end = tiled(cursor).leaves
    assert newest * TILE + bits[newest].bit_length() <= end, f"only {end} leaves are tiled"
    for tile, more in sorted(bits.items()):
        cursor.execute("SELECT gone FROM leaf_tiles WHERE tile = ?", (tile,))
        row = cursor.fetchone()
        if row is not None:  # otherwise all of it is gone already
            _set_gone(cursor, tile, int.from_bytes(row[0], "little") | more)


def _set_gone(cursor: Cursor, tile: int, gone: int) -> None:
    if gone == _ALL_GONE:
        cursor.execute("DELETE FROM leaf_tiles WHERE tile = ?", (tile,))
        return
    bits = gone.to_bytes(len(_NONE_GONE), "little")
    cursor.execute("UPDATE leaf_tiles SET gone = ? WHERE tile = ?", (bits, tile))


def gone_count(cursor: Cursor) -> int:
    """Return how many leaves there are whose events are gone."""
    full = tiled(cursor).leaves // TILE
    kept = gone = 0
    for is_full, bits in streamed(cursor, "SELECT tile < ?, gone FROM leaf_tiles", (full,)):
        kept += is_full
        gone += int.from_bytes(bits).bit_count()
    return (full - kept) * TILE + gone


def gone_between(cursor: Cursor, first: int, end: int) -> int:
    """Return how many leaves from `first` up to `end` have events that are gone."""
    gone = 0
    for tile in range(first // TILE, (end - 1) // TILE + 1):
        found = leaf_tile(cursor, tile)
        if found is None:  # dropped, or not there yet: then nothing of it is gone
            bits = _ALL_GONE if tile < tiled(cursor).leaves // TILE else 0
        else:
            bits = found.gone
        low, high = max(first - tile * TILE, 0), min(end - tile * TILE, TILE)
        gone += (bits >> low & ((1 << high - low) - 1)).bit_count()
    return gone


def _hashes(joined: bytes) -> list[bytes]:
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]
