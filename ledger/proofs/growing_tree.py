"""The tree as it grows tile by tile; only one node for each level is kept."""

from collections.abc import Callable, Sequence

from ledger.merkle import tree as merkle
from ledger.merkle.tree import EMPTY, complete_root, node_hash, over
from ledger.store.tables.tiles import TILE


class GrowingTree:
    """A tree to which full tiles are added, with its root at any size on the way."""

    def __init__(self) -> None:
        self._peaks: list[bytes | None] = []
        """The root of the complete subtree of `2 ** n` tiles, where the size has this bit."""

    def add(self, tile_root: bytes) -> None:
        """Add one more tile."""
        carried = tile_root
        for height, peak in enumerate(self._peaks):
            if peak is None:
                self._peaks[height] = carried
                return
            carried = node_hash(peak, carried)
            self._peaks[height] = None
        self._peaks.append(carried)

    def root(self, leaves: Sequence[bytes]) -> bytes:
        """Return the root as if these leaves came next; they do not fill a tile."""
        found = merkle.root(len(leaves), over(leaves)) if leaves else None
        for peak in self._peaks:
            if peak is not None:
                found = peak if found is None else node_hash(peak, found)
        return EMPTY if found is None else found


class GrowingNodes:
    """The node tiles that follow from the full leaf tiles; each is passed on once it ends."""

    def __init__(self, ended: Callable[[int, int, list[bytes]], None]) -> None:
        """`ended` is called with level, tile and nodes."""
        self._ended = ended
        self._levels: list[list[bytes]] = []
        self._tiles: list[int] = []

    def add(self, tile_root: bytes, level: int = 1) -> None:
        """Add the root of the next full tile below this level."""
        if len(self._levels) < level:
            self._levels.append([])
            self._tiles.append(0)
        nodes = self._levels[level - 1]
        nodes.append(tile_root)
        if len(nodes) == TILE:
            self._end(level)
            self.add(complete_root(nodes), level + 1)

    def finish(self) -> None:
        """End the tiles that are not full too."""
        for level, nodes in enumerate(self._levels, 1):
            if nodes:
                self._end(level)

    def _end(self, level: int) -> None:
        self._ended(level, self._tiles[level - 1], self._levels[level - 1])
        self._levels[level - 1] = []
        self._tiles[level - 1] += 1
