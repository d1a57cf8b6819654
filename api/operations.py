"""What can be asked of a ledger besides HTTP: written once, whoever has the ledger open."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from api.accounts import Account, AccountNotFound, Accounts, EmailTaken, InvalidAccount
from ledger.application import Ledger
from ledger.errors import StoreFailed, UnknownEvent
from projections.rebuild import AlreadyRebuilding, Rebuilt, rebuild

Report = Callable[[int, int], None]
"""Told how many of how many events are done; may be called in any thread."""


class OperationRefused(Exception):
    """The operation was not done, for a reason that is told to whoever asked."""


class Operations(Protocol):
    """What can be asked of a ledger, whoever has it open. Each raises `OperationRefused`."""

    async def add_account(self, email: str, password: str, role: str) -> Account:
        """Makes an account."""

    async def set_password(self, email: str, password: str) -> None:
        """Replaces the password of an account and ends its logins."""

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

    async def rebuild(self, report: Report) -> Rebuilt:
        with _refusals():
            return await asyncio.to_thread(rebuild, self._ledger, report)


@contextmanager
def _refusals() -> Iterator[None]:
    expected = (InvalidAccount, EmailTaken, AccountNotFound, AlreadyRebuilding, UnknownEvent)
    try:
        yield
    except (*expected, StoreFailed) as error:
        raise OperationRefused(str(error)) from error
