"""Accounts: who may log in, and the login of every request.

A password is verified once and then remembered for a while under a keyed hash of the header it
came in, so that a request costs a dict lookup and not an argon2. Memory only holds that hash, never
the header. One process writes accounts, and all changes of them go through this class, so what is
remembered here is never older than the table.
"""

import asyncio
import functools
import hashlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple, TypeVar

from api.async_cookie import AsyncCookies
from api.credentials import (
    HEADER_LENGTH_MAX,
    Credentials,
    InvalidAccount,
    hash_password,
    is_password,
    normal_email,
    normal_password,
    parse_basic,
    unmatchable_hash,
)
from api.guessing import Guessing, TooManyAttempts
from api.identity import ROLES, Account, LoginRefused, Role, account_of, checked_role
from ledger.application import Ledger
from ledger.store import accounts as table
from ledger.store.seam import Cursor

__all__ = [
    "ROLES",
    "Account",
    "AccountNotFound",
    "Accounts",
    "EmailTaken",
    "InvalidAccount",
    "LoginRefused",
    "Role",
    "TooManyAttempts",
]

T = TypeVar("T")

REMEMBERED_S = 300.0
REMEMBERED_MAX = 10_000
HASHING_MAX = 2
"""Hashes computed at once; each takes 64 MiB and some cores for a tenth of a second."""
WAITING_MAX = 256
"""Logins that wait for their turn to be hashed; more are told to come back."""
WAITING_RETRY_S = 5

log = logging.getLogger(__name__)


class EmailTaken(Exception):
    """There is an account with this email already."""


class AccountNotFound(Exception):
    """There is no account with this email."""


class _Login(NamedTuple):
    account: Account
    until: float


