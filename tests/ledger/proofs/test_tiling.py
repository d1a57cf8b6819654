"""Tiles hold every leaf's hash, in order, whatever was recorded, deleted or broken off."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from ledger.merkle.tree import complete_root
from ledger.proofs import tile_builder as tiling
from ledger.proofs.tile_builder import TilingStopped, tile
from ledger.store.seam import Cursor
from ledger.store.tables import tiles
from ledger.store.tables.tiles import (
    TILE,
    LeavesMissing,
    gone_count,
    leaf_tile,
    mark_gone,
    nodes,
    position_at,
    tiled,
)
from tests.ledger.proofs.tiling import compact, leaves_of, record, record_many, second
from tests.support.opened import Opened, behind_its_back
from tests.support.world import START

T = TypeVar("T")
SECOND = timedelta(seconds=1)


def ask(opened: Opened, question: Callable[[Cursor], T]) -> T:
    with opened.ledger.log() as log:
        return question(log.cursor())


def tiled_leaves(opened: Opened) -> list[bytes]:
    """All that is in the leaf tiles that are kept."""

    def read(cursor: Cursor) -> list[bytes]:
        cursor.execute("SELECT tile FROM leaf_tiles ORDER BY tile")
        kept = [leaf_tile(cursor, nth) for (nth,) in cursor.fetchall()]
        return [leaf for one in kept if one is not None for leaf in one.leaves]

    return ask(opened, read)


# Tiles


@pytest.mark.parametrize("count", [0, 1, TILE - 1, TILE, TILE + 1, 3 * TILE])
def test_every_leaf_is_in_a_tile(opened: Opened, count: int) -> None:
    record_many(opened, count)
    tile(opened.ledger)
    assert tiled_leaves(opened) == leaves_of(opened)
    assert ask(opened, tiled).leaves == count


def test_the_newest_tile_grows(opened: Opened) -> None:
    """However few events come at a time; nothing that is tiled is tiled again."""
    for count in (1, 100, 154, 1, 1, 300, 0, 7):
        record_many(opened, count)
        tile(opened.ledger)
        tile(opened.ledger)
        assert tiled_leaves(opened) == leaves_of(opened)
    at = ask(opened, tiled)
    with opened.ledger.log() as log:
        assert at == (564, log.last_position(), at.latest)


def test_roots_of_full_tiles_are_kept(opened: Opened) -> None:
    """In tiles of level 1, where the second begins after 256 of them."""
    record_many(opened, 2 * TILE + 5)
    tile(opened.ledger)
    leaves = leaves_of(opened)
    roots = [complete_root(leaves[:TILE]), complete_root(leaves[TILE : 2 * TILE])]
    assert ask(opened, lambda c: nodes(c, 1, 0)) == roots
    assert ask(opened, lambda c: nodes(c, 2, 0)) == []


def test_full_tiles_of_roots_have_a_root_above(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so on upwards; with tiles of four, 64 leaves make three levels."""
    monkeypatch.setattr(tiles, "TILE", 4)
    record_many(opened, 67)
    tile(opened.ledger)
    leaves = leaves_of(opened)
    fours = [complete_root(leaves[at : at + 4]) for at in range(0, 64, 4)]
    sixteens = [complete_root(leaves[at : at + 16]) for at in range(0, 64, 16)]
    assert [node for nth in range(4) for node in ask(opened, lambda c: nodes(c, 1, nth))] == fours  # noqa: B023 - asked at once
    assert ask(opened, lambda c: nodes(c, 2, 0)) == sixteens
    assert ask(opened, lambda c: nodes(c, 3, 0)) == [complete_root(leaves[:64])]


