"""How many things an account owns, counted within the caller's transaction."""

from typing import NamedTuple

from ledger.domain.quotas import Kind
from ledger.store.seam import Cursor
from projections.views.generations import InlineProjection, live_generation


class Belongings(NamedTuple):
    """How many drives and servers an account has."""

    drives: int
    servers: int


def belongings_of(cursor: Cursor, account: str) -> Belongings:
    """Count the drives and servers of an account."""
    g = live_generation(cursor)
    cursor.execute(
        f"SELECT (SELECT count(*) FROM drives_g{g} WHERE owner = ?),"
        f" (SELECT count(*) FROM servers_g{g} WHERE owner = ?)",
        (account, account),
    )
    [(drives, servers)] = cursor.fetchall()
    return Belongings(drives, servers)


def count_of(cursor: Cursor, account: str, kind: Kind) -> int:
    """Count the things of this kind that the account owns."""
    return InlineProjection().count(cursor, owner=account, kind=kind)


def running_below(cursor: Cursor, account: str, source: str, most: int) -> int:
    """Count the running jobs of a source and of all below it, up to `most`."""
    g = live_generation(cursor)
    below = source.rstrip("/") + "/"
    cursor.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM jobs_g{g} WHERE owner = ? AND state = 'started'"
        " AND (source = ? OR substr(source, 1, ?) = ?) LIMIT ?) AS found",
        (account, source, len(below), below, most),
    )
    return int(cursor.fetchone()[0])
