"""Bearer tokens: logins for programs, made and removed at the command line or over HTTP.

A token is shown once; the service stores its hash, and a public id for managing it. That it was
issued or removed is an event; its use is a row that is overwritten.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from api.accounts.account import AccountNotFound, LoginRefused, TokenOver, account_of
from api.accounts.credentials import new_secret, normal_email, secret_hash
from api.accounts.grants import (
    ALL_SCOPES,
    Grant,
    Restrictors,
    ScopeMissing,
    grant_of_token,
)
from api.accounts.job_grants import job_grant
from api.accounts.job_tokens import PREFIX as JOB_PREFIX
from api.accounts.job_tokens import JobTokens
from api.accounts.meter import LoginMeter
from api.accounts.revocations import Revocation
from api.accounts.scopes import SCOPES, Scope
from api.accounts.throttle import Throttle, TooManyAttempts
from api.data.private_tables import PrivateTables
from ledger.domain.commands.tokens import IssueToken, RemoveTokens
from ledger.domain.errors import Expected
from ledger.domain.errors.quotas import QuotaExceeded
from ledger.domain.events.tokens import TokenIssued
from ledger.store.seam import Cursor
from ledger.store.tables import accounts, login_revocations, tokens
from ledger.store.tables.tokens import GrantedToken, StoredToken
from ledger.store.writer import Caller, uncancelled

PREFIX = "jl_"
"""Makes a token recognisable where it should not be: in a log, in a repository."""
ID_BYTES = 6
ID_LENGTH = 2 * ID_BYTES
NAME_LENGTH_MAX = 64
SOURCE_LENGTH_MAX = 200
KEPT_FOR: Final = timedelta(days=30)
"""How long the service knows why it refuses a token that was removed, or has expired."""
LATEST: Final = datetime.max.replace(tzinfo=UTC)
"""No token lasts until a time that cannot be told in UTC."""
NOTED_S: Final = 300.0
"""How often the use of a token is stored at most."""
NOTED_MOST: Final = 100_000

_OPERATOR = Caller("system:operator", "")
_EXPIRY = Caller("system:tokens", "")

log = logging.getLogger(__name__)


class InvalidTokenName(Expected):
    """No token can have this name."""


class InvalidTokenTerms(Expected):
    """No token can have this source, or this expiry; `point` names the field."""

    def __init__(self, message: str, point: str) -> None:
        super().__init__(message)
        self.point = point


class TokenNotFound(Expected):
    """No token has this id."""


class Terms(Struct, frozen=True):
    """What a token may do. Without `scopes` it may do whatever its account may.

    `source` is what it registers, or lies above that; `//<name>` if none is given. `issuer` is the
    token by which it is issued.
    """

    scopes: tuple[Scope, ...] | None = None
    restrictors: tuple[str, ...] = ()
    source: str | None = None
    expires: datetime | None = None
    issuer: str | None = None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token as it is shown, once."""

    id: str
    email: str
    account: str
    token: str = field(repr=False)


