"""Sessions: logins that clients keep as cookies.

The session's id logs a client in; changes also need the session's CSRF token, which the pages of
other sites cannot read. Both are random; the service stores only their hashes.
"""

import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from api.accounts.account import Account, LoginRefused, account_of
from api.accounts.credentials import new_secret, secret_hash
from api.accounts.login_cache import CACHED_S, LoginCache
from api.accounts.passwords import VerifiedLogin
from api.accounts.revocations import KNOWN_S, Revocations
from api.data.private_tables import PrivateTables
from ledger.store.seam import Cursor
from ledger.store.tables import accounts, sessions
from ledger.store.writer import uncancelled

VALID_FOR = timedelta(days=14)
SESSIONS_MAX = 10_000
"""Sessions of one account; beyond that the oldest ends. Scripts log in at each run."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session as its client gets it, once."""

    account: Account
    id: str = field(repr=False)
    csrf_token: str = field(repr=False)
    device: str = field(repr=False)
    """The cookie by which the client's device is known at its next login."""


class Session(NamedTuple):
    account: Account
    csrf_hash: bytes

    def has_csrf_token(self, token: str) -> bool:
        return hmac.compare_digest(secret_hash(token), self.csrf_hash)


class Sessions:
    """Begins, finds and ends sessions; these outlive the process."""

    def __init__(
        self,
        tables: PrivateTables,
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        revocations: Revocations,
    ) -> None:
        self._tables = tables
        self._now = now
        # A logout at another node is not reported here: it revokes a single login.
        self._cached_s = KNOWN_S if revocations.shared else CACHED_S
        self._cache: LoginCache[Session] = LoginCache(clock, revocations.are_known)
        self._watchers: dict[bytes, set[Callable[[], None]]] = {}

    async def begin(self, login: VerifiedLogin) -> NewSession:
        """Begin a session; durable on return.

        Raise `LoginRefused` if the account was removed since, or has another password.
        """
        new = NewSession(login.account, new_secret(), new_secret(), login.device)
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
            self._forget(id_hash)
        return new

    async def find(self, session_id: str) -> Session:
        """Raise `LoginRefused` if the session is unknown, has expired or was ended."""
        id_hash = secret_hash(session_id)
        return self._cache.find(id_hash) or await self._look_up(id_hash)

    async def end(self, session_id: str) -> None:
        """End a session; it is refused from then on."""
        # A client that logs out and disconnects is logged out.
        await uncancelled(self._end(secret_hash(session_id)))

    @contextmanager
    def watch(self, id_hash: bytes, on_end: Callable[[], None]) -> Iterator[None]:
        """Call `on_end` if the session ends before the block does."""
        watchers = self._watchers.setdefault(id_hash, set())
        watchers.add(on_end)
        try:
            yield
        finally:
            watchers.discard(on_end)
            if not watchers:
                self._watchers.pop(id_hash, None)

    async def find_ended(self) -> None:
        """Find watched sessions that have expired, or were ended by another node."""
        watched = list(self._watchers)
        if watched:
            now = self._now()
            present = await self._tables.read(lambda c: sessions.present(c, watched, now))
            for id_hash in set(watched) - present:
                self._tell_watchers(id_hash)

    def forget(self, account: str) -> None:
        """Drop the sessions of an account from the cache; the table has none any more."""
        self._cache.remove_all_of(account)

    async def expire(self) -> int:
        """Remove the expired sessions and return their number."""
        return await self._tables.write(lambda c: sessions.remove_expired(c, self._now()))

    async def _look_up(self, id_hash: bytes) -> Session:
        since = self._cache.removals

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
        valid_s = min(self._cached_s, left_s)
        self._cache.add(id_hash, session, account=account.uuid, since=since, valid_s=valid_s)
        return session

    async def _end(self, id_hash: bytes) -> None:
        await self._tables.write(lambda c: sessions.remove(c, id_hash))
        self._forget(id_hash)

    def _forget(self, id_hash: bytes) -> None:
        self._cache.remove(id_hash)
        self._tell_watchers(id_hash)

    def _tell_watchers(self, id_hash: bytes) -> None:
        for on_end in tuple(self._watchers.get(id_hash, ())):
            on_end()