class Accounts:
    """Logs in, adds and changes accounts. For one event loop; nothing here blocks it."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._now = now
        self._new_id = new_id
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, _Login] = {}
        self._verifying: dict[tuple[bytes, str], asyncio.Task[Account]] = {}
        self._changes = 0
        self._guessing = Guessing(clock)
        self._async_cookies = AsyncCookies(now)
        self._hashing = ThreadPoolExecutor(HASHING_MAX, thread_name_prefix="password")
        self._turns = asyncio.Semaphore(HASHING_MAX)
        self._unmatchable_hash = unmatchable_hash()

    async def authenticate(self, authorization: str | None, address: str) -> Account:
        """Whose request this is, by its Authorization header; Basic only.

        Raises `LoginRefused`, or `TooManyAttempts` for this email or address.
        """
        if authorization is None or len(authorization) > HEADER_LENGTH_MAX:
            raise LoginRefused
        digest = self._digest(authorization)
        login = self._remembered.get(digest)
        if login is not None and self._clock() < login.until:
            return login.account
        credentials = parse_basic(authorization)
        if credentials is None:
            raise LoginRefused
        return await self._verified(credentials, address, digest)

    def new_async_cookie(self, account: Account) -> str:
        """The value of a cookie by which this account can open a websocket, for two minutes."""
        return self._async_cookies.make(account.uuid)

    async def account_of_async_cookie(self, value: str) -> Account:
        """Whose cookie this is. Raises `LoginRefused` if it is bad, old, or of nobody any more."""
        uuid = self._async_cookies.read(value)
        stored = await self._exclusive(lambda c: table.find_by_uuid(c, uuid))
        if stored is None:
            raise LoginRefused
        return account_of(stored)

    async def add(self, email: str, password: str, role: str = "user") -> Account:
        """Makes an account; durable on return. Raises `InvalidAccount` or `EmailTaken`."""
        account = Account(self._new_id(), normal_email(email), checked_role(role))
        password_hash = await self._hash(normal_password(password))
        add = functools.partial(
            table.add,
            uuid=account.uuid,
            email=account.email,
            role=account.role,
            password_hash=password_hash,
            created=self._now(),
        )
        if not await self._exclusive(add):
            raise EmailTaken(f"there is an account {account.email} already")
        return account

    async def set_password(self, email: str, password: str) -> None:
        """Replaces a password; logins with the old one have ended on return.

        Raises `InvalidAccount` or `AccountNotFound`.
        """
        email = normal_email(email)
        password_hash = await self._hash(normal_password(password))
        uuid = await self._exclusive(lambda c: table.set_password(c, email, password_hash))
        self._changed(email, uuid)

    async def remove(self, email: str) -> None:
        """Removes an account; its logins have ended on return. Raises `AccountNotFound`."""
        email = normal_email(email)
        uuid = await self._exclusive(lambda c: table.remove(c, email))
        self._changed(email, uuid)

    async def every(self) -> list[Account]:
        """All accounts, oldest first."""
        return [account_of(stored) for stored in await self._exclusive(table.every)]

    def close(self) -> None:
        """Takes no more logins; those under way end by themselves."""
        self._hashing.shutdown(wait=False, cancel_futures=True)

    # Logging in

    def _digest(self, authorization: str) -> bytes:
        # Header values may hold lone surrogates: aiohttp's form of bytes that are not UTF-8.
        value = authorization.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(value, key=self._key, digest_size=32).digest()

    async def _verified(self, credentials: Credentials, address: str, digest: bytes) -> Account:
        """Verifies once for all requests that come with the same header at the same time.

        It goes on when one of them is cancelled.
        """
        verifying = self._verifying.get((digest, address))
        if verifying is None:
            self._guessing.check(credentials.email, address)
            if len(self._verifying) >= WAITING_MAX:
                raise TooManyAttempts(WAITING_RETRY_S)
            verifying = asyncio.create_task(self._verify(credentials, address, digest))
            self._verifying[digest, address] = verifying
            verifying.add_done_callback(lambda task: self._ended(digest, address, task))
        return await asyncio.shield(verifying)

    def _ended(self, digest: bytes, address: str, verifying: asyncio.Task[Account]) -> None:
        del self._verifying[digest, address]
        if not verifying.cancelled():
            verifying.exception()  # seen, even if everybody who waited for it is gone

    async def _verify(self, credentials: Credentials, address: str, digest: bytes) -> Account:
        async with self._turns:
            # Again, now that it is its turn: meanwhile others may have failed.
            self._guessing.check(credentials.email, address)
            changes = self._changes
            stored = await self._exclusive(lambda c: table.find(c, credentials.email))
            password_hash = stored.password_hash if stored else self._unmatchable_hash
            right = await self._in_thread(
                functools.partial(is_password, credentials.password, password_hash)
            )
            if stored is None or not right:
                self._guessing.note(credentials.email, address)
                log.info("wrong login from %s", address)
                raise LoginRefused
        account = account_of(stored)
        if changes == self._changes:
            self._remember(digest, account)
        return account

    def _remember(self, digest: bytes, account: Account) -> None:
        self._remembered.pop(digest, None)
        self._remembered[digest] = _Login(account, self._clock() + REMEMBERED_S)
        if len(self._remembered) > REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]

    def _changed(self, email: str, uuid: str | None) -> None:
        """Ends the logins of an account, also of those that are just being verified."""
        if uuid is None:
            raise AccountNotFound(f"there is no account {email}")
        self._changes += 1
        self._guessing.pardon(email)
        self._remembered = {
            digest: login
            for digest, login in self._remembered.items()
            if login.account.uuid != uuid
        }

    # Waiting for others without blocking the loop

    async def _hash(self, password: str) -> str:
        async with self._turns:
            return await self._in_thread(functools.partial(hash_password, password))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._hashing, work)

    def _exclusive(self, work: Callable[[Cursor], T]) -> Awaitable[T]:
        # Shielded: a request that is cancelled must not cancel the writer's work under its hands.
        return asyncio.shield(asyncio.wrap_future(self._ledger.exclusive(work)))
