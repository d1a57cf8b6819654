"""What is found says what was done, and no more than that."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.archives import Shelf, write_archive
from ledger.domain.events.housekeeping import LedgerRestored, restoration_stream
from ledger.merkle.signed_note import Signer
from ledger.proofs.findings import (
    AnotherRoot,
    BadArchiveFound,
    BadTile,
    Changed,
    Finding,
    ForgedRestore,
    Misplaced,
    Missing,
    NotArchived,
    UnreadableAct,
    VersionGap,
    WronglyGone,
    described,
)
from ledger.proofs.verification import MISSING_LEAVES_MAX
from ledger.store.seam import LoggedEvent
from tests.ledger.proofs.histories import SIGNER, History, Sealed, archive_names, verified
from tests.ledger.proofs.tampering import (
    OTHER_SIGNER,
    delete,
    events,
    forge,
    insert,
    leaf_of,
    ledger,
    put,
    put_leaf,
    set_gone,
)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "data")
    yield made
    made.close()


def sealed(history: History) -> Sealed:
    """With a checkpoint of all of it."""
    checkpoint = history.checkpoint()
    history.close()
    return Sealed(history.data, history.data, checkpoint)


def found(of: Sealed) -> tuple[Finding, ...]:
    findings = verified(of.data, of.checkpoint).findings
    assert all(described(finding) for finding in findings)
    return findings


def untiled(history: History) -> Sealed:
    history.jobs(20)
    return sealed(history)


def tiled(history: History) -> Sealed:
    history.jobs(50)
    history.tile()
    return sealed(history)


def compacted(history: History) -> Sealed:
    """One tile is dropped, of the next some events are gone."""
    history.jobs(50)
    history.discard()
    history.jobs(20)
    history.compact()
    return sealed(history)


def compacting(history: History) -> Sealed:
    """Events of one archive are gone, those of another are being deleted."""
    history.jobs(30)
    history.discard(10)
    history.compact()
    history.discard(10)
    history.begin_compaction(30)
    return sealed(history)


# One thing at a time


def test_a_changed_event(history: History) -> None:
    """Without a tile it shows by its own hash, and by the root."""
    of = untiled(history)
    with ledger(of) as connection:
        event = events(connection)[7]
        put(connection, event._replace(state=b"{}"))
    assert found(of) == (
        Changed(8, "its leaf hash is not that of its bytes"),
        AnotherRoot(120),
    )


def test_a_changed_event_with_its_leaf_hash(history: History) -> None:
    of = tiled(history)
    with ledger(of) as connection:
        put(connection, leaf_of(events(connection)[7]._replace(state=b"{}")))
    assert found(of) == (
        Changed(8, "it is not what the tree has as leaf 7"),
        BadTile(1, 0, "its nodes are not the roots of what is below"),
        AnotherRoot(300),
    )


def test_a_changed_event_with_all_that_rests_on_it(history: History) -> None:
    """Only the checkpoint shows it."""
    of = tiled(history)
    with ledger(of) as connection:
        forged = leaf_of(events(connection)[7]._replace(state=b"{}"))
        put(connection, forged)
        put_leaf(connection, 7, forged.leaf)
    assert found(of) == (AnotherRoot(300),)


def test_another_type(history: History) -> None:
    of = untiled(history)
    with ledger(of) as connection:
        connection.execute("UPDATE stored_events SET state = 'x' WHERE leaf_index = 7")
    assert found(of) == (
        Changed(8, "what is stored is not of the type that was stored"),
        Missing(7, 7),
    )


@pytest.mark.parametrize("column", ["originator_id", "topic"])
def test_no_text(history: History, column: str) -> None:
    of = untiled(history)
    with ledger(of) as connection:
        connection.execute(
            f"UPDATE stored_events SET {column} = CAST(x'ff' AS TEXT) WHERE leaf_index = 119"
        )
    findings = found(of)
    assert findings[:2] == (
        Changed(120, "its stream or its topic is not text"),
        Missing(119, 119),
    )


@pytest.mark.parametrize("kind", ["sweep", "compaction"])
def test_acts_that_are_no_text(history: History, kind: str) -> None:
    """They are read by their names, while events are being deleted."""
    of = compacting(history)
    with ledger(of) as connection:
        connection.execute(
            "UPDATE stored_events SET topic = CAST(x'ff' AS TEXT) WHERE originator_id LIKE ?",
            (f"{kind}-%",),
        )
    assert any(isinstance(finding, Changed) for finding in found(of))


def test_missing_events(history: History) -> None:
    """The newest and some in between."""
    of = untiled(history)
    with ledger(of) as connection:
        stored = events(connection)
        delete(connection, [*stored[100:103], stored[119]])
    assert found(of) == (Missing(100, 102), Missing(119, 119))


def test_events_that_are_said_to_have_been(history: History) -> None:
    of = untiled(history)
    with ledger(of) as connection:
        connection.execute("UPDATE leaf_count SET leaves = 121")
    assert found(of) == (Missing(120, 120),)


def test_more_events_than_can_have_been(history: History) -> None:
    """Are not looked for one by one."""
    of = untiled(history)
    with ledger(of) as connection:
        connection.execute("UPDATE leaf_count SET leaves = ?", (2**60,))
    assert found(of)[0] == Missing(120 + MISSING_LEAVES_MAX, 2**60 - 1)


def test_a_stream_that_is_marked_as_gone(history: History) -> None:
    """Although no compaction has deleted it."""
    of = tiled(history)
    with ledger(of) as connection:
        _mark_gone(connection, "job-00020")
    assert found(of) == (WronglyGone(6, 0), NotArchived(6, 0))


def test_a_stream_that_is_marked_as_gone_while_others_go(history: History) -> None:
    """By their number alone nobody could tell."""
    of = compacting(history)
    with ledger(of) as connection:
        _mark_gone(connection, "job-00030")
    assert found(of) == (NotArchived(6, 0),)


def _mark_gone(connection: sqlite3.Connection, stream: str) -> None:
    going = [event for event in events(connection) if event.stream == stream]
    assert len(going) == 6
    delete(connection, going)
    for event in going:
        set_gone(connection, event.leaf_index, gone=True)


def test_an_event_that_is_there_and_marked_as_gone(history: History) -> None:
    of = tiled(history)
    with ledger(of) as connection:
        set_gone(connection, 7, gone=True)
    assert found(of) == (Misplaced(8, "it is marked as gone"), WronglyGone(1, 0))


def test_an_archived_event_in_a_dropped_tile_that_is_back(history: History) -> None:
    of = compacted(history)
    event = next(Shelf(of.archives).events())
    with ledger(of) as connection:
        insert(connection, event)
    (name,) = archive_names(of.data)
    assert found(of) == (
        Misplaced(1, "it is marked as gone"),
        BadArchiveFound(name, "events that it has are in the store as well"),
    )


def test_an_archived_stream_that_is_back_while_others_go(history: History) -> None:
    """By the number that is gone nobody could tell."""
    of = compacting(history)
    oldest = archive_names(of.data)[0]
    back = Shelf(of.archives).get(oldest).stream("job-00001")
    with ledger(of) as connection:
        for event in back:
            insert(connection, event)
            set_gone(connection, event.leaf_index, gone=False)
    assert found(of) == (BadArchiveFound(oldest, "events that it has are in the store as well"),)


def test_a_position_that_is_moved(history: History) -> None:
    """Of the checkpoint's last event; positions are under no hash."""
    of = untiled(history)
    with ledger(of) as connection:
        connection.execute("UPDATE stored_events SET position = 999 WHERE position = 120")
    reason = "the checkpoint says that its last event is at position 120"
    assert found(of) == (Misplaced(999, reason),)


