"""The table of accounts, which may log in. A plain table: secrets are kept out of the ledger."""

from dataclasses import dataclass, field
from datetime import datetime

from msgspec import Struct

from ledger.store.parameters import timestamp
from ledger.store.seam import Cursor

_SELECT = "SELECT uuid, email, role, password_hash, password_version, created FROM accounts"
_ADD = (
    "INSERT INTO accounts (uuid, email, role, password_hash, password_version, created)"
    " VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT (email) DO NOTHING RETURNING uuid"
)


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """One account as it is stored; `password_version` grows with every new password."""

    uuid: str
    email: str
    role: str
    password_hash: str = field(repr=False)
    password_version: int
    created: str


_LIST = """
SELECT uuid, email, role, created,
    (SELECT count(*) FROM tokens WHERE account = uuid),
    (SELECT count(*) FROM sessions WHERE account = uuid AND expires > ?)
FROM accounts ORDER BY created, uuid
"""


class ListedAccount(Struct, frozen=True):
    """An account as operators see it, with the number of its tokens and sessions."""

    uuid: str
    email: str
    role: str
    created: str
    tokens: int
    sessions: int


def find(cursor: Cursor, email: str) -> StoredAccount | None:
    """Return the account with exactly this email."""
    return _find(cursor, "email", email)


def find_by_uuid(cursor: Cursor, uuid: str) -> StoredAccount | None:
    return _find(cursor, "uuid", uuid)


def _find(cursor: Cursor, column: str, value: str) -> StoredAccount | None:
    cursor.execute(f"{_SELECT} WHERE {column} = ?", (value,))
    row = cursor.fetchone()
    return None if row is None else StoredAccount(*row)


def add(
    cursor: Cursor, *, uuid: str, email: str, role: str, password_hash: str, created: datetime
) -> bool:
    """Add an account with its first password; return False if the email is taken."""
    cursor.execute(
        _ADD,
        (uuid, email, role, password_hash, timestamp(created)),
    )
    return bool(cursor.fetchall())


def set_password(cursor: Cursor, email: str, password_hash: str) -> str | None:
    """Replace the password and raise its version; return the account's uuid, if there is one."""
    cursor.execute(
        "UPDATE accounts SET password_hash = ?, password_version = password_version + 1"
        " WHERE email = ? RETURNING uuid",
        (password_hash, email),
    )
    changed = cursor.fetchall()
    return changed[0][0] if changed else None


def set_role(cursor: Cursor, email: str, role: str) -> str | None:
    """Give the account another role; return its uuid, if there is one."""
    cursor.execute("UPDATE accounts SET role = ? WHERE email = ? RETURNING uuid", (role, email))
    changed = cursor.fetchall()
    return changed[0][0] if changed else None


def listed(cursor: Cursor, now: datetime) -> list[ListedAccount]:
    """Return all accounts, oldest first; sessions that have expired do not count."""
    cursor.execute(_LIST, (timestamp(now),))
    return [ListedAccount(*row) for row in cursor.fetchall()]


def remove(cursor: Cursor, email: str) -> str | None:
    """Remove the account; return its uuid, if there was one."""
    cursor.execute("DELETE FROM accounts WHERE email = ? RETURNING uuid", (email,))
    removed = cursor.fetchall()
    return removed[0][0] if removed else None


def every(cursor: Cursor) -> list[StoredAccount]:
    """Return all accounts, oldest first."""
    cursor.execute(f"{_SELECT} ORDER BY created, uuid")
    return [StoredAccount(*row) for row in cursor.fetchall()]


def remove_personal_fields(cursor: Cursor, uuid: str) -> None:
    """Remove the personal fields of an account's profile, which go with the account."""
    cursor.execute("DELETE FROM personal_fields WHERE account = ?", (uuid,))
