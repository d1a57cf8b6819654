"""Many parameters of one statement."""

from collections.abc import Iterator, Sequence, Sized
from typing import Any

from ledger.store.batches import sliced
from ledger.store.seam import Cursor, Scalar

ASKED_FOR = 500
"""Values in one statement; SQLite bounds the number of its parameters."""


def marks(values: Sized, mark: str = "?") -> str:
    """Return a mark for each of the values."""
    return ",".join([mark] * len(values))


def among(
    cursor: Cursor, sql: str, values: Sequence[Scalar], *more: Scalar, mark: str = "?"
) -> Iterator[Any]:
    """Yield what a statement finds for these values, asking for some at a time.

    `...` in it stands for the values; `more` parameters come behind them.
    """
    for some in sliced(values, ASKED_FOR):
        cursor.execute(sql.replace("...", marks(some, mark)), (*some, *more))
        yield from cursor.fetchall()
