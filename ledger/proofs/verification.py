"""Verifies a ledger against a checkpoint that was kept elsewhere: offline, and changing nothing.

Every leaf is hashed anew from the exact bytes in the store and in the archives, and the tree from
these leaves; nothing that is stored beside the events is trusted. A tile's hash stands for an event
only if the event is marked as gone and its archive is not here: such events are counted as not
checked. Events after the checkpoint are only compared with the stored tiles.

Memory holds one tile at a time, and one frame of each archive that spans it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from ledger.archives import BadArchive, Shelf
from ledger.domain.errors import Expected
from ledger.merkle.signed_note import BadCheckpoint, Checkpoint, Verifier, read_checkpoint
from ledger.merkle.tree import complete_root
from ledger.proofs.event_sources import EventSources, LocatedEvent, version_gaps
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
    PutBack,
    Restored,
    WronglyGone,
)
from ledger.proofs.growing_tree import GrowingNodes, GrowingTree
from ledger.proofs.housekeeping import OwnActs, Restore, archives_recorded, streams_being_deleted
from ledger.store import untrusted_rows as raw
from ledger.store.seam import Log
from ledger.store.tables.tiles import TILE, tiled

FINDINGS_PER_KIND_MAX = 5
"""If an archive was replaced, thousands of its events need not be listed."""
MISSING_LEAVES_MAX = 1 << 16
"""Missing events that are found one by one; a forger could claim any number."""
REPORT_TILES = 64

Report = Callable[[int, int], None]
"""Called with how many of how many leaves are verified."""


class CannotVerify(Expected):
    """The checkpoint ends among archived leaves whose archive is not here."""


class Verified(NamedTuple):
    """The result of a verification; of `found` findings it has the first few of each kind.

    `stored` and `archived` events were hashed; `unchecked` ones are in archives that are not here.
    """

    checkpoint: Checkpoint
    size: int
    epoch: int
    stored: int
    archived: int
    unchecked: int
    found: int
    findings: tuple[Finding, ...]

    @property
    def intact(self) -> bool:
        return not self.found


def verify(
    log: Log,
    shelf: Shelf,
    checkpoint: Checkpoint,
    verifier: Verifier,
    *,
    names: Collection[str],
    report: Report | None = None,
) -> Verified:
    """Check that the ledger is the one that the checkpoint is of, and has only grown since.

    `names` are the archives that existed *before* the log was opened: what a compaction writes
    meanwhile does not belong to this moment. The checkpoint's own signature was checked when it was
    read; `verifier` is for those of restores. Raise `CannotVerify`, `StoreFailed`.
    """
    trusted = _Trusted(checkpoint, verifier)
    return _Verification(log, shelf, names, trusted, report or _silent).run()


def _silent(done: int, total: int) -> None:
    pass


class _Trusted(NamedTuple):
    """The input that does not come from the ledger."""

    checkpoint: Checkpoint
    verifier: Verifier


class _Tile:
    """The events that were found of one tile."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.met: list[LocatedEvent | None] = [None] * TILE

    @property
    def first(self) -> int:
        return self.number * TILE


