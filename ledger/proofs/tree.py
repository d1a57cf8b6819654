"""The Merkle tree over the ledger's leaves, as of one snapshot.

Complete subtrees come from the tiles, so a proof reads only a few of them however long the ledger
is; leaves that are not tiled yet are read from the events themselves.
"""

from ledger.archives import Shelf
from ledger.domain.errors import Expected
from ledger.merkle import tree as merkle
from ledger.merkle.tree import complete_root, node_hash
from ledger.store.seam import Log
from ledger.store.tables.tiles import TILE, LeavesMissing, leaf_tile, nodes, stored_leaves, tiled

TILE_HEIGHT = TILE.bit_length() - 1
CACHED_TILES_MAX = 64
"""Tiles that are kept in memory, at most 8 KiB of hashes each."""


class LeavesArchived(Expected):
    """The answer needs hashes of leaves whose archives are not here."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(
            f"the leaves {first} to {last} are archived, and their archive is not here"
        )


class OutsideTree(Expected):
    """There is no such leaf, or never was a tree of that size."""


class Tree:
    """The tree as of a log, for as long as that is open; for one thread.

    Leaves whose events have been compacted come from the archives.

    Every method may raise `LeavesMissing`: then the ledger has been tampered with.
    """

    def __init__(self, log: Log, archives: Shelf | None = None) -> None:
        self._cursor = log.cursor()
        self._archives = archives
        self._tiled = tiled(self._cursor).leaves
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self.size = log.leaf_count()

    def leaf(self, index: int) -> bytes:
        """Return the hash of a leaf. Raise `OutsideTree`, `LeavesArchived`."""
        if not 0 <= index < self.size:
            raise OutsideTree(f"there is no leaf {index}; there are {self.size}")
        return self._complete(0, index)

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the tree of the first `size` leaves, or of all.

        Raise `OutsideTree`, and like all methods `LeavesArchived`.
        """
        return merkle.root(self._check_size(self.size if size is None else size), self._complete)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Prove that a leaf is in the tree of the first `size`. Raise `OutsideTree`."""
        if not 0 <= index < self._check_size(size):
            raise OutsideTree(f"there is no leaf {index} in a tree of {size}")
        return merkle.inclusion_proof(index, size, self._complete)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Prove that the tree of `new` leaves begins with that of `old`. Raise `OutsideTree`."""
        if not 0 <= old <= self._check_size(new):
            raise OutsideTree(f"a tree of {new} leaves does not begin with one of {old}")
        return merkle.consistency_proof(old, new, self._complete)

    def _check_size(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise OutsideTree(f"there is no tree of {size} leaves; there are {self.size}")
        return size

    def _complete(self, height: int, nth: int) -> bytes:
        """Return the root of a complete subtree (`merkle.Complete`), from part of a single tile.

        If there is no such tile yet, compute it from the two halves.
        """
        level, above = divmod(height, TILE_HEIGHT)
        if level and (nth + 1) << height > self._tiled:
            left, right = 2 * nth, 2 * nth + 1
            return node_hash(self._complete(height - 1, left), self._complete(height - 1, right))
        tile, at = divmod(nth << above, TILE)
        return complete_root(self._hashes(level, tile)[at : at + (1 << above)])

    def _hashes(self, level: int, tile: int) -> list[bytes]:
        """Return the hashes of a tile; at level 0 also those of leaves that are not tiled yet."""
        hashes = self._tiles.get((level, tile))
        if hashes is None:
            if len(self._tiles) >= CACHED_TILES_MAX:
                self._tiles.clear()
            hashes = nodes(self._cursor, level, tile) if level else self._leaves(tile)
            self._tiles[level, tile] = hashes
        return hashes

    def _leaves(self, tile: int) -> list[bytes]:
        first, end = tile * TILE, min((tile + 1) * TILE, self.size)
        kept = leaf_tile(self._cursor, tile)
        if kept is None and end <= self._tiled:
            return self._archived_leaves(first, end - 1)
        leaves = kept.leaves if kept else []
        leaves += stored_leaves(self._cursor, first + len(leaves), end)
        if len(leaves) != end - first:
            raise LeavesMissing(f"events are missing between leaves {first} and {end - 1}")
        return leaves

    def _archived_leaves(self, first: int, last: int) -> list[bytes]:
        found = {} if self._archives is None else self._archives.leaves(first, last)
        if len(found) <= last - first:
            raise LeavesArchived(first, last)
        return [found[index] for index in range(first, last + 1)]
