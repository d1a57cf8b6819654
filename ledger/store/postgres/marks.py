"""The marks of a writer: how it finds out whether a commit that was not answered is there.

Each transaction of a writer sets its row in `writers` to the transaction's number, so whether the
row has that number is whether the transaction was committed. It is asked once the session that
committed is over (see `postgres/session`); before that, "not yet" would be taken for "never".

The server's own `pg_xact_status` cannot answer that: after a crash a transaction's id may be given
out again, to another one.
"""

import secrets

from ledger.domain.errors.store import StoreFailed
from ledger.store.postgres.cursor import PgConnection
from ledger.store.postgres.server_clock import STORE_TIME

_SET = (
    f"INSERT INTO writers SELECT ?1, ?2, {STORE_TIME.format('?3')} FROM leaf_count"  # noqa: S608 - constants
    " ON CONFLICT (writer) DO UPDATE SET mark = excluded.mark, at = excluded.at"
)
_REMOVE_OLD = (
    f"DELETE FROM writers USING leaf_count WHERE at < {STORE_TIME.format('?1')}"  # noqa: S608 - constants
    " - interval '1 day'"
)
"""Nobody looks so late for a commit that was not answered."""


class Marks:
    """The numbers of one writer's transactions, one at a time."""

    def __init__(self) -> None:
        self.writer = secrets.randbits(62)
        self._committed = 0
        """The last transaction that is known to be committed; the next one has the next number."""

    def put(self, connection: PgConnection, clock: int | None) -> None:
        """Mark the current transaction; `clock`, if given, counts instead of the server's clock."""
        connection.execute(_SET, (self.writer, self._committed + 1, clock))

    def note_commit(self) -> None:
        """Note that the transaction that was marked last is committed, and stays it."""
        self._committed += 1

    def find_out(self, connection: PgConnection) -> bool:
        """Return whether the transaction that was marked last was committed.

        Raise `StoreFailed` if an earlier one is gone that had been committed.
        """
        cursor = connection.execute("SELECT mark FROM writers WHERE writer = ?", (self.writer,))
        row = cursor.fetchone()
        return self.is_committed(None if row is None else row[0])

    def is_committed(self, found: int | None) -> bool:
        """Return the same by the number that was found; None if there is no row.

        There is none before the first transaction, or after a day without any.
        """
        if found is not None and found < self._committed:
            raise StoreFailed("a transaction that was acknowledged is gone: see `job-ledger adopt`")
        return found == self._committed + 1


def remove_old(connection: PgConnection, clock: int | None) -> None:
    """Remove the rows of writers that have written nothing for a day of the store's clock."""
    connection.execute(_REMOVE_OLD, (clock,))
