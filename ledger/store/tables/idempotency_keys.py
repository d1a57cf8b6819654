"""The table of claims and their answers. A plain table: nothing in it holds for long."""

from collections.abc import Sequence
from datetime import datetime

from ledger.domain.idempotency import KEPT, Claim, KeptAnswer, RecordedClaim
from ledger.store.parameters import timestamp
from ledger.store.seam import Cursor

_RECORD = (
    "INSERT INTO claims (account, key, fingerprint, seed, recorded) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (account, key) DO UPDATE SET fingerprint = excluded.fingerprint,"
    " seed = excluded.seed, recorded = excluded.recorded,"
    " status = NULL, content_type = NULL, location = NULL, body = NULL"
    " WHERE claims.recorded <= ?"
)
_RECORD_OR_FAIL = _RECORD.join(
    (
        "WITH recorded AS (",
        " RETURNING 1) SELECT 1 / (CASE WHEN count(*) = 1 THEN 1 ELSE 0 END) FROM recorded",
    )
)
_KEEP = (
    "UPDATE claims SET status = ?, content_type = ?, location = ?, body = ?"
    " WHERE account = ? AND key = ? AND seed = ?"
)
_REMOVE = (
    "DELETE FROM claims WHERE (account, key) IN"
    " (SELECT account, key FROM claims WHERE recorded <= ? ORDER BY recorded LIMIT ?)"
)


def find(cursor: Cursor, account: str, key: str) -> RecordedClaim | None:
    """Return the claim that was last recorded under this key, even if it is over."""
    cursor.execute(
        "SELECT fingerprint, seed, recorded FROM claims WHERE account = ? AND key = ?",
        (account, key),
    )
    row = cursor.fetchone()
    if row is None:
        return None
    fingerprint, seed, recorded = row
    return RecordedClaim(account, Claim(key, fingerprint, seed), datetime.fromisoformat(recorded))


def find_answer(cursor: Cursor, account: str, key: str) -> KeptAnswer | None:
    cursor.execute(
        "SELECT status, content_type, location, body FROM claims"
        " WHERE account = ? AND key = ? AND status IS NOT NULL",
        (account, key),
    )
    row = cursor.fetchone()
    return None if row is None else KeptAnswer(*row)


def record(cursor: Cursor, claims: Sequence[RecordedClaim]) -> bool:
    """Record the claims in place of those that are over; return False if one still holds."""
    rows = [(account, *claim, timestamp(at), timestamp(at - KEPT)) for account, claim, at in claims]
    cursor.executemany(_RECORD, rows)
    return cursor.rowcount == len(rows)


def record_or_fail(cursor: Cursor, claims: Sequence[RecordedClaim]) -> None:
    """Do the same in a pipeline, which has no row counts: fail by a division by zero."""
    for account, claim, at in claims:
        cursor.execute(_RECORD_OR_FAIL, (account, *claim, timestamp(at), timestamp(at - KEPT)))


def keep(cursor: Cursor, account: str, claim: Claim, answer: KeptAnswer) -> None:
    """Add the answer to a claim, if that is still there."""
    cursor.execute(_KEEP, (*answer, account, claim.key, claim.seed))


def remove_over(cursor: Cursor, now: datetime, limit: int) -> int:
    """Remove the oldest claims that are over, up to a limit; return how many."""
    cursor.execute(_REMOVE, (timestamp(now - KEPT), limit))
    return cursor.rowcount


def remove_all_of(cursor: Cursor, account: str) -> None:
    """Remove the account's claims, and with them the answers."""
    cursor.execute("DELETE FROM claims WHERE account = ?", (account,))
