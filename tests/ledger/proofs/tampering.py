"""What somebody may do to a data directory behind the ledger's back, from clumsy to careful.

Each way takes a directory that nobody has open, and draws where and how; whatever it draws, what
is there afterwards is not what the checkpoint was signed for, or cannot have been written by the
ledger.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from ledger.archives import Archive, Shelf, write_archive
from ledger.codec import encode, leaf_hash
from ledger.domain.events import Recorded
from ledger.domain.events.drives import DriveReady
from ledger.domain.events.housekeeping import LedgerRestored, restoration_stream
from ledger.merkle.signed_note import Checkpoint, Signer
from ledger.merkle.tree import HASH_BYTES, complete_root
from ledger.store.seam import LoggedEvent
from ledger.store.tables.tiles import TILE, extend
from tests.ledger.proofs.histories import FILE, SIGNER, Sealed
from tests.support.opened import behind_its_back
from tests.support.world import START

Tamper = Callable[[Sealed, Random], None]
EVENT = "position, leaf_index, originator_id, originator_version, topic, state, leaf"
OTHER_SIGNER = Signer(SIGNER.name, bytes(31) + b"\1")


@contextmanager
def ledger(sealed: Sealed) -> Iterator[sqlite3.Connection]:
    with behind_its_back(sealed.data / FILE) as connection:
        yield connection


def events(connection: sqlite3.Connection) -> list[LoggedEvent]:
    rows = connection.execute(f"SELECT {EVENT} FROM stored_events ORDER BY position")
    return [LoggedEvent._make(row) for row in rows]


def flipped(value: bytes, chance: Random) -> bytes:
    """The value with one byte of it another one."""
    at = chance.randrange(len(value))
    return value[:at] + bytes([value[at] ^ chance.randrange(1, 256)]) + value[at + 1 :]


def put(connection: sqlite3.Connection, event: LoggedEvent, *, at: int | None = None) -> None:
    """Writes all there is of an event over the one at its position, or at another."""
    connection.execute(
        "UPDATE stored_events SET position = ?, leaf_index = ?, originator_id = ?,"
        " originator_version = ?, topic = ?, state = ?, leaf = ? WHERE position = ?",
        (*event, event.position if at is None else at),
    )


def insert(connection: sqlite3.Connection, event: LoggedEvent) -> None:
    connection.execute("INSERT INTO stored_events VALUES (?, ?, ?, ?, ?, ?, ?)", event)


def forge(
    connection: sqlite3.Connection, stream: str, version: int, topic: str, state: bytes
) -> None:
    """Appends an event as the ledger would have recorded it."""
    newest = events(connection)[-1]
    place = newest.position + 1, newest.leaf_index + 1
    insert(connection, leaf_of(LoggedEvent(*place, stream, version, topic, state, b"")))
    connection.execute("UPDATE leaf_count SET leaves = ?", (newest.leaf_index + 2,))


def leaf_of(event: LoggedEvent) -> LoggedEvent:
    """The event with the leaf hash that it has to have."""
    leaf = leaf_hash(event.stream, event.version, event.topic, event.state)
    return event._replace(leaf=leaf)


# What is in a row


def change_text(sealed: Sealed, chance: Random) -> None:
    """One byte of an event's state, stream or topic; what comes of a text may be none."""
    with ledger(sealed) as connection:
        event = chance.choice(events(connection))
        column, value, kind = chance.choice(
            [
                ("state", event.state, "BLOB"),
                ("originator_id", event.stream.encode(), "TEXT"),
                ("topic", event.topic.encode(), "TEXT"),
            ]
        )
        connection.execute(
            f"UPDATE stored_events SET {column} = CAST(? AS {kind}) WHERE position = ?",
            (flipped(value, chance), event.position),
        )


def change_type(sealed: Sealed, chance: Random) -> None:
    """The same bytes, as another type."""
    with ledger(sealed) as connection:
        event = chance.choice(events(connection))
        column, kind = chance.choice(
            [("state", "TEXT"), ("originator_id", "BLOB"), ("topic", "BLOB"), ("leaf", "TEXT")]
        )
        connection.execute(
            f"UPDATE stored_events SET {column} = CAST({column} AS {kind}) WHERE position = ?",
            (event.position,),
        )


