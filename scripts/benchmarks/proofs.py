"""Proofs out of a tree of millions of leaves, against hashing as many tiles as they read.

Each is made as a request makes it, in a snapshot of its own: inclusion and consistency by turns, of
leaves and sizes all over the tree. The tiles are made directly; there are no events.
"""

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import perf_counter

from ledger.merkle.tree import complete_root
from ledger.proofs.tree import Tree
from ledger.store.seam import Cursor
from ledger.store.sqlite.connections import sqlite_reader
from ledger.store.sqlite.store import SqliteStore
from ledger.store.tables.tiles import TILE, Tiled, fill, tiled
from projections.views.generations import InlineProjection
from scripts.benchmarks.support.rows import Round, Row, missing, percentile_ms, row
from scripts.benchmarks.support.scale import Setting

MOST_MS = 5.0
"""The aim for the p99 of a proof."""
TILES_AT_ONCE = 1_000

_random = random.Random(0)  # noqa: S311 - the same leaves in every run


def proof(setting: Setting) -> Row:
    """Inclusion and consistency proofs, one after the other."""
    scale, directory = setting
    file = directory / "ledger.sqlite"
    levels = _make_tree(file, scale.proved_leaves)
    hashes = _leaves(TILE)
    rounds = []
    for _ in range(scale.rounds):
        floor = _time(lambda: [complete_root(hashes) for _ in range(levels)], scale.proofs)
        done = _time(lambda: _prove(file), scale.proofs)
        p50, p99 = percentile_ms(done, 0.5), percentile_ms(done, 0.99)
        rounds.append(Round(p50, percentile_ms(floor, 0.5), p50, p99))
    note = f"{scale.proved_leaves:,} leaves; floor: {levels} tiles hashed; aim: p99 {MOST_MS:g} ms"
    found = row("proof", "ms p50", rounds, at_least=None, note=note, lower_is_better=True)
    assert found.p99_ms is not None
    return missing(found) if found.p99_ms > MOST_MS else found


def _prove(file: Path) -> None:
    with sqlite_reader(file).log() as log:
        tree = Tree(log)
        at = _random.randrange(1, tree.size)
        if _random.random() < 0.5:  # noqa: PLR2004 - by turns
            tree.inclusion(at, tree.size)
        else:
            tree.consistency(at, tree.size)


def _time(work: Callable[[], object], count: int) -> list[float]:
    latencies = []
    for _ in range(count):
        begun = perf_counter()
        work()
        latencies.append(perf_counter() - begun)
    return latencies


def _make_tree(file: Path, leaves: int) -> int:
    """Make a ledger whose tree has this many leaves; return its levels of tiles."""
    with closing(SqliteStore(file, InlineProjection())) as store:
        while store.exclusive(lambda cursor: _grow(cursor, leaves)) < leaves:
            pass

        def levels(cursor: Cursor) -> int:
            cursor.execute("SELECT max(level) + 1 FROM node_tiles")
            return int(cursor.fetchone()[0])

        return store.exclusive(levels)


def _grow(cursor: Cursor, most: int) -> int:
    """Add some tiles; return how many leaves there are then."""
    at = tiled(cursor)
    for _ in range(TILES_AT_ONCE):
        more = min(TILE, most - at.leaves)
        if not more:
            break
        end = Tiled(at.leaves + more, at.position + more, at.latest + more)
        fill(cursor, at, _leaves(more), end)
        at = end
    cursor.execute("UPDATE leaf_count SET leaves = ?", (at.leaves,))
    return at.leaves


def _leaves(count: int) -> list[bytes]:
    return [_random.randbytes(32) for _ in range(count)]
