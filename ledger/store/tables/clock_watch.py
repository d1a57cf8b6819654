"""What was last believed of the clocks: a row for each boot of a machine that has the ledger."""

from datetime import datetime

from ledger.domain.clock_trust import OFF_AT_MOST, Watched
from ledger.store.seam import Cursor


def find(cursor: Cursor, boot: str) -> Watched | None:
    """What was believed in this boot when its clocks were last looked at, else in any other."""
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
    """Believes this from now on, and nothing of boots that are long over."""
    cursor.execute(
        "DELETE FROM clock_watch WHERE boot = ? OR seen < ?",
        (watched.boot, (watched.seen - OFF_AT_MOST).isoformat()),
    )
    cursor.execute(
        "INSERT INTO clock_watch VALUES (?, ?, ?)",
        (watched.boot, watched.booted.isoformat(), watched.seen.isoformat()),
    )


def put_alone(cursor: Cursor, watched: Watched) -> None:
    """Believes this, and nothing that was believed before in any boot."""
    cursor.execute("DELETE FROM clock_watch")
    put(cursor, watched)