def change_leaf(sealed: Sealed, chance: Random) -> None:
    with ledger(sealed) as connection:
        event = chance.choice(events(connection))
        put(connection, event._replace(leaf=flipped(event.leaf, chance)))


def change_version(sealed: Sealed, chance: Random) -> None:
    """To one that the stream has not, with its leaf hash or without."""
    with ledger(sealed) as connection:
        event = chance.choice(events(connection))
        changed = event._replace(version=chance.choice([0, -1, event.version + 100, 2**40]))
        put(connection, chance.choice([leaf_of, lambda it: it])(changed))


def change_leaf_index(sealed: Sealed, chance: Random) -> None:
    with ledger(sealed) as connection:
        stored = events(connection)
        taken = {event.leaf_index for event in stored}
        drawn = [-1, len(taken) * 10, 2**62, chance.randrange(stored[-1].leaf_index + 1)]
        free = [index for index in drawn if index not in taken]
        put(connection, chance.choice(stored)._replace(leaf_index=chance.choice(free)))


def change_position(sealed: Sealed, chance: Random) -> None:
    with ledger(sealed) as connection:
        stored = events(connection)
        event = chance.choice(stored)
        taken = {other.position for other in stored}
        drawn = [0, -5, stored[-1].position + chance.randrange(1, 99)]
        drawn += [position for position in range(1, event.position) if position not in taken][:3]
        put(connection, event._replace(position=chance.choice(drawn)), at=event.position)


def swap_contents(sealed: Sealed, chance: Random) -> None:
    """Two events change places, with their leaf hashes."""
    with ledger(sealed) as connection:
        one, other = chance.sample(events(connection), 2)
        connection.execute("DELETE FROM stored_events WHERE position = ?", (other.position,))
        put(connection, other._replace(position=one.position, leaf_index=one.leaf_index))
        insert(connection, one._replace(position=other.position, leaf_index=other.leaf_index))


def reorder(sealed: Sealed, chance: Random) -> None:
    """Two events change their leaf indexes, or their positions."""
    with ledger(sealed) as connection:
        one, other = chance.sample(events(connection), 2)
        connection.execute("DELETE FROM stored_events WHERE position = ?", (other.position,))
        if chance.random() < 0.5:
            put(connection, one._replace(leaf_index=other.leaf_index))
            insert(connection, other._replace(leaf_index=one.leaf_index))
        else:
            put(connection, one._replace(position=other.position), at=one.position)
            insert(connection, other._replace(position=one.position))


# What is there


def _some(stored: Sequence[LoggedEvent], chance: Random) -> list[LoggedEvent]:
    """The newest, the oldest, any one, a few, or a whole stream."""
    at = chance.randrange(len(stored))
    stream = [event for event in stored if event.stream == stored[at].stream]
    few = list(stored[at : at + chance.randrange(2, 20)])
    return chance.choice([[stored[-1]], [stored[0]], [stored[at]], few, stream])


def remove(sealed: Sealed, chance: Random) -> None:
    """From the store alone, or as if they were archived."""
    with ledger(sealed) as connection:
        # What is archived at this moment may be deleted, and nobody can tell by whom.
        archived = {event.position for event in Shelf(sealed.archives).events()}
        stored = [event for event in events(connection) if event.position not in archived]
        going = _some(stored, chance)
        delete(connection, going)
        if chance.random() < 0.5:
            for event in going:
                set_gone(connection, event.leaf_index, gone=True)


def delete(connection: sqlite3.Connection, going: Sequence[LoggedEvent]) -> None:
    connection.executemany(
        "DELETE FROM stored_events WHERE position = ?", [(event.position,) for event in going]
    )


def remove_and_renumber(sealed: Sealed, chance: Random) -> None:
    """So that there is no gap; the newest may be the ones."""
    with ledger(sealed) as connection:
        stored = events(connection)
        going = _some(stored, chance)
        delete(connection, going)
        left = [event for event in stored if event not in going]
        _renumber(connection, stored, left, chance)


