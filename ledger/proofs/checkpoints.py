"""Checkpoints of a ledger: signed on demand, and kept from time to time."""

import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial

from ledger.application import Ledger
from ledger.codec import decode
from ledger.domain.events.housekeeping import LedgerRestored
from ledger.merkle.signed_note import Checkpoint, Signer, Verifier
from ledger.proofs.tile_builder import tile
from ledger.proofs.tree import Tree
from ledger.store.seam import Cursor, Log
from ledger.store.tables import checkpoints as table
from ledger.store.tables.tiles import tiled

FIRST_EPOCH = 1
UNTILED_LEAVES_MAX = 1_000
"""If more leaves are not tiled yet, they are tiled before a checkpoint is signed."""


def checkpoint_of(log: Log, origin: str) -> Checkpoint:
    """Return a checkpoint of the tree as of a log. Raise `LeavesMissing`, `UnknownEvent`."""
    tree = Tree(log)
    return Checkpoint(origin, tree.size, tree.root(), epoch_of(log), log.last_position())


def epoch_of(log: Log) -> int:
    """Return the epoch that the newest restore began; the first, if there was none."""
    restores = [
        (position, recorded.event.epoch)
        for stream in log.streams_of("restoration")
        for position, topic, state in log.stream(stream)
        if isinstance((recorded := decode(topic, state)).event, LedgerRestored)
    ]
    return max(restores)[1] if restores else FIRST_EPOCH


class Checkpoints:
    """Makes the checkpoints of one ledger. All methods block; any thread may call them."""

    def __init__(self, ledger: Ledger, signer: Signer, *, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._signer = signer
        self._now = now
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `keep` end soon, if need be by raising `TilingStopped`."""
        self._stopping.set()

    @property
    def verifier(self) -> Verifier:
        """The public half of the key that signs the checkpoints."""
        return self._signer.verifier

    def sign(self) -> str:
        """Return a signed checkpoint of the newest event. Raise `LeavesMissing`, `StoreFailed`."""
        with self._ledger.log() as log:
            many = log.leaf_count() - tiled(log.cursor()).leaves > UNTILED_LEAVES_MAX
        if many:
            tile(self._ledger)
        with self._ledger.log() as log:
            return self._signer.sign(checkpoint_of(log, self._signer.name).text())

    def keep(self) -> bool:
        """Tile what is new and keep a checkpoint of it; return whether there was anything new.

        Do nothing while another process does it. Raise what `sign` raises, and `TilingStopped`.
        """
        if not self._ledger.checkpointing.acquire():
            return False
        try:
            return self._keep()
        finally:
            self._ledger.checkpointing.release()

    def _keep(self) -> bool:
        tile(self._ledger, stopping=self._stopping.is_set)
        with self._ledger.log() as log:
            checkpoint = checkpoint_of(log, self._signer.name)
            newest = table.newest(log.cursor())
        before = (newest.epoch, newest.size) if newest else (FIRST_EPOCH, 0)
        if (checkpoint.epoch, checkpoint.size) == before:
            return False
        write = partial(self._write, checkpoint, self._signer.sign(checkpoint.text()))
        self._ledger.exclusive(write).result()
        return True

    def _write(self, checkpoint: Checkpoint, note: str, cursor: Cursor) -> None:
        table.keep(cursor, self._now(), checkpoint, note)