def test_an_impossible_position(history: History) -> None:
    of = untiled(history)
    with ledger(of) as connection:
        connection.execute("UPDATE stored_events SET position = 0 WHERE position = 1")
    assert found(of) == (Misplaced(0, "no position"), Missing(0, 0), VersionGap(0, "job-00001"))


def test_positions_that_change_places(history: History) -> None:
    """The events are what they were, in another order."""
    of = untiled(history)
    with ledger(of) as connection:
        connection.execute("UPDATE stored_events SET position = 999 WHERE position = 8")
        connection.execute("UPDATE stored_events SET position = 8 WHERE position = 9")
        connection.execute("UPDATE stored_events SET position = 9 WHERE position = 999")
    assert found(of) == (Misplaced(9, "its leaf has index 7, and 8 came before"),)


def test_an_inserted_event(history: History) -> None:
    of = untiled(history)
    with ledger(of) as connection:
        insert(connection, LoggedEvent(121, 120, "drive-x", 1, "t", b"", b""))
    assert Misplaced(121, "there is no leaf 120") in found(of)


def test_a_version_that_is_skipped_after_the_checkpoint(history: History) -> None:
    """Where all else is as the ledger would have recorded it."""
    of = untiled(history)
    with ledger(of) as connection:
        forge(connection, "drive-x", 2, "drive-ready/1", b"{}")
    assert found(of) == (VersionGap(121, "drive-x"),)


# Tiles


def test_a_changed_leaf_hash_in_a_tile(history: History) -> None:
    of = tiled(history)
    with ledger(of) as connection:
        _edit_leaves(connection, lambda leaves: bytes(32) + leaves[32:])
    assert found(of) == (Changed(1, "it is not what the tree has as leaf 0"),)


def test_a_tile_that_is_cut_off(history: History) -> None:
    of = tiled(history)
    with ledger(of) as connection:
        _edit_leaves(connection, lambda leaves: leaves[:-32])
    assert found(of) == (BadTile(0, 0, "it holds 255 leaves, not 256"),)


