"""The last readings of the clocks, one row for each boot of a machine that runs the ledger."""

from datetime import datetime

from ledger.domain.clock_trust import OFF_AT_MOST, Watched
from ledger.store.seam import Cursor


def find(cursor: Cursor, boot: str) -> Watched | None:
    """Return the last reading in this boot or, if there is none, in any other."""
    cursor.execute(
        "SELECT boot, booted, seen FROM clock_watch"
        " ORDER BY CASE boot WHEN ? THEN 0 ELSE 1 END, seen DESC LIMIT 1",
        (boot,),
    )
    row = cursor.fetchone()
    if row is None:
        return None
    found, booted, seen = row
    return Watched(found, datetime.fromisoformat(booted), datetime.fromisoformat(seen))


def put(cursor: Cursor, watched: Watched) -> None:
    """Store a reading, and remove those of boots that ended long ago."""
    cursor.execute(
        "DELETE FROM clock_watch WHERE boot = ? OR seen < ?",
        (watched.boot, (watched.seen - OFF_AT_MOST).isoformat()),
    )
    cursor.execute(
        "INSERT INTO clock_watch VALUES (?, ?, ?)",
        (watched.boot, watched.booted.isoformat(), watched.seen.isoformat()),
    )


def put_alone(cursor: Cursor, watched: Watched) -> None:
    """Store a reading, and remove all others."""
    cursor.execute("DELETE FROM clock_watch")
    put(cursor, watched)
