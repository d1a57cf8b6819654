"""What can be asked of a ledger besides HTTP: written once, whoever has the ledger open."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from api.accounts import Account, Accounts
from api.tokens import NewToken
from ledger.application import Ledger
from ledger.errors import Expected
from ledger.store.tokens import StoredToken
from projections.rebuild import Rebuilt, rebuild

Report = Callable[[int, int], None]
"""Told how many of how many events are done; may be called in any thread."""


class OperationRefused(Expected):
    """The operation was not done, for a reason that is told to whoever asked."""


class Operations(Protocol):
    """What can be asked of a ledger, whoever has it open. Each raises `OperationRefused`."""

    async def add_account(self, email: str, password: str, role: str) -> Account:
        """Makes an account."""

    async def set_password(self, email: str, password: str) -> None:
        """Replaces the password of an account and ends its logins."""

    async def add_token(self, email: str, name: str) -> NewToken:
        """Makes a bearer token of an account."""

    async def tokens(self, email: str | None) -> list[StoredToken]:
        """The tokens of an account, or all."""

    async def remove_token(self, token_id: str) -> None:
        """Removes a token, which ends its logins."""

    async def rebuild(self, report: Report) -> Rebuilt:
        """Builds the read models anew."""


class OwnOperations:
    """The operations on a ledger that this process has open."""

    def __init__(self, ledger: Ledger, accounts: Accounts) -> None:
        self._ledger = ledger
        self._accounts = accounts

    async def add_account(self, email: str, password: str, role: str) -> Account:
        with _refusals():
            return await self._accounts.add(email, password, role)

    async def set_password(self, email: str, password: str) -> None:
        with _refusals():
            await self._accounts.set_password(email, password)

    async def add_token(self, email: str, name: str) -> NewToken:
        with _refusals():
            return await self._accounts.tokens.add(email, name)

    async def tokens(self, email: str | None) -> list[StoredToken]:
        with _refusals():
            return await self._accounts.tokens.every(email)

    async def remove_token(self, token_id: str) -> None:
        with _refusals():
            await self._accounts.tokens.remove(token_id)

    async def rebuild(self, report: Report) -> Rebuilt:
        with _refusals():
            return await asyncio.to_thread(rebuild, self._ledger, report)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except Expected as error:
        raise OperationRefused(str(error)) from error