def _renumber(
    connection: sqlite3.Connection,
    stored: Sequence[LoggedEvent],
    left: Sequence[LoggedEvent],
    chance: Random,
) -> None:
    """Gives these events the first of the leaf indexes, and perhaps of the positions, of all."""
    moved = chance.random() < 0.5
    connection.execute("DELETE FROM stored_events")
    for event, place in zip(left, stored, strict=False):
        position = place.position if moved else event.position
        insert(connection, event._replace(leaf_index=place.leaf_index, position=position))
    fewer = len(stored) - len(left)
    connection.execute("UPDATE leaf_count SET leaves = leaves - ?", (fewer,))
    if chance.random() < 0.5:
        tile_anew(connection)


def insert_one(sealed: Sealed, chance: Random) -> None:
    """Among the others, which are numbered anew, or where there is room."""
    with ledger(sealed) as connection:
        stored = events(connection)
        recorded = Recorded(START, "somebody", "", DriveReady())
        new = encode("drive-forged", 1, recorded)
        at = chance.randrange(len(stored))
        event = leaf_of(
            LoggedEvent(stored[-1].position + 1, 0, "drive-forged", 1, new.topic, new.state, b"")
        )
        if chance.random() < 0.5:
            leaf_index = chance.choice([-1, stored[-1].leaf_index + 1, 2**62])
            insert(connection, event._replace(leaf_index=leaf_index))
            return
        connection.execute("DELETE FROM stored_events")
        for old in stored[:at]:
            insert(connection, old)
        first = stored[at]
        insert(connection, event._replace(position=first.position, leaf_index=first.leaf_index))
        for old in stored[at:]:
            moved = old._replace(position=old.position + 1, leaf_index=old.leaf_index + 1)
            insert(connection, moved)
        connection.execute("UPDATE leaf_count SET leaves = leaves + 1")
        if chance.random() < 0.5:
            tile_anew(connection)


def change_count(sealed: Sealed, chance: Random) -> None:
    """How many events there are said to be."""
    with ledger(sealed) as connection:
        by = chance.choice([-100, -1, 1, 1000, 2**60])
        connection.execute("UPDATE leaf_count SET leaves = leaves + ?", (by,))


def cut_off(sealed: Sealed, chance: Random) -> None:
    """All that was recorded from somewhere on, as if it had never been."""
    with ledger(sealed) as connection:
        stored = events(connection)
        going = stored[chance.randrange(len(stored)) :]
        delete(connection, going)
        connection.execute("UPDATE leaf_count SET leaves = ?", (going[0].leaf_index,))
        if chance.random() < 0.5:
            tile_anew(connection)


def put_back(sealed: Sealed, chance: Random) -> None:
    """The file as it was some time ago, with the archives of now or of then."""
    whole = chance.random() < 0.5
    if whole:
        shutil.rmtree(sealed.data)
        shutil.copytree(sealed.older, sealed.data)
    else:
        shutil.copy(sealed.older / FILE, sealed.data / FILE)


# The tree


def change_tile(sealed: Sealed, chance: Random) -> None:
    """A byte, or the length, of the leaf hashes or of what is gone."""
    with ledger(sealed) as connection:
        tile, leaves, gone = chance.choice(
            connection.execute("SELECT tile, leaves, gone FROM leaf_tiles").fetchall()
        )
        match chance.randrange(7):
            case 0:
                leaves = flipped(leaves, chance)
            case 1:
                gone = flipped(gone, chance)
            case 2:
                leaves = leaves[:-1]
            case 3:
                leaves = leaves[:-HASH_BYTES]
            case 4:
                gone = gone[:-1]
            case 5:
                leaves = leaves.hex()
            case _:
                leaves += bytes(HASH_BYTES)
        connection.execute(
            "UPDATE leaf_tiles SET leaves = ?, gone = ? WHERE tile = ?", (leaves, gone, tile)
        )


