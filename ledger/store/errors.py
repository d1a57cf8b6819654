"""The errors of both databases' drivers, translated into the store's."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg

from ledger.domain.errors.store import StoreFailed, StoreFull, StoreUnreachable

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
    """Translate database errors: after a lost connection, or on a full disk, it may be tried again.

    Every other error is final.
    """
    try:
        yield
    except pg.DiskFull as error:
        raise StoreFull from error
    except LOST as error:
        raise StoreUnreachable(f"PostgreSQL: {error}") from error
    except psycopg.Error as error:
        raise StoreFailed(f"PostgreSQL: {error}") from error
    except sqlite3.Error as error:
        if is_full(error):
            raise StoreFull from error
        raise StoreFailed(f"SQLite: {error}") from error


def is_full(error: sqlite3.Error) -> bool:
    """Return whether there was no room, so that SQLite has rolled the transaction back.

    An error of the `sqlite3` module itself has no code. A quota is no full disk to SQLite.
    """
    code = getattr(error, "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
