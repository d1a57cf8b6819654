"""Revocations of logins, numbered: the last one of each account.

Nodes that cache logins poll for new ones; what is signed for an account carries its last number.
The stored table is still called `endings`.
"""

from ledger.store.seam import Cursor

_NOTE = (
    "INSERT INTO endings SELECT CAST(? AS text), coalesce(max(nth), 0) + 1 FROM endings WHERE true"
    " ON CONFLICT (account) DO UPDATE SET nth = excluded.nth"
)


def record(cursor: Cursor, account: str) -> int:
    """Revoke all logins of this account and return the number; in exclusive work only."""
    cursor.execute(f"{_NOTE} RETURNING nth", (account,))
    return int(cursor.fetchall()[0][0])


def note(cursor: Cursor, account: str) -> None:
    """Do the same within a command's transaction; of two at the same moment, one collides."""
    cursor.execute(_NOTE, (account,))


def last_of(cursor: Cursor, account: str) -> int:
    """Return the number of the account's last revocation; 0 if there was none."""
    cursor.execute("SELECT coalesce(max(nth), 0) FROM endings WHERE account = ?", (account,))
    return int(cursor.fetchone()[0])


def since(cursor: Cursor, number: int) -> list[tuple[int, str]]:
    """Return the later revocations, each with its account."""
    cursor.execute("SELECT nth, account FROM endings WHERE nth > ? ORDER BY nth", (number,))
    return [(later, account) for later, account in cursor.fetchall()]
