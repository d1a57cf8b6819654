"""The errors of both databases' drivers, translated into the store's."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg

from ledger.domain.errors import StoreFailed, StoreUnreachable

LOST = (
    psycopg.OperationalError,
    pg.ReadOnlySqlTransaction,
    pg.TransactionTimeout,
    pg.IdleInTransactionSessionTimeout,
)
"""The server is gone, is about to be, or cannot be written to; another one may do, or the same one
later. Or it has ended the session after waiting too long for this process."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Translate database errors: after a lost connection it may be tried again.

    Every other error is final, as are all of SQLite's.
    """
    try:
        yield
    except LOST as error:
        raise StoreUnreachable(f"PostgreSQL: {error}") from error
    except psycopg.Error as error:
        raise StoreFailed(f"PostgreSQL: {error}") from error
    except sqlite3.Error as error:
        raise StoreFailed(f"SQLite: {error}") from error
