"""Verifying passwords: few at once, each login once, and guesses cost the guesser.

Hashing is slow by design, so threads do it; and when the same login arrives many times at once, it
is verified once for all of them.
"""

import asyncio
import functools
import logging
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from api.accounts import places
from api.accounts.account import Account, LoginRefused, account_of
from api.accounts.credentials import Credentials, hash_password, is_password, unmatchable_hash
from api.accounts.hashing import Hashing
from api.accounts.meter import LoginMeter
from api.accounts.places import Client, Located
from api.accounts.throttle import KNOWN, QueueFull, Rank, Throttle, TooManyAttempts
from api.data.private_tables import PrivateTables
from ledger.domain.errors.store import StoreFailed
from ledger.store.tables.accounts import StoredAccount

log = logging.getLogger(__name__)


class VerifiedLogin(NamedTuple):
    """An account, and the version of its password that matched: there may be a newer one by now."""

    account: Account
    password_version: int
    device: str
    """The cookie by which the client's device is known from now on."""


class _Login(NamedTuple):
    """A login that is verified once. After a change of passwords it counts as another one."""

    credentials: Credentials
    client: Client
    changes: int


class Passwords:
    """Hashes and verifies passwords. For one event loop, which it never blocks."""

    def __init__(
        self,
        tables: PrivateTables,
        throttle: Throttle,
        hashing: Hashing,
        meter: LoginMeter,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._tables = tables
        self._throttle = throttle
        self._hashing = hashing
        self._meter = meter
        self._now = now
        self._verifying: dict[_Login, asyncio.Task[VerifiedLogin]] = {}
        self._changes = 0
        self._unmatchable_hash = unmatchable_hash()

    async def verify(self, credentials: Credentials, client: Client) -> VerifiedLogin:
        """Raise `LoginRefused`, or `TooManyAttempts` for this place.

        The verification continues if a request that waits for it is cancelled.
        """
        login = _Login(credentials, client, self._changes)
        verifying = self._verifying.get(login)
        if verifying is None:
            verifying = asyncio.create_task(self._verify(credentials, client))
            self._verifying[login] = verifying
            verifying.add_done_callback(lambda task: self._forget(login, task))
        return await asyncio.shield(verifying)

    async def hash(self, password: str) -> str:
        async with self._hashing.turn(lambda: KNOWN, ""):
            return await self._hashing.in_thread(functools.partial(hash_password, password))

    def note_change(self) -> None:
        """Note that some password may have changed: verify logins anew from now on."""
        self._changes += 1

    def close(self) -> None:
        """Take no more passwords; those under way end by themselves."""
        self._hashing.close()

    def _forget(self, login: _Login, verifying: asyncio.Task[VerifiedLogin]) -> None:
        del self._verifying[login]
        if not verifying.cancelled():
            verifying.exception()  # retrieve it, even if nothing waits for it any more

    async def _verify(self, credentials: Credentials, client: Client) -> VerifiedLogin:
        located = await self._tables.read(
            lambda c: places.locate(c, credentials.email, client, self._now())
        )
        try:
            stored = await self._match(credentials, located)
        except TooManyAttempts as error:
            rank = self._throttle.rank_of(located.place)
            self._meter.note(
                rank.place_class, "dropped" if isinstance(error, QueueFull) else "delayed"
            )
            raise
        if stored is None:
            log.info("wrong login from %s", client.address)
            raise LoginRefused
        if not located.is_recorded:
            await self._record(stored, client)
        device = places.device_of(stored, client)
        return VerifiedLogin(account_of(stored), stored.password_version, device)

    async def _match(self, credentials: Credentials, located: Located) -> StoredAccount | None:
        """Return the account if the password is its own. Raise `TooManyAttempts`."""
        stored, place = located.stored, located.place
        password_hash = stored.password_hash if stored else self._unmatchable_hash
        admit = functools.partial(self._throttle.admit, place)
        async with self._hashing.turn(admit, place.network) as rank:
            matches = await self._hashing.in_thread(
                functools.partial(is_password, credentials.password, password_hash)
            )
            # Before the turn ends: the next one is admitted by what is counted.
            is_right = stored is not None and matches
            self._note(located, rank, is_right=is_right)
        return stored if is_right else None

    def _note(self, located: Located, rank: Rank, *, is_right: bool) -> None:
        self._meter.note(rank.place_class, "right" if is_right else "wrong")
        if is_right:
            self._throttle.note_right(located.place)
        else:
            self._throttle.note_wrong(located.place, rank)

    async def _record(self, stored: StoredAccount, client: Client) -> None:
        """Record the place; a login does not fail because that fails."""
        try:
            await self._tables.write(lambda c: places.record(c, stored, client, self._now()))
        except StoreFailed as error:
            log.warning("a known place was not recorded: %s", error)