def test_a_slice_gives_way_to_commands(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """While commands wait, a transaction has one slice; and yet it comes to its end."""
    record_many(opened, 5 * TILE)
    monkeypatch.setattr(opened.ledger, "busy", lambda: True)
    before = opened.ledger.commits
    tile(opened.ledger)
    assert opened.ledger.commits - before == 6
    assert ask(opened, tiled).leaves == 5 * TILE


def test_a_transaction_has_an_end_when_nobody_waits(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes meanwhile waits for a few slices at the most."""
    monkeypatch.setattr(tiling, "SLICES_PER_TRANSACTION", 2)
    record_many(opened, 3 * TILE)
    before = opened.ledger.commits
    tile(opened.ledger)
    assert opened.ledger.commits - before == 2


def test_it_can_be_stopped_between_transactions(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tiled stays so, and the next one goes on there; one that is done is not stopped."""
    monkeypatch.setattr(tiling, "SLICES_PER_TRANSACTION", 2)
    record_many(opened, 5 * TILE)
    with pytest.raises(TilingStopped):
        tile(opened.ledger, stopping=lambda: True)
    assert ask(opened, tiled).leaves == 2 * TILE
    tile(opened.ledger)
    tile(opened.ledger, stopping=lambda: True)
    assert tiled_leaves(opened) == leaves_of(opened)


def test_events_removed_before_they_are_tiled_are_missed(opened: Opened) -> None:
    """Whichever it is: nothing is put in their place, and nothing behind them is tiled."""
    record_many(opened, 10)
    for first_missing in (9, 5, 0):
        with behind_its_back(opened.file) as connection:
            connection.execute("DELETE FROM stored_events WHERE leaf_index = ?", (first_missing,))
        with pytest.raises(LeavesMissing):
            tile(opened.ledger)
        assert ask(opened, tiled).leaves == 0


def test_an_event_that_cannot_be_read_is_tiled(opened: Opened) -> None:
    """A leaf is a hash; what is wrong with its event is for others to say."""
    record_many(opened, 3)
    with behind_its_back(opened.file) as connection:
        connection.execute("UPDATE stored_events SET state = x'00' WHERE leaf_index = 1")
    tile(opened.ledger)
    assert tiled_leaves(opened) == leaves_of(opened)


# What is gone


def test_the_hash_of_a_leaf_outlives_its_event(opened: Opened) -> None:
    """And a bit says that the event is gone, also in the newest tile, which goes on growing."""
    record_many(opened, TILE + 10)
    tile(opened.ledger)
    leaves = leaves_of(opened)
    compact(opened, [0, 255, 256, 265])
    record_many(opened, 5)
    tile(opened.ledger)
    assert tiled_leaves(opened)[: TILE + 10] == leaves
    first, second = (ask(opened, lambda c: leaf_tile(c, nth)) for nth in range(2))  # noqa: B023 - asked at once
    assert first is not None
    assert second is not None
    assert (first.gone, second.gone) == (1 | 1 << 255, 1 | 1 << 9)
    assert ask(opened, gone_count) == 4


def test_a_tile_whose_events_are_all_gone_is_dropped(opened: Opened) -> None:
    """Its root stays, and it counts in full."""
    record_many(opened, 2 * TILE + 10)
    tile(opened.ledger)
    leaves = leaves_of(opened)
    compact(opened, range(1, TILE + 1))
    assert ask(opened, lambda c: leaf_tile(c, 0)) is not None
    compact(opened, [0])
    assert ask(opened, lambda c: leaf_tile(c, 0)) is None
    assert ask(opened, lambda c: nodes(c, 1, 0))[0] == complete_root(leaves[:TILE])
    assert ask(opened, gone_count) == TILE + 1


def test_a_tile_that_grows_is_not_dropped(opened: Opened) -> None:
    """Even if all there is in it is gone; it is once the rest is there and gone too."""
    record_many(opened, TILE - 1)
    tile(opened.ledger)
    compact(opened, range(TILE - 1))
    assert ask(opened, lambda c: leaf_tile(c, 0)) is not None
    assert ask(opened, gone_count) == TILE - 1
    record_many(opened, 1)
    tile(opened.ledger)
    assert ask(opened, lambda c: leaf_tile(c, 0)) is not None
    compact(opened, [TILE - 1])
    assert ask(opened, lambda c: leaf_tile(c, 0)) is None
    assert ask(opened, gone_count) == TILE
    record_many(opened, 1)
    tile(opened.ledger)
    assert tiled_leaves(opened) == leaves_of(opened)


def test_what_is_gone_may_be_marked_again(opened: Opened) -> None:
    """A compaction that goes on after a crash need not know what it had done."""
    record_many(opened, TILE + 1)
    tile(opened.ledger)
    for _ in range(2):
        compact(opened, [3])
        assert ask(opened, gone_count) == 1
    for _ in range(2):
        compact(opened, range(TILE))
        assert ask(opened, gone_count) == TILE


def test_leaves_that_are_not_tiled_cannot_be_marked(opened: Opened) -> None:
    """Their hashes would be lost; nothing is changed."""
    record_many(opened, 3)
    tile(opened.ledger)
    record_many(opened, 1)
    with pytest.raises(AssertionError, match="only 3 leaves"):
        opened.ledger.exclusive(lambda cursor: mark_gone(cursor, [0, 3])).result()
    assert ask(opened, gone_count) == 0


# Moments


def test_the_position_at_a_moment(opened: Opened) -> None:
    """Is that of the last event recorded by then, whether it is tiled or not."""
    record_many(opened, 3 * TILE)
    tile(opened.ledger)
    record_many(opened, 5)
    with opened.ledger.log() as log:
        positions = [event.position for event in log.events()]
    for nth in (0, 1, 254, 255, 256, 257, 511, 767, 768, 772):
        assert ask(opened, lambda c: position_at(c, second(nth))) == positions[nth]  # noqa: B023 - asked at once
        just_after = second(nth) + SECOND / 2
        assert ask(opened, lambda c: position_at(c, just_after)) == positions[nth]  # noqa: B023
    assert ask(opened, lambda c: position_at(c, START - SECOND)) == 0
    assert ask(opened, lambda c: position_at(c, datetime.max.replace(tzinfo=UTC))) == positions[-1]


@pytest.mark.parametrize("tiled_first", [True, False])
def test_a_clock_set_back_does_not_hide_what_was_recorded_before(
    opened: Opened, *, tiled_first: bool
) -> None:
    """A prefix ends before the first later stamp, whatever is stamped earlier behind that."""
    record(opened, [second(0), second(10), second(1), second(11), second(2)])
    if tiled_first:
        tile(opened.ledger)
    with opened.ledger.log() as log:
        positions = [event.position for event in log.events()]
    for at, nth in ((0, 0), (2, 0), (9, 0), (10, 2), (11, 4)):
        assert ask(opened, lambda c: position_at(c, second(at))) == positions[nth]  # noqa: B023 - asked at once


def test_a_later_stamp_counts_in_all_later_tiles(opened: Opened) -> None:
    """Also if its event is gone by the time its tile is full: what follows is no prefix."""
    record(opened, [second(0), second(10_000)])
    tile(opened.ledger)
    compact(opened, [1])
    record(opened, [second(nth) for nth in range(2, 2 * TILE)])
    tile(opened.ledger)
    with opened.ledger.log() as log:
        end_of_tile = [event.position for event in log.events() if event.leaf_index == TILE - 1]
    assert [ask(opened, lambda c: position_at(c, second(300)))] == end_of_tile


def test_of_tiles_with_the_same_latest_time_the_last_is_meant(opened: Opened) -> None:
    """All that was recorded while the clock was behind belongs to the prefix."""
    record(opened, [second(10_000), *(second(nth) for nth in range(1, 3 * TILE + 5))])
    tile(opened.ledger)
    with opened.ledger.log() as log:
        end = log.last_position()
    assert ask(opened, lambda c: position_at(c, second(10_000))) == end
    assert ask(opened, lambda c: position_at(c, second(9_999))) == 0


def test_moments_of_events_that_are_gone_are_found(opened: Opened) -> None:
    """The end of a tile is remembered, and before it what is left is looked at."""
    record_many(opened, 2 * TILE + 3)
    tile(opened.ledger)
    with opened.ledger.log() as log:
        positions = [event.position for event in log.events()]
    compact(opened, [nth for nth in range(2 * TILE) if nth % 3])
    assert ask(opened, lambda c: position_at(c, second(TILE - 1))) == positions[TILE - 1]
    assert ask(opened, lambda c: position_at(c, second(TILE))) == positions[TILE - 1]
    assert ask(opened, lambda c: position_at(c, second(9))) == positions[9]
    assert ask(opened, lambda c: position_at(c, second(11))) == positions[9]