class Tokens:
    """Adds, finds and removes tokens; a removed token is reported to `on_revocation`."""

    def __init__(
        self,
        tables: PrivateTables,
        throttle: Throttle,
        meter: LoginMeter,
        *,
        limit: int,
        now: Callable[[], datetime],
        record: Callable[[IssueToken | RemoveTokens, Caller], Awaitable[int]],
        on_revocation: Callable[[Revocation], None],
    ) -> None:
        self._tables = tables
        self._throttle = throttle
        self._meter = meter
        self._limit = limit
        self._now = now
        self._record = record
        self._on_revocation = on_revocation
        self._adding = asyncio.Lock()
        self.of_jobs = JobTokens(tables, now)
        """The tokens of jobs, which are derived."""
        self._noted: dict[str, float] = {}
        self._used: dict[str, datetime] = {}

    async def add(
        self,
        email: str,
        name: str = "",
        *,
        scopes: tuple[Scope, ...] | None = None,
        restrictors: tuple[str, ...] = (),
        source: str | None = None,
        expires: datetime | None = None,
        password_version: int | None = None,
    ) -> NewToken:
        """Add a token to an account; the name is for people who manage it.

        With `password_version`, the account itself asks, whose password must still have that
        version. Raise `InvalidAccount`, `InvalidTokenName`, `InvalidTokenTerms`, `WrongRestrictor`,
        `AccountNotFound`, or `QuotaExceeded` if the account has too many.
        """
        email = normal_email(email)
        stored = await self._tables.read(lambda c: accounts.find(c, email))
        if stored is None or password_version not in (None, stored.password_version):
            raise AccountNotFound(f"there is no account {email}")
        terms = Terms(scopes, restrictors, source, expires)
        by = _OPERATOR if password_version is None else Caller(stored.uuid, "")
        new = await self.issue(stored.uuid, name, terms, by, password_version=password_version)
        return NewToken(new.id, email, stored.uuid, new.token)

    async def issue(
        self,
        account: str,
        name: str,
        terms: Terms,
        by: Caller,
        *,
        password_version: int | None = None,
    ) -> NewToken:
        """Add a token with these terms, as `add` does."""
        issued = _issued(account, name, terms, self._now())
        token_id, token = secrets.token_hex(ID_BYTES), PREFIX + new_secret()
        command = IssueToken(token_id, secret_hash(token), issued, self._now(), password_version)
        async with self._adding:
            count = await self._tables.read(lambda c: tokens.count(c, account))
            if self._limit and count >= self._limit:
                raise QuotaExceeded("tokens", self._limit)
            await self._record(command, by)
        if await self._tables.read(lambda c: tokens.owner_of(c, token_id)) is None:
            await self._record(RemoveTokens(account, (token_id,), self._now()), by)
            raise AccountNotFound("the account is gone, or has another password")
        return NewToken(token_id, "", account, token)

    async def every(self, email: str | None = None) -> list[StoredToken]:
        """Return the tokens of one account, or all; oldest first.

        Raise `InvalidAccount` or `AccountNotFound` for an email that has no account.
        """
        if email is None:
            return await self._tables.read(lambda c: tokens.every(c, None))
        wanted = normal_email(email)
        found = await self._tables.read(
            lambda c: tokens.every(c, wanted) if accounts.find(c, wanted) else None
        )
        if found is None:
            raise AccountNotFound(f"there is no account {wanted}")
        return found

    async def of_account(self, account: str) -> list[GrantedToken]:
        """Return the tokens of an account, oldest first."""
        return await self._tables.read(lambda c: tokens.of_account(c, account))

    async def remove(self, token_id: str) -> None:
        """Remove a token; it is refused from then on. Raise `TokenNotFound`."""
        account = await self._tables.read(lambda c: tokens.owner_of(c, token_id))
        if account is None:
            raise TokenNotFound(f"there is no token {token_id}")
        await self._remove(account, token_id, _OPERATOR)

    async def remove_of(self, account: str, token_id: str, by: Caller) -> None:
        """Remove a token of this account. Raise `TokenNotFound`."""
        if await self._tables.read(lambda c: tokens.owner_of(c, token_id)) != account:
            raise TokenNotFound(f"there is no token {token_id}")
        await self._remove(account, token_id, by)

    async def remove_itself(self, token: str) -> None:
        """Remove the token with which a request came. Raise `TokenNotFound`."""
        found = await self._tables.read(lambda c: tokens.by_hash(c, secret_hash(token)))
        if found is None:
            raise TokenNotFound("there is no such token")
        await self._remove(found.account, found.id, Caller(found.account, ""))

    async def remove_left(self, account: str) -> None:
        """Remove the tokens of an account that is gone, whose logins were all revoked."""
        left = await self.of_account(account)
        if left:
            gone = tuple(token.id for token in left)
            await self._record(RemoveTokens(account, gone, self._now()), _OPERATOR)

    async def change_job_key(self) -> int:
        """Derive the tokens of jobs from a new key, and return its number."""
        return await self.of_jobs.change_key()

    async def grant_of(self, token: str, address: str) -> Grant:
        """Return what a token may do. Raise `LoginRefused`, or `TooManyAttempts` for this address.

        It is looked up in any case: whatever others at its address do, a token is not refused.
        """
        try:
            grant = await self._grant_of(token, address)
        except TokenOver as error:
            self._meter.note("token", "wrong")
            log.info("%s, which still came from %s", error, address)
            raise
        self._meter.note("token", "right")
        return grant

    def note_use(self, grant: Grant) -> None:
        """Note that a token was used; `store_uses` stores it later."""
        if grant.token is None or grant.job is not None:
            return
        clock, noted = time.monotonic(), self._noted.get(grant.token)
        if noted is None or clock - noted >= NOTED_S:
            if len(self._noted) >= NOTED_MOST:
                self._noted.clear()
            self._noted[grant.token] = clock
            self._used[grant.token] = self._now()

    async def store_uses(self) -> None:
        """Store when tokens were last used, if any were."""
        used, self._used = self._used, {}
        if used:
            await self._tables.write(lambda c: tokens.note_used(c, used))

    async def expire(self) -> int:
        """Remove tokens that expired long ago, or whose account is gone; return their number.

        And forget those that were removed long ago.
        """
        before = self._now() - KEPT_FOR
        over = await self._tables.read(lambda c: tokens.over(c, before))
        for account, some in groupby(over, key=lambda each: each[0]):
            gone = tuple(token_id for _, token_id in some)
            await self._record(RemoveTokens(account, gone, self._now()), _EXPIRY)
        if await self._tables.read(lambda c: tokens.has_removed(c, before)):
            await self._tables.write(lambda c: tokens.forget_removed(c, before))
        return len(over)

    async def _grant_of(self, token: str, address: str) -> Grant:
        if token.startswith(JOB_PREFIX):
            claim = await self.of_jobs.read(token)
            if claim is None:
                raise self._refusal(address)
            return await job_grant(self._tables, claim, self._now())
        token_hash = secret_hash(token)

        def find(
            cursor: Cursor,
        ) -> tuple[GrantedToken | None, accounts.StoredAccount | None, bool]:
            found = tokens.by_hash(cursor, token_hash)
            account = None if found is None else accounts.find_by_uuid(cursor, found.account)
            return found, account, found is None and tokens.was_removed(cursor, token_hash)

        found, account, removed = await self._tables.read(find)
        if found is None and not removed:
            raise self._refusal(address)
        if found is None or account is None:
            raise TokenOver("removed")
        if found.expires is not None and found.expires <= self._now():
            raise TokenOver("expired")
        return grant_of_token(account_of(account), found)

    def _refusal(self, address: str) -> LoginRefused | TooManyAttempts:
        """Return how an unknown token is refused; beyond the limit nothing is logged either."""
        try:
            self._throttle.note_unknown_token(address)
        except TooManyAttempts as error:
            self._meter.note("token", "delayed")
            return error
        self._meter.note("token", "wrong")
        log.info("wrong token from %s", address)
        return LoginRefused()

    async def _remove(self, account: str, token_id: str, by: Caller) -> None:
        # What the table has revoked must not stay in the cache.
        await uncancelled(self._remove_and_revoke(account, token_id, by))

    async def _remove_and_revoke(self, account: str, token_id: str, by: Caller) -> None:
        await self._record(RemoveTokens(account, (token_id,), self._now()), by)
        number = await self._tables.read(lambda c: login_revocations.last_of(c, account))
        self._on_revocation(Revocation(number, account))


