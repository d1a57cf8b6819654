"""The newest checkpoint. It proves nothing by itself; a copy that somebody else keeps does."""

from datetime import datetime
from typing import NamedTuple

from ledger.merkle.signed_note import Checkpoint
from ledger.store.parameters import timestamp
from ledger.store.seam import Cursor


class Kept(NamedTuple):
    """A stored checkpoint; `note` is its signed form."""

    made: datetime
    epoch: int
    size: int
    note: str


def signed_by(cursor: Cursor, verifier: str) -> str:
    """Return whose key signs; if there is none, it is this one from now on."""
    cursor.execute(
        "INSERT INTO signed_by SELECT CAST(? AS text) WHERE NOT EXISTS (SELECT 1 FROM signed_by)",
        (verifier,),
    )
    cursor.execute("SELECT verifier FROM signed_by")
    return str(cursor.fetchone()[0])


def keep(cursor: Cursor, made: datetime, checkpoint: Checkpoint, note: str) -> None:
    """Store a checkpoint in place of earlier ones."""
    row = (timestamp(made), checkpoint.epoch, checkpoint.size, note)
    cursor.execute("DELETE FROM checkpoints")
    cursor.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?)", row)


def newest(cursor: Cursor) -> Kept | None:
    """Return the newest checkpoint; earlier versions have left more than one."""
    cursor.execute(
        "SELECT made, epoch, size, note FROM checkpoints ORDER BY epoch DESC, size DESC LIMIT 1"
    )
    row = cursor.fetchone()
    if row is None:
        return None
    made, *rest = row
    return Kept(datetime.fromisoformat(made), *rest)