class _Verification:
    def __init__(
        self,
        log: Log,
        shelf: Shelf,
        names: Collection[str],
        trusted: _Trusted,
        report: Report,
    ) -> None:
        self._log = log
        self._cursor = log.cursor()
        self._shelf = shelf
        self._checkpoint, self._verifier = trusted
        self._report = report
        self._findings: list[Finding] = []
        self._found: Counter[type[Finding]] = Counter()
        # Archives recorded since the names were listed exist too.
        names = {*names, *archives_recorded(self._cursor)}
        self._sources = EventSources(log.cursor(), shelf, names, self._find)
        self._acts = OwnActs(self._find)
        self._full = raw.full_tiles(self._cursor)
        newest = raw.leaf_tile(self._cursor, self._full)
        self._tiled = self._full * TILE + (len(newest.leaves) if newest else 0)
        self._end = self._leaf_count()
        self._tree = GrowingTree()
        self._nodes = GrowingNodes(self._compare_nodes)
        self._kept_nodes: tuple[int, list[bytes]] = (-1, [])
        self._unknown = False
        """Whether the tree has a hole from here on, which is a finding already."""
        self._root: bytes | None = None
        self._newest_signed: LocatedEvent | None = None
        self._stored = self._archived = self._unchecked = self._absent = self._gone = 0

    def run(self) -> Verified:
        self._read_all()
        self._nodes.finish()
        self._compare_shape()
        excused = streams_being_deleted(self._cursor, self._acts)
        for gap in version_gaps(raw.versions(self._cursor), excused):
            self._find(gap)
        self._compare_gone()
        self._judge_archives()
        self._conclude()
        self._report(self._end, self._end)
        return Verified(
            self._checkpoint,
            self._end,
            self._acts.epoch,
            self._stored,
            self._archived,
            self._unchecked,
            self._found.total(),
            tuple(self._findings),
        )

    def _find(self, finding: Finding) -> None:
        if finding in self._findings:
            return
        self._found[type(finding)] += 1
        if self._found[type(finding)] <= FINDINGS_PER_KIND_MAX:
            self._findings.append(finding)

    def _leaf_count(self) -> int:
        """Return how many leaves the ledger claims to have, or how many it can have at most."""
        claimed = raw.leaf_count(self._cursor)
        most = self._tiled + self._log.count() + MISSING_LEAVES_MAX
        if claimed > most:
            self._find(Missing(most, claimed - 1))
        return min(claimed, most)

    # Leaf by leaf

    def _read_all(self) -> None:
        tile = _Tile(0)
        expected = 0
        for met in self._sources.events():
            event = met.event
            if not self._has_place(met):
                continue
            if event.leaf_index < expected:
                reason = f"its leaf has index {event.leaf_index}, and {expected - 1} came before"
                self._find(Misplaced(event.position, reason))
            while event.leaf_index // TILE > tile.number:
                self._finish_tile(tile)
                tile = _Tile(tile.number + 1)
            expected = max(expected, event.leaf_index + 1)
            at = event.leaf_index - tile.first
            if at >= 0 and tile.met[at] is None:
                tile.met[at] = met
                self._acts.take(event)
        while tile.first < self._end:
            self._finish_tile(tile)
            tile = _Tile(tile.number + 1)
        self._compute_roots(tile, [])

    def _has_place(self, met: LocatedEvent) -> bool:
        """Whether the event has a place in the ledger at all."""
        event = met.event
        self._stored += met.stored
        if event.position < 1 or not 0 <= event.leaf_index < self._end:
            reason = f"there is no leaf {event.leaf_index}" if event.position > 0 else "no position"
            self._find(Misplaced(event.position, reason))
            return False
        return True

    def _finish_tile(self, tile: _Tile) -> None:
        """Compare the leaves of a tile whose events were all found, and add it to the tree."""
        if tile.number % REPORT_TILES == 0:
            self._report(tile.first, self._end)
        count = min(TILE, self._end - tile.first)
        kept = raw.leaf_tile(self._cursor, tile.number)
        if kept is None and tile.number < self._full:
            leaves = self._leaves_of_dropped(tile)
        else:
            leaves = self._leaves_of(tile, count, *(kept or ([], 0)))
        self._compute_roots(tile, leaves)
        if count == TILE:
            self._add(tile, leaves)

    def _leaves_of_dropped(self, tile: _Tile) -> list[bytes | None]:
        """Return the leaves of a tile whose events are all gone, if they are in archives.

        If some are not, the others are not checked either: only the root of all is stored.
        """
        self._gone += TILE
        for met in tile.met:
            if met is not None and met.stored:
                self._find(Misplaced(met.event.position, "it is marked as gone"))
        leaves = [met and met.leaf for met in tile.met]
        absent = leaves.count(None)
        self._absent += absent
        if absent:
            self._unchecked += TILE
        else:
            self._archived += TILE
        return leaves

    def _leaves_of(
        self, tile: _Tile, count: int, kept: Sequence[bytes], gone: int
    ) -> list[bytes | None]:
        tiled_here = min(max(self._tiled - tile.first, 0), count)
        if len(kept) != tiled_here or gone >> tiled_here:
            reason = f"it holds {len(kept)} leaves, not {tiled_here}"
            if len(kept) == tiled_here:
                reason = "leaves that it does not hold are marked as gone"
            self._find(BadTile(0, tile.number, reason))
        self._gone += gone.bit_count()
        leaves = [
            self._leaf(tile.first + nth, met, kept[nth] if nth < len(kept) else None, gone >> nth)
            for nth, met in enumerate(islice(tile.met, count))
        ]
        self._find_missing(tile, leaves)
        return [
            leaf if leaf is not None else kept[nth] if nth < len(kept) else None
            for nth, leaf in enumerate(leaves)
        ]

    def _leaf(
        self, index: int, met: LocatedEvent | None, kept: bytes | None, gone: int
    ) -> bytes | None:
        """Return the hash of a leaf; None if its event is missing but should be there."""
        is_gone = gone & 1 == 1
        if met is None:
            self._absent += is_gone
            self._unchecked += is_gone
            return kept if is_gone else None
        position = met.event.position
        if kept is not None and met.leaf != kept:
            self._find(Changed(position, f"it is not what the tree has as leaf {index}"))
        if met.stored == is_gone:
            reason = "it is marked as gone" if is_gone else "it is not marked as gone"
            self._find(Misplaced(position, reason))
        self._archived += not met.stored
        return met.leaf

    def _find_missing(self, tile: _Tile, leaves: Sequence[bytes | None]) -> None:
        first = None
        for nth, leaf in enumerate([*leaves, b""]):
            if leaf is None and first is None:
                first = nth
            elif leaf is not None and first is not None:
                self._find(Missing(tile.first + first, tile.first + nth - 1))
                first = None

    # Roots

    def _compute_roots(self, tile: _Tile, leaves: Sequence[bytes | None]) -> None:
        """Compute the wanted roots within this tile, before it is added."""
        size = self._checkpoint.size
        if self._is_within(tile, size, leaves):
            self._root = self._root_at(tile, size, leaves)
        if tile.first < size <= tile.first + len(leaves):
            self._newest_signed = tile.met[size - 1 - tile.first]
        for restore in self._acts.restores_from(tile.first):
            self._judge_restore(restore, self._root_at(tile, restore.size, leaves))

    def _is_within(self, tile: _Tile, size: int, leaves: Sequence[bytes | None]) -> bool:
        return tile.first <= size <= tile.first + len(leaves) and size < tile.first + TILE

    def _root_at(self, tile: _Tile, size: int, leaves: Sequence[bytes | None]) -> bytes | None:
        known = [leaf for leaf in leaves[: size - tile.first] if leaf is not None]
        if self._unknown or len(known) < size - tile.first:
            return None
        return self._tree.root(known)

    def _add(self, tile: _Tile, leaves: Sequence[bytes | None]) -> None:
        known = [leaf for leaf in leaves if leaf is not None]
        root = complete_root(known) if len(known) == TILE else self._kept_root(tile.number)
        if root is None:
            self._unknown = True
            self._find(BadTile(1, tile.number // TILE, "the root of a full tile is not there"))
        else:
            self._tree.add(root)
            self._nodes.add(root)

    def _kept_root(self, tile: int) -> bytes | None:
        """Return the stored root of a leaf tile."""
        above, at = divmod(tile, TILE)
        if self._kept_nodes[0] != above:
            self._kept_nodes = above, raw.nodes(self._cursor, 1, above)
        nodes = self._kept_nodes[1]
        return nodes[at] if at < len(nodes) else None

    def _compare_nodes(self, level: int, tile: int, nodes: list[bytes]) -> None:
        # The newest events may fill leaf tiles that are not made yet.
        made = self._full // TILE ** (level - 1) - tile * TILE
        if raw.nodes(self._cursor, level, tile) != nodes[: max(made, 0)]:
            self._find(BadTile(level, tile, "its nodes are not the roots of what is below"))

    def _compare_shape(self) -> None:
        """Check that there are exactly the tiles of this many leaves."""
        claimed = tiled(self._cursor).leaves
        if claimed != self._tiled:
            reason = f"{self._tiled} leaves are tiled, not {claimed}"
            self._find(BadTile(0, self._full, reason))
        for tile in raw.leaf_tiles_outside(self._cursor, -(-self._tiled // TILE)):
            self._find(BadTile(0, tile, "there is no such tile"))
        expected = set(_node_tiles(self._full))
        for level, tile in raw.node_tiles(self._cursor):
            if (level, tile) not in expected:
                self._find(BadTile(level, tile, "there is no such tile"))

    # What is gone, and the archives

    def _compare_gone(self) -> None:
        least, most = self._acts.gone
        if not least <= self._gone <= most:
            self._find(WronglyGone(self._gone, least if self._gone < least else most))

    def _judge_archives(self) -> None:
        """Check that each archive is what an event says was written, and that none is missing."""
        may_be_absent = unrecorded = self._acts.unrecorded(self._gone)
        here = self._sources.archives
        for name, written in self._acts.archives.items():
            if name not in here:
                may_be_absent += written.events
                continue
            try:
                self._shelf.get(name).check(written.digest)
            except BadArchive as error:
                self._find(BadArchiveFound(name, str(error)))
                may_be_absent += written.events
            if here[name].also_stored and self._acts.is_over(name):
                self._find(BadArchiveFound(name, "events that it has are in the store as well"))
        for name in here.keys() - self._acts.archives.keys():
            seen = here[name]
            # The record of an archive may be in another, which is not here.
            if seen.events != seen.also_stored and seen.events > unrecorded:
                self._find(BadArchiveFound(name, "no event says that it was written"))
        if self._absent > may_be_absent:
            self._find(NotArchived(self._absent, may_be_absent))

    # The checkpoint

    def _judge_restore(self, restore: Restore, root: bytes | None) -> None:
        reason = self._forgery_of(restore, root)
        if reason is not None:
            self._find(ForgedRestore(restore.position, restore.epoch, reason))
            self._acts.disbelieve(restore)

    def _forgery_of(self, restore: Restore, root: bytes | None) -> str | None:
        try:
            note = read_checkpoint(restore.note.encode(), self._verifier)
        except BadCheckpoint as error:
            return str(error)
        if restore.epoch != restore.epoch_before + 1 or note.epoch != restore.epoch:
            return f"it follows epoch {restore.epoch_before}, and is signed for {note.epoch}"
        if note.size != restore.size:
            return f"it is of leaf {restore.size}, and signed for a backup of {note.size} events"
        if note.root != root:
            return "what it is signed for is not what came before it"
        return None

    def _conclude(self) -> None:
        signed = self._checkpoint
        cut = self._acts.first_after(signed.epoch)
        if cut is not None and signed.size > cut.size:
            self._find(Restored(cut.epoch, cut.size, signed.size - cut.size))
        elif signed.epoch > self._acts.epoch or signed.size > self._end:
            self._find(PutBack(self._acts.epoch, self._end))
        elif self._root is not None:
            if self._root != signed.root:
                self._find(AnotherRoot(signed.size))
            self._compare_position()
        elif not self._found:
            raise CannotVerify(
                f"the checkpoint of {signed.size} events ends among those that are archived,"
                " and their archive is not here"
            )

    def _compare_position(self) -> None:
        """Check the last leaf's position: it is not hashed, but stated in the checkpoint."""
        newest, claimed = self._newest_signed, self._checkpoint.position
        if newest is not None and newest.event.position != claimed:
            reason = f"the checkpoint says that its last event is at position {claimed}"
            self._find(Misplaced(newest.event.position, reason))


def _node_tiles(full: int) -> Iterator[tuple[int, int]]:
    """Yield the node tiles over this many full leaf tiles."""
    level, nodes = 1, full
    while nodes:
        yield from ((level, tile) for tile in range(-(-nodes // TILE)))
        level, nodes = level + 1, nodes // TILE
