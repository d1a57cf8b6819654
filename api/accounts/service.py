"""Accounts: who may log in, and the login of every request.

A password or token is verified once, and then cached for a while under a keyed hash of the header
it came in, so that a request costs a dict lookup and not an argon2. Memory holds only that hash,
never the header. All changes go through this class, so the cache is never older than the tables,
except that it may lag behind changes by other nodes for less than a second
(`api.accounts.revocations`).
"""

import functools
import hashlib
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from msgspec import Struct

from api.accounts.account import (
    Account,
    AccountNotFound,
    LoginRefused,
    account_of,
    checked_role,
)
from api.accounts.credentials import (
    HEADER_LENGTH_MAX,
    InvalidAccount,
    credentials_of,
    normal_email,
    normal_password,
    parse_basic,
    parse_bearer,
    secret_hash,
)
from api.accounts.grants import Grant
from api.accounts.hashing import Hashing
from api.accounts.limits import DEFAULT_LIMITS, LoginLimits
from api.accounts.login_cache import CACHED_S, LoginCache
from api.accounts.meter import LoginMeter
from api.accounts.passwords import Passwords
from api.accounts.places import Client
from api.accounts.revocations import Revocation, Revocations
from api.accounts.sessions import NewSession, Sessions
from api.accounts.signing_keys import HourlyKeys
from api.accounts.throttle import Throttle, TooManyAttempts
from api.accounts.tokens import NewToken, Tokens
from api.accounts.websocket_cookie import AsyncCookies, CookieHolder
from api.data.private_tables import PrivateTables
from ledger.application import Ledger
from ledger.domain.errors import Expected
from ledger.store.seam import Cursor
from ledger.store.tables import accounts as table
from ledger.store.tables import idempotency_keys as claims
from ledger.store.tables import known_places, login_revocations, sessions, tokens
from ledger.store.writer import uncancelled
from projections.views.belongings import Belongings, belongings_of

__all__ = [
    "Account",
    "AccountInUse",
    "AccountNotFound",
    "Accounts",
    "EmailTaken",
    "InvalidAccount",
    "LoginRefused",
    "TooManyAttempts",
]

JOB_CACHED_S = 60.0
"""A job's token may do less once the job has ended, which no revocation tells."""


class EmailTaken(Expected):
    """An account has this email already."""


class AccountInUse(Expected):
    """The account has things that nobody could delete once it is removed."""

    def __init__(self, email: str, things: Belongings) -> None:
        super().__init__(
            f"{email} has {things.drives} drives and {things.servers} servers, which nobody could"
            " delete afterwards: delete them first, or leave them for good (--leave-things)"
        )


class Removed(Struct, frozen=True):
    """A removed account: how many of its logins have ended, and how many things it has left."""

    account: str
    sessions: int
    tokens: int
    drives: int
    servers: int


