"""The table of endings: when the logins of an account last ended, in the order of all endings.

Whoever remembers logins asks now and then what has ended since; and what was signed for an account
says after which ending that was.
"""

from ledger.store.seam import Cursor

_RECORD = (
    "INSERT INTO endings SELECT CAST(? AS text), coalesce(max(nth), 0) + 1 FROM endings WHERE true"
    " ON CONFLICT (account) DO UPDATE SET nth = excluded.nth RETURNING nth"
)


def record(cursor: Cursor, account: str) -> int:
    """The logins of this account have ended; which ending that is. In exclusive work only."""
    cursor.execute(_RECORD, (account,))
    return int(cursor.fetchall()[0][0])


def last_of(cursor: Cursor, account: str) -> int:
    """The last ending of the account's logins; 0 if there was none."""
    cursor.execute("SELECT coalesce(max(nth), 0) FROM endings WHERE account = ?", (account,))
    return int(cursor.fetchone()[0])


def since(cursor: Cursor, nth: int) -> list[tuple[int, str]]:
    """The endings after this one, and of which accounts."""
    cursor.execute("SELECT nth, account FROM endings WHERE nth > ? ORDER BY nth", (nth,))
    return [(later, account) for later, account in cursor.fetchall()]
