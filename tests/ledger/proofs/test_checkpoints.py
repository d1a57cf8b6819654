"""A checkpoint says what the ledger's tree is, and what is kept of them is what grew."""

from datetime import UTC, datetime, timedelta

import pytest

from ledger.codec import encode
from ledger.domain.events import Event, Recorded
from ledger.domain.events.housekeeping import LedgerRestored
from ledger.merkle.signed_note import Checkpoint, Signer, read_checkpoint
from ledger.merkle.tree import EMPTY
from ledger.proofs import checkpoints as module
from ledger.proofs.checkpoints import Checkpoints, epoch_of
from ledger.proofs.tree import Tree
from ledger.store.seam import Batch
from ledger.store.tables import checkpoints as table
from ledger.store.tables.tiles import TILE, LeavesMissing, tiled
from tests.ledger.proofs import naive
from tests.ledger.proofs.client import verify_consistency
from tests.ledger.proofs.tiling import compact, leaves_of, record_many
from tests.support.opened import Opened, behind_its_back
from tests.support.world import START

SIGNER = Signer("job-ledger/test", bytes(32))


class Hands:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = datetime(2026, 4, 17, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def checkpoints(opened: Opened, clock: Hands) -> Checkpoints:
    return Checkpoints(opened.ledger, SIGNER, now=clock)


def read(note: str) -> Checkpoint:
    return read_checkpoint(note.encode(), SIGNER.verifier)


def kept(opened: Opened) -> list[tuple[str, int, int, str]]:
    """All rows of the table."""
    with opened.ledger.log() as log:
        cursor = log.cursor()
        cursor.execute("SELECT made, epoch, size, note FROM checkpoints")
        return cursor.fetchall()


def restored(opened: Opened, uuid: str, epoch: int) -> None:
    event: Event = LedgerRestored(epoch, "note")
    recorded = Recorded(START, "test", "", event)
    opened.store.append(Batch([encode(f"restoration-{uuid}", 1, recorded)], (), {}, (), ()))


# Signing


def test_a_checkpoint_of_an_empty_ledger(checkpoints: Checkpoints) -> None:
    assert read(checkpoints.sign()) == ("job-ledger/test", 0, EMPTY, 1, 0, None)


@pytest.mark.parametrize("count", [1, 300])
def test_a_checkpoint_says_what_the_tree_is(
    opened: Opened, checkpoints: Checkpoints, count: int
) -> None:
    """As of the newest event; nothing is written for it, nor kept."""
    record_many(opened, count)
    before = opened.ledger.commits
    checkpoint = read(checkpoints.sign())
    with opened.ledger.log() as log:
        position = log.last_position()
    root = naive.root(leaves_of(opened))
    assert checkpoint == ("job-ledger/test", count, root, 1, position, None)
    assert opened.ledger.commits == before
    assert kept(opened) == []


def test_a_long_tail_is_tiled_first(
    opened: Opened, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the next one is cheap."""
    monkeypatch.setattr(module, "UNTILED_LEAVES_MAX", 100)
    record_many(opened, 101)
    assert read(checkpoints.sign()).root == naive.root(leaves_of(opened))
    with opened.ledger.log() as log:
        assert tiled(log.cursor()).leaves == 101


def test_checkpoints_of_one_epoch_continue_each_other(
    opened: Opened, checkpoints: Checkpoints
) -> None:
    """Across a compaction too."""
    seen = []
    for nth in range(4):
        record_many(opened, TILE - 50)
        assert checkpoints.keep()
        seen.append(read(checkpoints.sign()))
        compact(opened, range(nth * 70, nth * 70 + 70))
    assert [checkpoint.epoch for checkpoint in seen] == [1] * 4
    with opened.ledger.log() as log:
        tree = Tree(log)
        for old in seen[1:]:
            proof = tree.consistency(old.size, seen[-1].size)
            assert verify_consistency(old.size, seen[-1].size, old.root, seen[-1].root, proof)


def test_a_restore_begins_an_epoch(opened: Opened, checkpoints: Checkpoints) -> None:
    """The newest one by its place in the ledger, whatever its uuid is."""
    record_many(opened, 1)
    assert read(checkpoints.sign()).epoch == 1
    restored(opened, "b", 2)
    assert read(checkpoints.sign()).epoch == 2
    restored(opened, "a", 3)
    assert read(checkpoints.sign()).epoch == 3
    with opened.ledger.log() as log:
        assert epoch_of(log) == 3


def test_a_ledger_with_events_missing_is_not_signed(
    opened: Opened, checkpoints: Checkpoints
) -> None:
    record_many(opened, 5)
    with behind_its_back(opened.file) as connection:
        connection.execute("DELETE FROM stored_events WHERE leaf_index = 4")
    for make in (checkpoints.sign, checkpoints.keep):
        with pytest.raises(LeavesMissing):
            make()


# Keeping


def test_what_grew_is_kept(opened: Opened, checkpoints: Checkpoints, clock: Hands) -> None:
    """With its time, in the place of the one before; nothing is if nothing is new."""
    assert not checkpoints.keep()
    for size in (3, 4):
        record_many(opened, size - len(leaves_of(opened)))
        assert checkpoints.keep()
        made = clock.at
        clock.at += timedelta(minutes=1)
        assert not checkpoints.keep()
        with opened.ledger.log() as log:
            newest = table.newest(log.cursor())
        assert newest is not None
        assert (newest.made, newest.epoch, newest.size) == (made, 1, size)
        assert read(newest.note).size == size
        assert len(kept(opened)) == 1


def test_a_restore_to_a_smaller_ledger_is_kept(opened: Opened, checkpoints: Checkpoints) -> None:
    """Though the tree is no larger than the last one that was kept."""
    record_many(opened, 3)
    with behind_its_back(opened.file) as connection:
        connection.execute(
            "INSERT INTO checkpoints VALUES ('2026-04-16T00:00:00+00:00', 1, 100, '')"
        )
    restored(opened, "a", 2)
    assert checkpoints.keep()
    assert not checkpoints.keep()
    assert [(epoch, size) for _, epoch, size, _ in kept(opened)] == [(2, 4)]


def test_the_many_of_an_earlier_version_go_with_the_next(
    opened: Opened, checkpoints: Checkpoints
) -> None:
    """Until then the newest of them counts."""
    record_many(opened, 3)
    assert checkpoints.keep()
    with behind_its_back(opened.file) as connection:
        for day in (14, 15, 16):
            row = (f"2026-04-{day}T00:00:00+00:00", 1, day - 14, "")
            connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?)", row)
    assert not checkpoints.keep()
    record_many(opened, 1)
    assert checkpoints.keep()
    assert [size for _, _, size, _ in kept(opened)] == [4]