class Accounts:
    """Logs in, adds and changes accounts. For one event loop, which it never blocks."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        limits: LoginLimits = DEFAULT_LIMITS,
    ) -> None:
        self.limits = limits
        self._now = now
        self._new_id = new_id
        self._key = secrets.token_bytes(32)
        self._listeners: list[Callable[[str, int], None]] = []
        self._tables = PrivateTables(ledger)
        self.revocations = Revocations(
            self._tables,
            shared=ledger.shared,
            on_revocation=self._end_revoked_elsewhere,
            clock=clock,
        )
        self._cache: LoginCache[Grant] = LoginCache(clock, self.revocations.are_known)
        self.keys = HourlyKeys(self._tables, now)
        """Keys for signatures that are valid for minutes."""
        self._async_cookies = AsyncCookies(now, self.keys)
        self.meter = LoginMeter()
        throttle = Throttle(clock, self.limits)
        self._hashing = Hashing(self.limits, self.meter)
        self._passwords = Passwords(self._tables, throttle, self._hashing, self.meter, now=now)
        self.sessions = Sessions(self._tables, now=now, clock=clock, revocations=self.revocations)
        self.tokens = Tokens(
            *(self._tables, throttle, self.meter),
            limit=limits.tokens_per_account,
            now=now,
            record=ledger.execute,
            on_revocation=self._end_revoked,
        )

    def listen(self, listener: Callable[[str, int], None]) -> None:
        """Call `listener` with the account and the number of each revocation."""
        self._listeners.append(listener)

    @property
    def waiting(self) -> int:
        """How many passwords wait to be hashed."""
        return self._hashing.waiting

    async def expire_places(self) -> int:
        """Remove the known places that were last seen too long ago; return their number."""
        return await self._tables.write(lambda c: known_places.remove_expired(c, self._now()))

    # Logging in

    async def authenticate(self, authorization: str | None, client: Client) -> Account:
        """Return the account of a request, by its Authorization header: Basic or Bearer.

        Raise `LoginRefused`, or `TooManyAttempts` for this client.
        """
        return (await self.grant_of(authorization, client)).account

    async def grant_of(self, authorization: str | None, client: Client) -> Grant:
        """Return what the caller of a request may do, by its Authorization header.

        Raise as `authenticate` does, and also `JobNotFound` or `JobDiscarded` for a job's token.
        """
        if authorization is None or len(authorization) > HEADER_LENGTH_MAX:
            raise LoginRefused
        digest = self._digest(authorization)
        grant = self._cache.find(digest) or await self._look_up(authorization, client, digest)
        self.tokens.note_use(grant)
        return grant

    async def job_token(self, job: str, attempt: int, instance: str) -> str:
        """Return the token of a job's attempt; `instance` is the digest in its `Holder`."""
        return await self.tokens.of_jobs.make(job, attempt, instance)

    async def log_in(self, email: str, password: str, client: Client) -> NewSession:
        """Begin a session by a password.

        Raise `LoginRefused`, or `TooManyAttempts` for this client.
        """
        credentials = credentials_of(email, password)
        if credentials is None:
            raise LoginRefused
        return await self.sessions.begin(await self._passwords.verify(credentials, client))

    async def new_token(self, email: str, password: str, client: Client, name: str) -> NewToken:
        """Add a token by a password.

        Raise `InvalidTokenName`, `LoginRefused`, `TooManyAttempts` for this client, or
        `QuotaExceeded`.
        """
        credentials = credentials_of(email, password)
        if credentials is None:
            raise LoginRefused
        login = await self._passwords.verify(credentials, client)
        try:
            return await self.tokens.add(
                login.account.email, name, password_version=login.password_version
            )
        except AccountNotFound:  # removed meanwhile, or its password changed
            raise LoginRefused from None

    async def new_async_cookie(self, account: Account, session_id: str | None = None) -> str:
        """Return a cookie by which this account can open a websocket within two minutes.

        Neither the cookie nor its websocket outlives the session, if it is made in one.
        """
        number = await self._tables.read(lambda c: login_revocations.last_of(c, account.uuid))
        session = None if session_id is None else secret_hash(session_id)
        await self.keys.provide()
        return self._async_cookies.make(CookieHolder(account.uuid, number, session))

    async def account_of_async_cookie(self, value: str) -> Account:
        """Return the account of a cookie.

        Raise `LoginRefused` if the cookie is forged or old, if the account was removed, or if its
        logins were revoked or the cookie's session ended since.
        """
        await self.keys.learn()
        holder = self._async_cookies.read(value)

        def find(cursor: Cursor) -> table.StoredAccount | None:
            if login_revocations.last_of(cursor, holder.account) != holder.revocation:
                return None
            if holder.session and not sessions.present(cursor, [holder.session], self._now()):
                return None
            return table.find_by_uuid(cursor, holder.account)

        stored = await self._tables.read(find)
        if stored is None:
            raise LoginRefused
        return account_of(stored)

    def last_revocation_before(self, async_cookie: str) -> int:
        """Return the number of the account's last revocation when a good cookie was made."""
        return self._async_cookies.read(async_cookie).revocation

    def watch_session(
        self, async_cookie: str, on_end: Callable[[], None]
    ) -> AbstractContextManager[None]:
        """Call `on_end` if the session of a good cookie ends before the block does."""
        session = self._async_cookies.read(async_cookie).session
        return nullcontext() if session is None else self.sessions.watch(session, on_end)

    # Changing accounts

    async def add(self, email: str, password: str, role: str = "user") -> Account:
        """Add an account; durable on return. Raise `InvalidAccount` or `EmailTaken`."""
        account = Account(self._new_id(), normal_email(email), checked_role(role))
        add = functools.partial(
            table.add,
            uuid=account.uuid,
            email=account.email,
            role=account.role,
            password_hash=await self._passwords.hash(normal_password(password)),
            created=self._now(),
        )
        if not await self._tables.write(add):
            raise EmailTaken(f"there is an account {account.email} already")
        return account

    async def set_password(self, email: str, password: str) -> None:
        """Replace a password, and revoke sessions and logins with the old one; durable on return.

        Tokens stay: they are removed one by one. Raise `InvalidAccount` or `AccountNotFound`.
        """
        email = normal_email(email)
        password_hash = await self._passwords.hash(normal_password(password))
        await self._change(email, lambda c: _set_password(c, email, password_hash))

    async def set_role(self, email: str, role: str) -> None:
        """Give an account another role, from its next request on; durable on return.

        Its sessions and tokens stay; its websockets have to be opened again. Raise
        `InvalidAccount` or `AccountNotFound`.
        """
        email, role = normal_email(email), checked_role(role)
        await self._change(email, lambda c: _set_role(c, email, role))

    async def remove(self, email: str, *, leave_things: bool = False) -> Removed:
        """Remove an account, and revoke all its logins; durable on return.

        What belongs to others stays untouched, as does the history of what it did. Its drives and
        servers could not be deleted by anybody afterwards: raise `AccountInUse` if there are any,
        unless they are to be left. Raise `AccountNotFound`.
        """
        email = normal_email(email)
        removed: list[Removed] = []

        def remove(cursor: Cursor) -> Revocation | None:
            removed[:] = []  # it may be tried again
            return _remove(cursor, email, removed.append, leave_things=leave_things)

        await self._change(email, remove)
        await self.tokens.remove_left(removed[0].account)
        return removed[0]

    async def find(self, uuid: str) -> Account:
        """Raise `AccountNotFound` if no account has this uuid."""
        stored = await self._tables.read(lambda c: table.find_by_uuid(c, uuid))
        if stored is None:
            raise AccountNotFound("there is no account with this uuid")
        return account_of(stored)

    async def listed(self) -> list[table.ListedAccount]:
        """Return all accounts, oldest first, for operators."""
        return await self._tables.read(lambda c: table.listed(c, self._now()))

    async def every(self) -> list[Account]:
        """Return all accounts, oldest first."""
        return [account_of(stored) for stored in await self._tables.read(table.every)]

    def close(self) -> None:
        """Take no more logins; those under way finish on their own."""
        self._passwords.close()
        self._tables.close()

    def _digest(self, authorization: str) -> bytes:
        # Header values may hold lone surrogates: aiohttp's form of bytes that are not UTF-8.
        value = authorization.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(value, key=self._key, digest_size=32).digest()

    async def _look_up(self, authorization: str, client: Client, digest: bytes) -> Grant:
        since = self._cache.removals
        token = parse_bearer(authorization)
        if token is not None:
            grant = await self.tokens.grant_of(token, client.address)
        else:
            credentials = parse_basic(authorization)
            if credentials is None:
                raise LoginRefused
            grant = Grant((await self._passwords.verify(credentials, client)).account)
        valid_s = self._cached_s(grant)
        self._cache.add(digest, grant, account=grant.account.uuid, since=since, valid_s=valid_s)
        return grant

    def _cached_s(self, grant: Grant) -> float:
        """Return for how long at most a grant stays as it is, unless its login is revoked."""
        if grant.job is not None:
            return JOB_CACHED_S
        if grant.expires is None:
            return CACHED_S
        return (grant.expires - self._now()).total_seconds()

    async def _change(self, email: str, work: Callable[[Cursor], Revocation | None]) -> None:
        # What the table has revoked must not stay in the cache.
        await uncancelled(self._change_and_revoke(email, work))

    async def _change_and_revoke(
        self, email: str, work: Callable[[Cursor], Revocation | None]
    ) -> None:
        """Revoke the account's logins, including those that are being verified."""
        revocation = await self._tables.write(work)
        if revocation is None:
            raise AccountNotFound(f"there is no account {email}")
        self._passwords.note_change()
        self._end_revoked(revocation)

    def _end_revoked(self, revocation: Revocation) -> None:
        self.revocations.note_own(revocation)
        self._drop_logins(revocation)

    def _end_revoked_elsewhere(self, revocation: Revocation) -> None:
        self._passwords.note_change()
        self._drop_logins(revocation)

    def _drop_logins(self, revocation: Revocation) -> None:
        """Drop what is cached of the account's logins, and tell the listeners."""
        self._cache.remove_all_of(revocation.account)
        self.sessions.forget(revocation.account)
        for listener in self._listeners:
            listener(revocation.account, revocation.number)


def _set_password(cursor: Cursor, email: str, password_hash: str) -> Revocation | None:
    uuid = table.set_password(cursor, email, password_hash)
    if uuid is None:
        return None
    sessions.remove_all_of(cursor, uuid)
    known_places.remove_all_of(cursor, uuid)
    return Revocation(login_revocations.record(cursor, uuid), uuid)


def _set_role(cursor: Cursor, email: str, role: str) -> Revocation | None:
    uuid = table.set_role(cursor, email, role)
    return None if uuid is None else Revocation(login_revocations.record(cursor, uuid), uuid)


def _remove(
    cursor: Cursor, email: str, tell: Callable[[Removed], None], *, leave_things: bool
) -> Revocation | None:
    uuid = table.remove(cursor, email)
    if uuid is None:
        return None
    things = belongings_of(cursor, uuid)
    if any(things) and not leave_things:
        raise AccountInUse(email, things)
    known_places.remove_all_of(cursor, uuid)
    table.remove_personal_fields(cursor, uuid)
    claims.remove_all_of(cursor, uuid)
    ended = sessions.remove_all_of(cursor, uuid), tokens.count(cursor, uuid)
    tell(Removed(uuid, *ended, *things))
    return Revocation(login_revocations.record(cursor, uuid), uuid)
