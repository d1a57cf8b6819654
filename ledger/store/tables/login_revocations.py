"""Revocations of logins, numbered: the last one of each account.

Nodes that cache logins poll for new ones; what is signed for an account carries its last number.
The stored table is still called `endings`.
"""

from ledger.store.seam import Cursor

_RECORD = (
    "INSERT INTO endings SELECT CAST(? AS text), coalesce(max(nth), 0) + 1 FROM endings WHERE true"
    " ON CONFLICT (account) DO UPDATE SET nth = excluded.nth RETURNING nth"
)


def record(cursor: Cursor, account: str) -> int:
    """Revoke all logins of this account and return the number; in exclusive work only."""
    cursor.execute(_RECORD, (account,))
    return int(cursor.fetchall()[0][0])


def last_of(cursor: Cursor, account: str) -> int:
    """Return the number of the account's last revocation; 0 if there was none."""
    cursor.execute("SELECT coalesce(max(nth), 0) FROM endings WHERE account = ?", (account,))
    return int(cursor.fetchone()[0])


def since(cursor: Cursor, number: int) -> list[tuple[int, str]]:
    """Return the later revocations, each with its account."""
    cursor.execute("SELECT nth, account FROM endings WHERE nth > ? ORDER BY nth", (number,))
    return [(later, account) for later, account in cursor.fetchall()]