def terms_within(grant: Grant, wanted: Terms) -> Terms:
    """Return the terms of a token that this caller issues: no more than it may do itself.

    What is not wanted is as for its own. Raise `ScopeMissing`, `WrongRestrictor`.
    """
    if not grant.scoped:
        return replace(wanted, issuer=grant.token)
    for scope in wanted.scopes or SCOPES:
        grant.require(scope)
    restrictors = grant.restrictors.narrowed(Restrictors.parse(wanted.restrictors))
    source = grant.source if wanted.source is None else wanted.source
    if source is None or not grant.has_source(source):
        raise ScopeMissing(f"the token issues only tokens for {grant.source} or below")
    expires = grant.expires if wanted.expires is None else wanted.expires
    if grant.expires is not None and expires is not None and expires > grant.expires:
        raise ScopeMissing("the token would expire later than the one which issues it")
    return Terms(wanted.scopes, restrictors.texts(), source, expires, grant.token)


def _issued(account: str, name: str, terms: Terms, now: datetime) -> TokenIssued:
    """Return the event, or raise why no token can be like this."""
    if len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidTokenName(f"a token's name has up to {NAME_LENGTH_MAX} characters")
    scoped = terms.scopes is not None
    if scoped and not name:
        raise InvalidTokenName("a token with scopes needs a name, since what it registers has it")
    if not scoped and (terms.restrictors or terms.source is not None):
        raise InvalidTokenTerms("only a token with scopes can be restricted", "scopes")
    source = terms.source or (f"//{name}" if scoped else None)
    if source is not None and (len(source) > SOURCE_LENGTH_MAX or not source.isprintable()):
        raise InvalidTokenTerms("a source is one line of up to 200 characters", "source")
    if terms.expires is not None and not now < terms.expires <= LATEST:
        raise InvalidTokenTerms("a token expires in the future", "expires")
    return TokenIssued(
        owner=account,
        name=name,
        scopes=None if terms.scopes is None else tuple(sorted(set(terms.scopes) & ALL_SCOPES)),
        restrictors=Restrictors.parse(terms.restrictors).texts(),
        source=source,
        expires=terms.expires,
        issuer=terms.issuer,
    )
