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
