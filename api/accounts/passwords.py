"""Verifying passwords: few at once, each login once, and guesses are limited.

Hashing is slow by design, so threads do it; and when the same login arrives many times at once, it
is verified once for all of them.
"""

import asyncio
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from api.accounts.account import Account, LoginRefused, account_of
from api.accounts.credentials import Credentials, hash_password, is_password, unmatchable_hash
from api.accounts.throttle import LoginThrottle, TooManyAttempts
from api.data.private_tables import PrivateTables
from ledger.store.tables import accounts as table

T = TypeVar("T")

HASHING_MAX = 2
"""Hashes computed at once; each takes 64 MiB and some cores for a tenth of a second."""
WAITING_MAX = 256
"""Logins that wait to be hashed; any more are refused, and may try again later."""
WAITING_RETRY_S = 5

log = logging.getLogger(__name__)


class VerifiedLogin(NamedTuple):
    """An account, and the version of its password that matched: there may be a newer one by now."""

    account: Account
    password_version: int


class _Login(NamedTuple):
    """A login that is verified once. After a change of passwords it counts as another one."""

    credentials: Credentials
    address: str
    changes: int


class Passwords:
    """Hashes and verifies passwords. For one event loop, which it never blocks."""

    def __init__(self, tables: PrivateTables, throttle: LoginThrottle) -> None:
        self._tables = tables
        self._throttle = throttle
        self._verifying: dict[_Login, asyncio.Task[VerifiedLogin]] = {}
        self._changes = 0
        self._threads = ThreadPoolExecutor(HASHING_MAX, thread_name_prefix="password")
        self._turns = asyncio.Semaphore(HASHING_MAX)
        self._unmatchable_hash = unmatchable_hash()

    async def verify(self, credentials: Credentials, address: str) -> VerifiedLogin:
        """Raise `LoginRefused`, or `TooManyAttempts` for this email or address.

        The verification goes on if a request that waits for it is cancelled.
        """
        login = _Login(credentials, address, self._changes)
        verifying = self._verifying.get(login)
        if verifying is None:
            self._throttle.check(address, credentials.email)
            if len(self._verifying) >= WAITING_MAX:
                raise TooManyAttempts(WAITING_RETRY_S)
            verifying = asyncio.create_task(self._verify(credentials, address))
            self._verifying[login] = verifying
            verifying.add_done_callback(lambda task: self._forget(login, task))
        return await asyncio.shield(verifying)

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await self._in_thread(functools.partial(hash_password, password))

    def note_change(self, email: str) -> None:
        """Note that the password of this email was changed or removed: earlier guesses are void."""
        self._changes += 1
        self._throttle.pardon(email)

    def note_change_elsewhere(self) -> None:
        """Note that some password may have changed: verify logins anew from now on."""
        self._changes += 1

    def close(self) -> None:
        """Take no more passwords; those under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _forget(self, login: _Login, verifying: asyncio.Task[VerifiedLogin]) -> None:
        del self._verifying[login]
        if not verifying.cancelled():
            verifying.exception()  # retrieve it, even if nothing waits for it any more

    async def _verify(self, credentials: Credentials, address: str) -> VerifiedLogin:
        async with self._turns:
            # Check again: while this one waited, others may have failed.
            self._throttle.check(address, credentials.email)
            stored = await self._tables.read(lambda c: table.find(c, credentials.email))
            password_hash = stored.password_hash if stored else self._unmatchable_hash
            matches = await self._in_thread(
                functools.partial(is_password, credentials.password, password_hash)
            )
            if stored is None or not matches:
                self._throttle.note(address, credentials.email)
                log.info("wrong login from %s", address)
                raise LoginRefused
        return VerifiedLogin(account_of(stored), stored.password_version)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
