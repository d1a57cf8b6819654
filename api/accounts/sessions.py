"""Sessions: a login that a client keeps as a cookie.

Whoever has the session's id is logged in; to change anything it takes the session's csrf token
too, which pages of others cannot read. Both are random; the service keeps only their hashes.
"""

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from api.accounts.account import Account, LoginRefused, account_of
from api.accounts.credentials import new_secret, secret_hash
from api.accounts.login_cache import REMEMBERED_S, LoginCache
from api.accounts.passwords import Verified
from api.accounts.revocations import KNOWN_S, Revocations
from api.data.private_tables import PlainTables
from ledger.store.seam import Cursor
from ledger.store.tables import accounts, sessions

VALID_FOR = timedelta(days=14)
SESSIONS_MAX = 10_000
"""Sessions of one account; the oldest end when there are more. Scripts log in at each run."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """What the client is given, once."""

    account: Account
    id: str = field(repr=False)
    csrf_token: str = field(repr=False)


class Session(NamedTuple):
    """A session that is valid."""

    account: Account
    csrf_hash: bytes

    def has_csrf_token(self, token: str) -> bool:
        return hmac.compare_digest(secret_hash(token), self.csrf_hash)


class Sessions:
    """Begins, finds and ends sessions; they outlive this process."""

    def __init__(
        self,
        tables: PlainTables,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        revocations: Revocations,
    ) -> None:
        self._tables = tables
        self._now = now
        # A logout at another node is not reported here: it revokes a single login.
        self._remembered_s = KNOWN_S if revocations.shared else REMEMBERED_S
        self._remembered: LoginCache[Session] = LoginCache(clock, revocations.are_known)

    async def begin(self, login: Verified) -> NewSession:
        """A new session, durable on return.

        Raises `LoginRefused` if the account has another password by now, or is gone.
        """
        new = NewSession(login.account, new_secret(), new_secret())
        now = self._now()

        def add(cursor: Cursor) -> list[bytes] | None:
            added = sessions.add(
                cursor,
                id_hash=secret_hash(new.id),
                account=new.account.uuid,
                password_version=login.password_version,
                csrf_hash=secret_hash(new.csrf_token),
                created=now,
                expires=now + VALID_FOR,
            )
            return sessions.trim(cursor, new.account.uuid, SESSIONS_MAX) if added else None

        trimmed = await self._tables.write(add)
        if trimmed is None:
            raise LoginRefused
        for id_hash in trimmed:
            self._remembered.end(id_hash)
        return new

    async def find(self, session_id: str) -> Session:
        """Raises `LoginRefused` for one that is unknown, has expired or was ended."""
        id_hash = secret_hash(session_id)
        return self._remembered.find(id_hash) or await self._look_up(id_hash)

    async def end(self, session_id: str) -> None:
        """Ends a session; it is refused from then on."""
        # Shielded: whoever logs out and leaves is logged out.
        await asyncio.shield(self._end(secret_hash(session_id)))

    def forget(self, account: str) -> None:
        """The sessions of an account were removed from the table."""
        self._remembered.end_all_of(account)

    async def expire(self) -> int:
        """Removes what has expired; how many there were."""
        return await self._tables.write(lambda c: sessions.remove_expired(c, self._now()))

    async def _look_up(self, id_hash: bytes) -> Session:
        since = self._remembered.endings

        def find(cursor: Cursor) -> tuple[sessions.StoredSession, Account] | None:
            stored = sessions.find(cursor, id_hash)
            account = accounts.find_by_uuid(cursor, stored.account) if stored else None
            return (stored, account_of(account)) if stored and account else None

        found = await self._tables.read(find)
        if found is None:
            raise LoginRefused
        stored, account = found
        left_s = (stored.expires - self._now()).total_seconds()
        if left_s <= 0:
            raise LoginRefused
        session = Session(account, stored.csrf_hash)
        most_s = min(self._remembered_s, left_s)
        self._remembered.add(id_hash, session, account=account.uuid, since=since, most_s=most_s)
        return session

    async def _end(self, id_hash: bytes) -> None:
        await self._tables.write(lambda c: sessions.remove(c, id_hash))
        self._remembered.end(id_hash)
