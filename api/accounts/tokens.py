"""Bearer tokens: logins for programs, made and removed at the command line or over HTTP.

A token is shown once; the service stores its hash, and a public id for managing it.
"""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from api.accounts.account import Account, AccountNotFound, LoginRefused, account_of
from api.accounts.credentials import new_secret, normal_email, secret_hash
from api.accounts.meter import LoginMeter
from api.accounts.revocations import Revocation
from api.accounts.throttle import Throttle, TooManyAttempts
from api.data.private_tables import PrivateTables
from ledger.domain.errors import Expected
from ledger.domain.errors.quotas import QuotaExceeded
from ledger.store.seam import Cursor
from ledger.store.tables import accounts, login_revocations, tokens
from ledger.store.tables.tokens import StoredToken
from ledger.store.writer import uncancelled

PREFIX = "jl_"
"""Makes a token recognisable where it should not be: in a log, in a repository."""
ID_BYTES = 6
NAME_LENGTH_MAX = 64

log = logging.getLogger(__name__)


class InvalidTokenName(Expected):
    """No token can have this name."""


class TokenNotFound(Expected):
    """No token has this id."""


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
        on_revocation: Callable[[Revocation], None],
    ) -> None:
        self._tables = tables
        self._throttle = throttle
        self._meter = meter
        self._limit = limit
        self._now = now
        self._on_revocation = on_revocation

    async def add(
        self, email: str, name: str = "", *, password_version: int | None = None
    ) -> NewToken:
        """Add a token to an account; the name is for people who manage it.

        With `password_version`, the account's password must still have that version.
        Raise `InvalidAccount`, `InvalidTokenName`, `AccountNotFound`, or `QuotaExceeded` if the
        account has too many.
        """
        token_id, email, token = (
            secrets.token_hex(ID_BYTES),
            normal_email(email),
            PREFIX + new_secret(),
        )
        if len(name) > NAME_LENGTH_MAX or not name.isprintable():
            raise InvalidTokenName(f"a token's name has up to {NAME_LENGTH_MAX} characters")

        def add(cursor: Cursor) -> str | None:
            account = accounts.find(cursor, email)
            if account is None or password_version not in (None, account.password_version):
                return None
            if self._limit and tokens.count(cursor, account.uuid) >= self._limit:
                raise QuotaExceeded("tokens", self._limit)
            tokens.add(
                cursor,
                token_id=token_id,
                token_hash=secret_hash(token),
                account=account.uuid,
                name=name,
                created=self._now(),
            )
            return account.uuid

        account = await self._tables.write(add)
        if account is None:
            raise AccountNotFound(f"there is no account {email}")
        return NewToken(token_id, email, account, token)

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

    async def remove(self, token_id: str) -> None:
        """Remove a token; it is refused from then on. Raise `TokenNotFound`."""
        await uncancelled(self._remove(token_id))

    async def remove_itself(self, token: str) -> None:
        """Remove the token with which a request came. Raise `TokenNotFound`."""
        token_id = await self._tables.read(lambda c: tokens.id_of(c, secret_hash(token)))
        if token_id is None:
            raise TokenNotFound("there is no such token")
        await self.remove(token_id)

    async def account_of(self, token: str, address: str) -> Account:
        """Return its account. Raise `LoginRefused`, or `TooManyAttempts` for this address.

        It is looked up in any case: whatever others at its address do, a token is not refused.
        """
        token_hash = secret_hash(token)

        def find(cursor: Cursor) -> accounts.StoredAccount | None:
            uuid = tokens.account_of(cursor, token_hash)
            return None if uuid is None else accounts.find_by_uuid(cursor, uuid)

        stored = await self._tables.read(find)
        if stored is None:
            raise self._refusal(address)
        self._meter.note("token", "right")
        return account_of(stored)

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

    async def _remove(self, token_id: str) -> None:
        def remove(cursor: Cursor) -> Revocation | None:
            account = tokens.remove(cursor, token_id)
            if account is None:
                return None
            return Revocation(login_revocations.record(cursor, account), account)

        revocation = await self._tables.write(remove)
        if revocation is None:
            raise TokenNotFound(f"there is no token {token_id}")
        self._on_revocation(revocation)
