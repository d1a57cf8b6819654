"""Parameters of statements: many at once, in slices, and times."""

from collections.abc import Iterator, Sequence, Sized
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from ledger.store.seam import Cursor, Scalar

T = TypeVar("T")

VALUES_MAX = 500
"""In one statement; SQLite bounds the number of its parameters."""


@lru_cache(maxsize=1024)
def timestamp(moment: datetime) -> str:
    """Return a time as it is stored and answered: in UTC, with six digits, so that texts sort.

    Cached, because a job's creation is written again with each of its updates.
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def timestamp_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)


def marks(values: Sized, mark: str = "?") -> str:
    """Return a mark for each of the values."""
    return ",".join([mark] * len(values))


def among(
    cursor: Cursor, sql: str, values: Sequence[Scalar], *more: Scalar, mark: str = "?"
) -> Iterator[Any]:
    """Yield what a statement finds for these values, some of them at a time.

    `...` in the statement stands for the values; `more` parameters come after them.
    """
    for some in sliced(values, VALUES_MAX):
        cursor.execute(sql.replace("...", marks(some, mark)), (*some, *more))
        yield from cursor.fetchall()


def sliced(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the whole in order, at most `size` elements at a time."""
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
