"""The table of accounts: who may log in. A plain table: secrets are kept out of the ledger."""

from dataclasses import dataclass, field
from datetime import datetime

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


def find(cursor: Cursor, email: str) -> StoredAccount | None:
    """The account with exactly this email."""
    cursor.execute(f"{_SELECT} WHERE email = ?", (email,))
    row = cursor.fetchone()
    return None if row is None else StoredAccount(*row)


def find_by_uuid(cursor: Cursor, uuid: str) -> StoredAccount | None:
    """The account with this uuid."""
    cursor.execute(f"{_SELECT} WHERE uuid = ?", (uuid,))
    row = cursor.fetchone()
    return None if row is None else StoredAccount(*row)


def add(
    cursor: Cursor, *, uuid: str, email: str, role: str, password_hash: str, created: datetime
) -> bool:
    """Adds an account with its first password; False if the email is taken."""
    cursor.execute(
        _ADD,
        (uuid, email, role, password_hash, created.isoformat(timespec="microseconds")),
    )
    return bool(cursor.fetchall())


def set_password(cursor: Cursor, email: str, password_hash: str) -> str | None:
    """Replaces the password and raises its version; the account's uuid, if there is one."""
    cursor.execute(
        "UPDATE accounts SET password_hash = ?, password_version = password_version + 1"
        " WHERE email = ? RETURNING uuid",
        (password_hash, email),
    )
    changed = cursor.fetchall()
    return changed[0][0] if changed else None


def remove(cursor: Cursor, email: str) -> str | None:
    """Removes the account; its uuid, if there was one."""
    cursor.execute("DELETE FROM accounts WHERE email = ? RETURNING uuid", (email,))
    removed = cursor.fetchall()
    return removed[0][0] if removed else None


def every(cursor: Cursor) -> list[StoredAccount]:
    """All accounts, oldest first."""
    cursor.execute(f"{_SELECT} ORDER BY created, uuid")
    return [StoredAccount(*row) for row in cursor.fetchall()]


def remove_personal_fields(cursor: Cursor, uuid: str) -> None:
    """What the account said of itself in its profile is its own, and goes with it."""
    cursor.execute("DELETE FROM personal_fields WHERE account = ?", (uuid,))
