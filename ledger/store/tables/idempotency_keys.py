"""The table of claims, with the answers. A plain table: it says nothing that holds for long."""

from collections.abc import Sequence
from datetime import datetime

from ledger.domain.idempotency import KEPT, Claim, KeptAnswer, RecordedClaim
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
    """The claim that was last recorded under this key, over or not."""
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
    """The answer of that claim, if it was kept."""
    cursor.execute(
        "SELECT status, content_type, location, body FROM claims"
        " WHERE account = ? AND key = ? AND status IS NOT NULL",
        (account, key),
    )
    row = cursor.fetchone()
    return None if row is None else KeptAnswer(*row)


def record(cursor: Cursor, claims: Sequence[RecordedClaim]) -> bool:
    """Adds the claims in place of those that are over; False if one of another's still holds."""
    rows = [(account, *claim, _text(at), _text(at - KEPT)) for account, claim, at in claims]
    cursor.executemany(_RECORD, rows)
    return cursor.rowcount == len(rows)


def record_or_fail(cursor: Cursor, claims: Sequence[RecordedClaim]) -> None:
    """The same for a pipeline, in which no row count can be looked at: divides by zero."""
    for account, claim, at in claims:
        cursor.execute(_RECORD_OR_FAIL, (account, *claim, _text(at), _text(at - KEPT)))


def keep(cursor: Cursor, account: str, claim: Claim, answer: KeptAnswer) -> None:
    """Adds the answer to a claim, if that is there still."""
    cursor.execute(_KEEP, (*answer, account, claim.key, claim.seed))


def remove_over(cursor: Cursor, now: datetime, most: int) -> int:
    """Removes the oldest claims that are over, up to so many; how many there were."""
    cursor.execute(_REMOVE, (_text(now - KEPT), most))
    return cursor.rowcount


def remove_all_of(cursor: Cursor, account: str) -> None:
    """Removes the account's claims, and the answers that tell of its things."""
    cursor.execute("DELETE FROM claims WHERE account = ?", (account,))


def _text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")
