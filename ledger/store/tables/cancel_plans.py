"""The table of plans to cancel many jobs: which jobs were found, until somebody confirms."""

from collections.abc import Sequence
from datetime import datetime

from ledger.store.parameters import timestamp
from ledger.store.seam import Cursor


def add(
    cursor: Cursor,
    plan: str,
    jobs: Sequence[str],
    *,
    account: str,
    now: datetime,
    expires: datetime,
) -> None:
    """Keep a plan; forget those that are over."""
    cursor.execute("DELETE FROM cancel_plans WHERE expires <= ?", (timestamp(now),))
    cursor.execute(
        "INSERT INTO cancel_plans VALUES (?, ?, ?, ?)",
        (plan, account, timestamp(expires), " ".join(jobs)),
    )


def find(cursor: Cursor, plan: str, *, account: str, now: datetime) -> list[str] | None:
    """Return the jobs of a plan of this account, unless it is over."""
    cursor.execute(
        "SELECT jobs FROM cancel_plans WHERE plan = ? AND account = ? AND expires > ?",
        (plan, account, timestamp(now)),
    )
    row = cursor.fetchone()
    return None if row is None else str(row[0]).split()
