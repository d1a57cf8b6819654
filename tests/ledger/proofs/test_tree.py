"""The ledger's tree is the one over its leaves, wherever their hashes are by now."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.archives import Shelf
from ledger.merkle.tree import EMPTY
from ledger.proofs import tree as tree_module
from ledger.proofs.tile_builder import tile
from ledger.proofs.tree import LeavesArchived, OutsideTree, Tree
from ledger.store.tables import tiles
from ledger.store.tables.tiles import TILE, LeavesMissing
from tests.ledger.proofs import naive
from tests.ledger.proofs.client import verify_consistency, verify_inclusion
from tests.ledger.proofs.tiling import compact, leaves_of, record_many
from tests.support.opened import Opened, behind_its_back


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four hashes, so that there are many levels."""
    monkeypatch.setattr(tiles, "TILE", 4)
    monkeypatch.setattr(tiles, "_ALL_GONE", 0b1111)
    monkeypatch.setattr(tree_module, "TILE", 4)
    monkeypatch.setattr(tree_module, "TILE_HEIGHT", 2)
    monkeypatch.setattr(tree_module, "CACHED_TILES_MAX", 3)


class Archives(Shelf):
    """Those of these leaves, which note what they are asked for."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves
        self.asked: list[tuple[int, int]] = []

    def leaves(self, first: int, last: int) -> dict[int, bytes]:
        self.asked.append((first, last))
        return {index: self._leaves[index] for index in range(first, last + 1)}


@contextmanager
def tree_of(opened: Opened, archives: Shelf | None = None) -> Iterator[Tree]:
    with opened.ledger.log() as log:
        yield Tree(log, archives)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("tiled", [0, 1, 4, 16, 39])
def test_all_proofs_of_all_trees(opened: Opened, tiled: int) -> None:
    """Are those of the definition, however far the tiles go."""
    record_many(opened, tiled)
    tile(opened.ledger)
    record_many(opened, 39 - tiled)
    leaves = leaves_of(opened)
    with tree_of(opened) as tree:
        assert tree.size == 39
        assert [tree.leaf(index) for index in range(39)] == leaves
        for size in range(40):
            assert tree.root(size) == naive.root(leaves[:size])
            for index in range(size):
                assert tree.inclusion(index, size) == naive.path(index, leaves[:size])
                assert tree.consistency(index + 1, size) == naive.proof(index + 1, leaves[:size])


@pytest.mark.parametrize("tiled", [0, 3 * TILE + 7])
def test_proofs_over_tiles_of_the_true_size(opened: Opened, tiled: int) -> None:
    """Some of them, over more than three tiles."""
    record_many(opened, tiled)
    tile(opened.ledger)
    record_many(opened, 4 * TILE - tiled)
    leaves = leaves_of(opened)
    with tree_of(opened) as tree:
        assert tree.root() == naive.root(leaves)
        for size in (1, 255, 256, 257, 775, 1024):
            root = tree.root(size)
            assert root == naive.root(leaves[:size])
            assert verify_consistency(size, 1024, root, tree.root(), tree.consistency(size, 1024))
            for index in {0, size // 2, size - 1}:
                assert verify_inclusion(
                    leaves[index], index, size, tree.inclusion(index, size), root
                )


@pytest.mark.usefixtures("small_tiles")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(gone=st.sets(st.integers(0, 23)))
@pytest.mark.thorough
def test_a_compaction_changes_no_proof(
    tmp_path_factory: pytest.TempPathFactory, gone: set[int]
) -> None:
    """As long as archives give the leaves of tiles that were dropped."""
    with Opened(tmp_path_factory.mktemp("ledger") / "ledger.sqlite") as opened:
        record_many(opened, 26)
        leaves = leaves_of(opened)
        tile(opened.ledger)
        compact(opened, gone)
        record_many(opened, 3)
        leaves += leaves_of(opened)[-3:]
        archives = Archives(leaves)
        with tree_of(opened, archives) as tree:
            for size in range(30):
                assert tree.root(size) == naive.root(leaves[:size])
                for index in range(size):
                    assert tree.inclusion(index, size) == naive.path(index, leaves[:size])
        dropped = [nth for nth in range(6) if gone.issuperset(range(nth * 4, nth * 4 + 4))]
        assert {*archives.asked} == {(nth * 4, nth * 4 + 3) for nth in dropped}


def test_without_archives_what_is_dropped_cannot_be_proved(opened: Opened) -> None:
    """It is said which leaves it would take; all that needs only their tile's root goes on."""
    record_many(opened, 3 * TILE)
    tile(opened.ledger)
    leaves = leaves_of(opened)
    compact(opened, range(TILE))
    with tree_of(opened) as tree:
        assert tree.root() == naive.root(leaves)
        assert tree.root(TILE) == naive.root(leaves[:TILE])
        assert tree.inclusion(TILE, 3 * TILE) == naive.path(TILE, leaves)
        assert tree.consistency(TILE, 3 * TILE) == naive.proof(TILE, leaves)
        for refused in (
            lambda: tree.leaf(0),
            lambda: tree.root(TILE - 1),
            lambda: tree.inclusion(0, 3 * TILE),
            lambda: tree.consistency(TILE - 1, 3 * TILE),
        ):
            with pytest.raises(LeavesArchived, match="leaves 0 to 255 "):
                refused()


def test_what_was_never_there_is_refused(opened: Opened) -> None:
    """No tree is larger than the ledger, no leaf outside its tree, none begins with a larger."""
    record_many(opened, 5)
    with tree_of(opened) as tree:
        for refused in (
            lambda: tree.leaf(5),
            lambda: tree.leaf(-1),
            lambda: tree.root(6),
            lambda: tree.root(-1),
            lambda: tree.inclusion(0, 6),
            lambda: tree.inclusion(3, 3),
            lambda: tree.inclusion(-1, 3),
            lambda: tree.inclusion(0, 0),
            lambda: tree.consistency(3, 6),
            lambda: tree.consistency(4, 3),
            lambda: tree.consistency(-1, 3),
        ):
            with pytest.raises(OutsideTree):
                refused()


def test_the_tree_of_an_empty_ledger(opened: Opened) -> None:
    with tree_of(opened) as tree:
        assert (tree.size, tree.root(), tree.consistency(0, 0)) == (0, EMPTY, [])


def test_events_that_are_missing_make_no_proof(opened: Opened) -> None:
    """Rather than a tree of what is left."""
    record_many(opened, 5)
    with behind_its_back(opened.file) as connection:
        connection.execute("DELETE FROM stored_events WHERE leaf_index = 2")
    with tree_of(opened) as tree, pytest.raises(LeavesMissing):
        tree.root()
