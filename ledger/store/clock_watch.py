"""What was last believed of the clocks: a single row."""

from datetime import datetime

from ledger.clock_watch import Watched
from ledger.store.seam import Cursor


def find(cursor: Cursor) -> Watched | None:
    """What was believed when the clocks were last looked at."""
    cursor.execute("SELECT boot, booted, seen FROM clock_watch")
    row = cursor.fetchone()
    if row is None:
        return None
    boot, booted, seen = row
    return Watched(boot, datetime.fromisoformat(booted), datetime.fromisoformat(seen))


def put(cursor: Cursor, watched: Watched) -> None:
    """Believes this from now on."""
    cursor.execute("DELETE FROM clock_watch")
    cursor.execute(
        "INSERT INTO clock_watch VALUES (?, ?, ?)",
        (watched.boot, watched.booted.isoformat(), watched.seen.isoformat()),
    )