def change_node(sealed: Sealed, chance: Random) -> None:
    with ledger(sealed) as connection:
        ((nodes,),) = connection.execute("SELECT nodes FROM node_tiles").fetchall()
        changed = [flipped(nodes, chance), nodes[:-HASH_BYTES], nodes + bytes(HASH_BYTES)]
        connection.execute("UPDATE node_tiles SET nodes = ?", (chance.choice(changed),))


def change_tiles(sealed: Sealed, chance: Random) -> None:
    """One is removed, one is added, or one is where another was."""
    with ledger(sealed) as connection:
        kept = [tile for (tile,) in connection.execute("SELECT tile FROM leaf_tiles")]
        drawn = chance.choice(kept)
        where = f"WHERE tile = {drawn}"
        statements = [
            f"DELETE FROM leaf_tiles {where}",
            f"INSERT INTO leaf_tiles SELECT {max(kept) + 7}, gone, leaves FROM leaf_tiles {where}",
            f"UPDATE leaf_tiles SET tile = {2**60} {where}",
            "DELETE FROM moments",
        ]
        if connection.execute("SELECT 1 FROM node_tiles").fetchone():
            statements += [
                "DELETE FROM node_tiles",
                "INSERT INTO node_tiles SELECT level, tile + 1, nodes FROM node_tiles",
                "INSERT INTO node_tiles SELECT level + 1, tile, nodes FROM node_tiles",
                "UPDATE node_tiles SET tile = 1",
            ]
        connection.execute(chance.choice(statements))


