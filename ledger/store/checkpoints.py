"""The table of checkpoints. A plain table: what proves something is what somebody else keeps."""

from datetime import datetime
from typing import NamedTuple

from ledger.proofs.note import Checkpoint
from ledger.store.seam import Cursor

_THIN = (
    "DELETE FROM checkpoints WHERE made < ? AND made NOT IN"
    " (SELECT max(made) FROM checkpoints WHERE made < ? GROUP BY epoch, substr(made, 1, 10))"
)


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
    """Adds a checkpoint."""
    cursor.execute(
        "INSERT INTO checkpoints VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (_text(made), checkpoint.epoch, checkpoint.size, note),
    )


def newest(cursor: Cursor) -> Kept | None:
    """The one that was made last, by its size in the newest epoch."""
    cursor.execute(
        "SELECT made, epoch, size, note FROM checkpoints ORDER BY epoch DESC, size DESC LIMIT 1"
    )
    row = cursor.fetchone()
    return None if row is None else _kept(*row)


def every(cursor: Cursor) -> list[Kept]:
    """All that are kept, oldest first."""
    cursor.execute("SELECT made, epoch, size, note FROM checkpoints ORDER BY epoch, size")
    return [_kept(*row) for row in cursor.fetchall()]


def thin_out(cursor: Cursor, before: datetime) -> None:
    """Of those that were made before a moment keeps the last of each day."""
    cursor.execute(_THIN, (_text(before), _text(before)))


def _kept(made: str, epoch: int, size: int, note: str) -> Kept:
    return Kept(datetime.fromisoformat(made), epoch, size, note)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")
