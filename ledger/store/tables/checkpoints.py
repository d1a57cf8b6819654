"""The newest checkpoint that was kept. What proves something is what somebody else keeps."""

from datetime import datetime
from typing import NamedTuple

from ledger.merkle.signed_note import Checkpoint
from ledger.store.seam import Cursor


class Kept(NamedTuple):
    """A checkpoint that was made from time to time; `note` is signed."""

    made: datetime
    epoch: int
    size: int
    note: str


def signed_by(cursor: Cursor, verifier: str) -> str:
    """Whose key signs, from now on this one if there was none."""
    cursor.execute(
        "INSERT INTO signed_by SELECT CAST(? AS text) WHERE NOT EXISTS (SELECT 1 FROM signed_by)",
        (verifier,),
    )
    cursor.execute("SELECT verifier FROM signed_by")
    return str(cursor.fetchone()[0])


def keep(cursor: Cursor, made: datetime, checkpoint: Checkpoint, note: str) -> None:
    """Put a checkpoint in the place of those before it."""
    row = (made.isoformat(timespec="microseconds"), checkpoint.epoch, checkpoint.size, note)
    cursor.execute("DELETE FROM checkpoints")
    cursor.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?)", row)


def newest(cursor: Cursor) -> Kept | None:
    """The one that was made last; earlier versions have left more than one."""
    cursor.execute(
        "SELECT made, epoch, size, note FROM checkpoints ORDER BY epoch DESC, size DESC LIMIT 1"
    )
    row = cursor.fetchone()
    if row is None:
        return None
    made, *rest = row
    return Kept(datetime.fromisoformat(made), *rest)