def set_gone(connection: sqlite3.Connection, leaf_index: int, *, gone: bool) -> None:
    tile, at = divmod(leaf_index, TILE)
    row = connection.execute("SELECT gone FROM leaf_tiles WHERE tile = ?", (tile,)).fetchone()
    if row is None:
        return
    bit = 1 << at
    bits = int.from_bytes(row[0], "little")
    bits = bits | bit if gone else bits & ~bit
    connection.execute(
        "UPDATE leaf_tiles SET gone = ? WHERE tile = ?", (bits.to_bytes(TILE // 8, "little"), tile)
    )


def tile_anew(connection: sqlite3.Connection) -> None:
    """All tiles as the ledger would make them of what is there; where it can."""
    gone = connection.execute("SELECT count(*) FROM leaf_tiles WHERE gone != zeroblob(32)")
    stored = connection.execute("SELECT count(*), max(leaf_index) + 1 FROM stored_events")
    if gone.fetchone() != (0,) or len(set(stored.fetchone())) > 1:
        return
    for table in ("leaf_tiles", "node_tiles", "moments"):
        connection.execute(f"DELETE FROM {table}")
    cursor = connection.cursor()
    while extend(cursor):
        pass


def forge_carefully(sealed: Sealed, chance: Random) -> None:
    """An event is changed, and with it its leaf hash, its tile, and all that rests on that."""
    with ledger(sealed) as connection:
        event = chance.choice(events(connection))
        forged = leaf_of(event._replace(state=flipped(event.state, chance)))
        put(connection, forged)
        put_leaf(connection, forged.leaf_index, forged.leaf)


def put_leaf(connection: sqlite3.Connection, leaf_index: int, leaf: bytes) -> None:
    tile, at = divmod(leaf_index, TILE)
    row = connection.execute("SELECT leaves FROM leaf_tiles WHERE tile = ?", (tile,)).fetchone()
    if row is None or len(row[0]) < (at + 1) * HASH_BYTES:
        return
    leaves = _hashes(row[0])
    leaves[at] = leaf
    connection.execute("UPDATE leaf_tiles SET leaves = ? WHERE tile = ?", (b"".join(leaves), tile))
    if len(leaves) == TILE:
        _put_node(connection, tile, complete_root(leaves))


def _put_node(connection: sqlite3.Connection, tile: int, node: bytes) -> None:
    nodes = _hashes(connection.execute("SELECT nodes FROM node_tiles").fetchone()[0])
    nodes[tile] = node
    connection.execute("UPDATE node_tiles SET nodes = ?", (b"".join(nodes),))


def _hashes(joined: bytes) -> list[bytes]:
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


# Archives


def change_archive_file(sealed: Sealed, chance: Random) -> None:
    """A byte of it, its length, or all of it."""
    file = chance.choice(files(sealed))
    content = file.read_bytes()
    other = chance.choice([other for other in files(sealed) if other != file])
    drawn = [
        flipped(content, chance),
        content[: chance.randrange(len(content))],
        content + b"\0",
        b"",
        other.read_bytes(),
    ]
    file.write_bytes(chance.choice(drawn))


def rewrite_archive(sealed: Sealed, chance: Random) -> None:
    """One that is whole in itself, without an event, or with one that is not as it was."""
    file = chance.choice(files(sealed))
    name = file.name.removesuffix(".jsonl.zst")
    archive = Shelf(sealed.archives).get(name)
    held = list(archive.events())
    at = chance.randrange(len(held))
    match chance.randrange(4):
        case 0:
            del held[at]
        case 1:
            held[at] = leaf_of(held[at]._replace(state=flipped(held[at].state, chance)))
            if chance.random() < 0.5:
                with ledger(sealed) as connection:
                    put_leaf(connection, held[at].leaf_index, held[at].leaf)
        case 2:
            one, other = held[at - 1], held[at]
            held[at - 1] = one._replace(leaf_index=other.leaf_index)
            held[at] = other._replace(leaf_index=one.leaf_index)
        case _:
            held.append(held[-1]._replace(position=held[-1].position + 1, version=99))
    write_archive(sealed.archives, name, held, archive.trees)


def add_archive(sealed: Sealed, chance: Random) -> None:
    """One that the ledger has not written, with the events of another or of nobody."""
    foreign = LoggedEvent(1, 0, "drive-foreign", 1, "drive-ready/1", b"{}", b"")
    held = list(Shelf(sealed.archives).events())
    drawn = [[foreign], held, held[: len(held) // 2], [foreign._replace(position=10**9)]]
    write_archive(sealed.archives, "zzz", chance.choice(drawn), [])


def remove_archive(sealed: Sealed, chance: Random) -> None:
    chance.choice(files(sealed)).unlink()


def bring_back(sealed: Sealed, chance: Random) -> None:
    """An archived event is in the store again, as if it had never gone."""
    oldest = files(sealed)[0]  # of the newest it may be just what a compaction has not deleted yet
    event = chance.choice(list(Archive.open(oldest).events()))
    with ledger(sealed) as connection:
        insert(connection, event)
        set_gone(connection, event.leaf_index, gone=False)


def files(sealed: Sealed) -> list[Path]:
    return sorted(sealed.archives.glob("*.jsonl.zst"))


# Restores


def forge_restore(sealed: Sealed, chance: Random) -> None:
    """The newest events are cut off, and a restore that nobody has signed explains it."""
    with ledger(sealed) as connection:
        stored = events(connection)
        at = chance.randrange(1, len(stored))
        before = stored[at - 1]
        going = stored[at:]
        delete(connection, going)
        now = Checkpoint(SIGNER.name, before.leaf_index + 1, bytes(32), 2, before.position)
        notes = [
            "",
            OTHER_SIGNER.sign(now.text()),
            SIGNER.sign(sealed.checkpoint.text()),  # a true one, of something else
        ]
        event = LedgerRestored(2, chance.choice(notes))
        stream = restoration_stream("forged")
        new = encode(stream, 1, Recorded(START, "system", "", event))
        forge(connection, stream, 1, new.topic, new.state)
        if chance.random() < 0.5:
            tile_anew(connection)


IN_ANY_LEDGER: tuple[Tamper, ...] = (
    change_text,
    change_type,
    change_leaf,
    change_version,
    change_leaf_index,
    change_position,
    swap_contents,
    reorder,
    remove,
    remove_and_renumber,
    insert_one,
    change_count,
    cut_off,
    put_back,
    change_tile,
    change_tiles,
    forge_carefully,
    forge_restore,
)
WITH_NODES: tuple[Tamper, ...] = (change_node,)
WITH_ARCHIVES: tuple[Tamper, ...] = (
    change_archive_file,
    rewrite_archive,
    add_archive,
    remove_archive,
    bring_back,
)
