"""The table of keys from which the tokens of jobs are derived, shared by all nodes."""

from datetime import datetime
from typing import NamedTuple

from ledger.store.parameters import timestamp
from ledger.store.seam import Cursor

KEPT = 2
"""So that a change of keys ends no token at once."""


class JobTokenKey(NamedTuple):
    number: int
    key: bytes
    made: datetime


def every(cursor: Cursor) -> tuple[JobTokenKey, ...]:
    """Return the keys, newest first."""
    cursor.execute("SELECT number, key, made FROM job_token_keys ORDER BY number DESC")
    return tuple(
        JobTokenKey(number, bytes(key), datetime.fromisoformat(made))
        for number, key, made in cursor.fetchall()
    )


def add(cursor: Cursor, number: int, key: bytes, made: datetime) -> None:
    """Add a key, unless there is one of this number, and remove those that no longer count."""
    cursor.execute(
        "INSERT INTO job_token_keys VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (number, key, timestamp(made)),
    )
    cursor.execute("DELETE FROM job_token_keys WHERE number <= ?", (number - KEPT,))