def _edit_leaves(connection: sqlite3.Connection, edit: Callable[[bytes], bytes]) -> None:
    ((leaves,),) = connection.execute("SELECT leaves FROM leaf_tiles WHERE tile = 0")
    connection.execute("UPDATE leaf_tiles SET leaves = ? WHERE tile = 0", (edit(leaves),))


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        (
            "UPDATE node_tiles SET nodes = zeroblob(32)",
            BadTile(1, 0, "its nodes are not the roots of what is below"),
        ),
        (
            "INSERT INTO node_tiles VALUES (2, 0, zeroblob(32))",
            BadTile(2, 0, "there is no such tile"),
        ),
        (
            "INSERT INTO leaf_tiles VALUES (2, zeroblob(32), zeroblob(32))",
            BadTile(0, 2, "there is no such tile"),
        ),
        (
            "DELETE FROM moments WHERE leaf_index = 299",
            BadTile(0, 1, "300 leaves are tiled, not 256"),
        ),
        (
            "UPDATE leaf_tiles SET gone = x'00' WHERE tile = 1",
            BadTile(0, 1, "leaves that it does not hold are marked as gone"),
        ),
    ],
    ids=["node", "node-tile", "leaf-tile", "moment", "gone"],
)
def test_tiles(history: History, statement: str, finding: Finding) -> None:
    of = tiled(history)
    with ledger(of) as connection:
        connection.execute(statement)
    assert finding in found(of)


# Archives


def test_an_event_that_is_another_in_the_archive(history: History) -> None:
    """While it is in both places; what rests on it in the store was changed too."""
    of = compacting(history)
    newest = archive_names(of.data)[-1]
    with ledger(of) as connection:
        event = next(it for it in events(connection) if it.stream == "job-00011")
        forged = leaf_of(event._replace(state=b"{}"))
        put(connection, forged)
        put_leaf(connection, forged.leaf_index, forged.leaf)
    reason = f"in archive {newest} it is not what it is in the store"
    assert found(of) == (Changed(event.position, reason), AnotherRoot(of.checkpoint.size))


def test_an_archive_of_another_name(history: History) -> None:
    of = compacted(history)
    (name,) = archive_names(of.data)
    shutil.copy(of.archives / f"{name}.jsonl.zst", of.archives / "copy.jsonl.zst")
    findings = found(of)
    assert Misplaced(1, f"it is in archives {name} and copy") in findings
    assert BadArchiveFound("copy", "no event says that it was written") in findings


def test_an_archive_without_one_of_its_events(history: History) -> None:
    """Written anew, and whole in itself."""
    of = compacted(history)
    (name,) = archive_names(of.data)
    archive = Shelf(of.archives).get(name)
    left = [event for event in archive.events() if event.position != 51]
    write_archive(of.archives, name, left, archive.trees)
    findings = found(of)
    assert VersionGap(101, "job-00001") in findings
    path = of.archives / f"{name}.jsonl.zst"
    reason = f"{path}: it is not the file that was written: its digest is another"
    assert BadArchiveFound(name, reason) in findings


# Acts of the ledger's own


@pytest.mark.parametrize(
    ("signer", "change", "reason"),
    [
        (OTHER_SIGNER, {}, "not signed by job-ledger/test with the key "),
        (SIGNER, {"epoch": 3}, "it follows epoch 1, and is signed for 3"),
        (SIGNER, {"size": 119}, "it is of leaf 120, and signed for a backup of 119 events"),
        (SIGNER, {"root": bytes(32)}, "what it is signed for is not what came before it"),
        (
            SIGNER,
            {"origin": "elsewhere"},
            "the checkpoint is of elsewhere, and signed by job-ledger/test",
        ),
        (SIGNER, {}, None),
    ],
    ids=["key", "epoch", "size", "root", "origin", "none"],
)
def test_a_forged_restore(
    history: History, signer: Signer, change: dict[str, object], reason: str | None
) -> None:
    """Begins no epoch."""
    history.jobs(20)
    backup = history.checkpoint()
    note = signer.sign(backup._replace(**{"epoch": 2} | change).text())
    history.record((restoration_stream("r"), 1, LedgerRestored(2, note)))
    result = verified(history.data, backup)
    if reason is None:
        assert (result.findings, result.epoch) == ((), 2)
    else:
        (forged,) = result.findings
        assert isinstance(forged, ForgedRestore)
        assert (forged.position, forged.epoch, result.epoch) == (121, 2, 1)
        assert forged.reason.startswith(reason)


def test_an_act_that_has_no_place_where_it_is(history: History) -> None:
    history.jobs(1)
    of = sealed(history)
    with ledger(of) as connection:
        succeeded = events(connection)[-1]
        forge(connection, "restoration-x", 1, succeeded.topic, succeeded.state)
        forge(connection, "compaction-x", 1, "nothing/1", b"{}")
    assert found(of) == (
        UnreadableAct(7, "job-succeeded/2 has no place in restoration-x"),
        UnreadableAct(8, "no event is stored under the name nothing/1"),
    )
