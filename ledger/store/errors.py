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
"""The server went away, is about to, or may not be written to: another may do, or it later; or it
has ended the session, because it had waited for this process for too long."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Translate what a database cannot do: after a lost connection it may be tried again.

    Everything else is final, and so is whatever SQLite cannot do.
    """
    try:
        yield
    except LOST as error:
        raise StoreUnreachable(f"PostgreSQL: {error}") from error
    except psycopg.Error as error:
        raise StoreFailed(f"PostgreSQL: {error}") from error
    except sqlite3.Error as error:
        raise StoreFailed(f"SQLite: {error}") from error
