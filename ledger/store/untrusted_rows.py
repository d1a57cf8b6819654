"""Raw rows, read without trusting them, for verification."""

from collections.abc import Iterator
from typing import NamedTuple

from ledger.merkle.tree import HASH_BYTES
from ledger.store.log import streamed
from ledger.store.seam import Cursor, LoggedEvent
from ledger.store.tables.tiles import TILE, LeafTile

_GONE_BYTES = TILE // 8
_NO_BITS = 1 << TILE
"""Marks no leaf of a tile, but one that no tile has."""


def _of_type(column: str, kind: str) -> str:
    """Return the column, or NULL: text that is not UTF-8 could not be fetched at all."""
    value = f"CAST({column} AS BLOB)" if kind == "text" else column
    return f"CASE typeof({column}) WHEN '{kind}' THEN {value} END"


_LEAF_INDEX = _of_type("leaf_index", "integer")
_STREAM = _of_type("originator_id", "text")
_VERSION = _of_type("originator_version", "integer")
_TOPIC = _of_type("topic", "text")
_STATE = _of_type("state", "blob")
_LEAF = _of_type("leaf", "blob")
_EVENTS = (
    f"SELECT position, {_LEAF_INDEX}, {_STREAM}, {_VERSION}, {_TOPIC}, {_STATE}, {_LEAF}"  # noqa: S608 - constants
    " FROM stored_events"
)
_ALL_EVENTS = f"{_EVENTS} ORDER BY position"
_EVENTS_OF_A_KIND = f"{_EVENTS} WHERE originator_id >= ? AND originator_id < ?"
_VERSIONS = (
    f"SELECT CAST(originator_id AS BLOB), {_VERSION}, position FROM stored_events"  # noqa: S608 - the same
    " ORDER BY originator_id, originator_version"
)
_COUNT = f"SELECT sum({_of_type('leaves', 'integer')}) FROM leaf_count"  # noqa: S608 - the same
_LEAVES = _of_type("leaves", "blob")
_GONE = _of_type("gone", "blob")
_LEAF_TILE = f"SELECT {_LEAVES}, {_GONE} FROM leaf_tiles WHERE tile = ?"  # noqa: S608 - the same
_NODES = _of_type("nodes", "blob")
_NODE_TILE = f"SELECT {_NODES} FROM node_tiles WHERE level = ? AND tile = ?"  # noqa: S608 - the same


class Damaged(NamedTuple):
    """An event's row that no store has written in this form."""

    position: int
    reason: str


_OF_ANOTHER_TYPE = "what is stored is not of the type that was stored"


def events(cursor: Cursor) -> Iterator[LoggedEvent | Damaged]:
    """Yield all events by position, even those at impossible positions."""
    for row in streamed(cursor, _ALL_EVENTS):
        yield _event(row) if None not in row else Damaged(row[0], _OF_ANOTHER_TYPE)


def events_of(cursor: Cursor, kind: str) -> list[LoggedEvent]:
    """Return the events of streams whose names begin with `kind-`, except damaged ones."""
    cursor.execute(_EVENTS_OF_A_KIND, (f"{kind}-", f"{kind}."))  # "." comes right after "-"
    found = [_event(row) for row in cursor.fetchall() if None not in row]
    return [event for event in found if isinstance(event, LoggedEvent)]


def _event(row: tuple[int, int, bytes, int, bytes, bytes, bytes]) -> LoggedEvent | Damaged:
    position, leaf_index, stream, version, topic, state, leaf = row
    try:
        texts = stream.decode(), version, topic.decode()
    except UnicodeDecodeError:
        return Damaged(position, "its stream or its topic is not text")
    return LoggedEvent(position, leaf_index, *texts, state, leaf)


def leaf_count(cursor: Cursor) -> int:
    """Return how many events there have been, according to the table."""
    cursor.execute(_COUNT)
    return cursor.fetchone()[0] or 0


def versions(cursor: Cursor) -> Iterator[tuple[bytes, int | None, int]]:
    """Yield (stream, version, position) of all events, by stream and version."""
    yield from streamed(cursor, _VERSIONS)


# The tree


def full_tiles(cursor: Cursor) -> int:
    """Return how many leaf tiles have been full, according to their roots."""
    cursor.execute("SELECT coalesce(sum(length(nodes)), 0) FROM node_tiles WHERE level = 1")
    return int(cursor.fetchone()[0]) // HASH_BYTES


def leaf_tile(cursor: Cursor, tile: int) -> LeafTile | None:
    """Return the tile, or None; of a damaged one, what can be read."""
    cursor.execute(_LEAF_TILE, (tile,))
    row = cursor.fetchone()
    if row is None:
        return None
    leaves, gone = row
    well_formed = gone is not None and len(gone) == _GONE_BYTES
    bits = int.from_bytes(gone, "little") if well_formed else _NO_BITS
    return LeafTile(_hashes(leaves), bits)


def nodes(cursor: Cursor, level: int, tile: int) -> list[bytes]:
    """Return what can be read of a tile of level 1 and above."""
    cursor.execute(_NODE_TILE, (level, tile))
    row = cursor.fetchone()
    return [] if row is None else _hashes(row[0])


def leaf_tiles_outside(cursor: Cursor, end: int) -> list[int]:
    """Return the leaf tiles beyond the first `end`."""
    cursor.execute("SELECT tile FROM leaf_tiles WHERE tile < 0 OR tile >= ?", (end,))
    return [tile for (tile,) in cursor.fetchall()]


def node_tiles(cursor: Cursor) -> list[tuple[int, int]]:
    """Return all (level, tile) of level 1 and above."""
    cursor.execute("SELECT level, tile FROM node_tiles ORDER BY level, tile")
    return [(level, tile) for level, tile in cursor.fetchall()]


def _hashes(joined: bytes | None) -> list[bytes]:
    whole = joined or b""
    return [whole[at : at + HASH_BYTES] for at in range(0, len(whole), HASH_BYTES)]
