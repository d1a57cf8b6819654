"""Verifying passwords: few at once, each login once, and no guessing.

Hashing is slow by design, so it is done in threads, and the same login that comes many times at
once is verified once for all of them.
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
from api.data.private_tables import PlainTables
from ledger.store.tables import accounts as table

T = TypeVar("T")

HASHING_MAX = 2
"""Hashes computed at once; each takes 64 MiB and some cores for a tenth of a second."""
WAITING_MAX = 256
"""Logins that wait for their turn to be hashed; more are told to come back."""
WAITING_RETRY_S = 5

log = logging.getLogger(__name__)


class Verified(NamedTuple):
    """An account, and which of its passwords was right: there may be a newer one by now."""

    account: Account
    password_version: int


class _Login(NamedTuple):
    """What is verified once. After a change of passwords the same login is another one."""

    credentials: Credentials
    address: str
    changes: int


class Passwords:
    """Hashes and verifies. For one event loop; nothing here blocks it."""

    def __init__(self, tables: PlainTables, guessing: LoginThrottle) -> None:
        self._tables = tables
        self._guessing = guessing
        self._verifying: dict[_Login, asyncio.Task[Verified]] = {}
        self._changes = 0
        self._threads = ThreadPoolExecutor(HASHING_MAX, thread_name_prefix="password")
        self._turns = asyncio.Semaphore(HASHING_MAX)
        self._unmatchable_hash = unmatchable_hash()

    async def verified(self, credentials: Credentials, address: str) -> Verified:
        """Raises `LoginRefused`, or `TooManyAttempts` for this email or address.

        The verification goes on when one of those who wait for it is cancelled.
        """
        login = _Login(credentials, address, self._changes)
        verifying = self._verifying.get(login)
        if verifying is None:
            self._guessing.check(address, credentials.email)
            if len(self._verifying) >= WAITING_MAX:
                raise TooManyAttempts(WAITING_RETRY_S)
            verifying = asyncio.create_task(self._verify(credentials, address))
            self._verifying[login] = verifying
            verifying.add_done_callback(lambda task: self._ended(login, task))
        return await asyncio.shield(verifying)

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await self._in_thread(functools.partial(hash_password, password))

    def changed(self, email: str) -> None:
        """There is another password for this email, or none: what was guessed counts no more."""
        self._changes += 1
        self._guessing.pardon(email)

    def changed_elsewhere(self) -> None:
        """Somebody may have another password: whoever logs in from now on is verified by it."""
        self._changes += 1

    def close(self) -> None:
        """Takes no more passwords; those under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self, login: _Login, verifying: asyncio.Task[Verified]) -> None:
        del self._verifying[login]
        if not verifying.cancelled():
            verifying.exception()  # seen, even if everybody who waited for it is gone

    async def _verify(self, credentials: Credentials, address: str) -> Verified:
        async with self._turns:
            # Again, now that it is its turn: meanwhile others may have failed.
            self._guessing.check(address, credentials.email)
            stored = await self._tables.read(lambda c: table.find(c, credentials.email))
            password_hash = stored.password_hash if stored else self._unmatchable_hash
            right = await self._in_thread(
                functools.partial(is_password, credentials.password, password_hash)
            )
            if stored is None or not right:
                self._guessing.note(address, credentials.email)
                log.info("wrong login from %s", address)
                raise LoginRefused
        return Verified(account_of(stored), stored.password_version)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
