"""Rows as they are, whatever somebody has made of them: for who verifies and trusts nothing."""

from collections.abc import Iterator
from typing import NamedTuple

from ledger.proofs.merkle import HASH_BYTES
from ledger.store.seam import Cursor, LoggedEvent
from ledger.store.tiles import TILE, LeafTile

READ_ROWS = 2_000
_GONE_BYTES = TILE // 8
_TYPES = (int, int, bytes, int, bytes, bytes, bytes)


class Damaged(NamedTuple):
    """The row of an event that no store has written so."""

    position: int
    reason: str


def events(cursor: Cursor) -> Iterator[LoggedEvent | Damaged]:
    """All events in the order of positions, those at impossible positions too."""
    # Text is cast: what is no UTF-8 could not be read at all.
    cursor.execute(
        "SELECT position, leaf_index, CAST(originator_id AS BLOB), originator_version,"
        " CAST(topic AS BLOB), state, leaf, typeof(originator_id) || ' ' || typeof(topic)"
        " FROM stored_events ORDER BY position"
    )
    while rows := cursor.fetchmany(READ_ROWS):
        for *values, texts in rows:
            yield _event(values, are_texts=texts == "text text")


def _event(values: list[object], *, are_texts: bool) -> LoggedEvent | Damaged:
    position, leaf_index, stream, version, topic, state, leaf = values
    assert isinstance(position, int), position
    if not are_texts or tuple(map(type, values)) != _TYPES:
        return Damaged(position, "what is stored is not of the type that was stored")
    try:
        return LoggedEvent(
            position,
            leaf_index,  # type: ignore[arg-type] # they were looked at
            stream.decode(),  # type: ignore[attr-defined]
            version,  # type: ignore[arg-type]
            topic.decode(),  # type: ignore[attr-defined]
            state,  # type: ignore[arg-type]
            leaf,  # type: ignore[arg-type]
        )
    except UnicodeDecodeError:
        return Damaged(position, "its stream or its topic is no text")


def versions(cursor: Cursor) -> Iterator[tuple[bytes, object, int]]:
    """(stream, version, position) of all events, stream by stream, in the order of versions."""
    cursor.execute(
        "SELECT CAST(originator_id AS BLOB), originator_version, position FROM stored_events"
        " ORDER BY originator_id, originator_version"
    )
    while rows := cursor.fetchmany(READ_ROWS):
        yield from rows


# The tree


def full_tiles(cursor: Cursor) -> int:
    """How many leaf tiles have been full, by the roots that are kept of them."""
    cursor.execute("SELECT coalesce(sum(length(nodes)), 0) FROM node_tiles WHERE level = 1")
    return int(cursor.fetchone()[0]) // HASH_BYTES


def leaf_tile(cursor: Cursor, tile: int) -> LeafTile | None:
    """The tile, or None. Of one that no store has written so, what can be read."""
    cursor.execute("SELECT leaves, gone FROM leaf_tiles WHERE tile = ?", (tile,))
    row = cursor.fetchone()
    if row is None:
        return None
    leaves, gone = row
    bits = gone if isinstance(gone, bytes) and len(gone) == _GONE_BYTES else b""
    return LeafTile(_hashes(leaves), int.from_bytes(bits, "little"))


def nodes(cursor: Cursor, level: int, tile: int) -> list[bytes]:
    """As much of a tile of level 1 and above as can be read."""
    cursor.execute("SELECT nodes FROM node_tiles WHERE level = ? AND tile = ?", (level, tile))
    row = cursor.fetchone()
    return [] if row is None else _hashes(row[0])


def leaf_tiles_outside(cursor: Cursor, end: int) -> list[int]:
    """The leaf tiles that are none of the first `end`."""
    cursor.execute("SELECT tile FROM leaf_tiles WHERE tile < 0 OR tile >= ?", (end,))
    return [tile for (tile,) in cursor.fetchall()]


def node_tiles(cursor: Cursor) -> list[tuple[int, int]]:
    """All (level, tile) of level 1 and above."""
    cursor.execute("SELECT level, tile FROM node_tiles ORDER BY level, tile")
    return [(level, tile) for level, tile in cursor.fetchall()]


def _hashes(joined: object) -> list[bytes]:
    if not isinstance(joined, bytes):
        return []
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]
