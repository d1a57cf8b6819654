"""Keys for what is signed for minutes: the same for all who have the ledger, and none for long."""

from datetime import timedelta

import pytest

from api.accounts.login_cache import LoginCache
from api.accounts.service import Accounts
from api.accounts.signing_keys import AHEAD, HOUR_S
from ledger.domain.errors import StoreUnreachable
from tests.accounts.clocks import Clock, Wall
from tests.accounts.conftest import OpenAccounts


def hour_of(wall: Wall) -> int:
    return int(wall().timestamp()) // HOUR_S


async def test_who_opens_the_ledger_has_the_same_keys(open_accounts: OpenAccounts) -> None:
    """Also after a restart: what was signed before is good."""
    async with open_accounts() as accounts:
        ada = await accounts.add("ada@example.test", "correct horse")
        cookie = await accounts.new_async_cookie(ada)
    async with open_accounts() as again:
        assert await again.account_of_async_cookie(cookie) == ada


async def test_old_keys_go(accounts: Accounts, wall: Wall) -> None:
    """Who has a copy of what is kept can sign nothing with it some hours later."""
    first = hour_of(wall)
    kept = [accounts.keys(hour) for hour in range(first, first + AHEAD + 1)]
    assert None not in kept
    assert len(set(kept)) == len(kept)
    wall.move(timedelta(hours=AHEAD + 1))
    assert await accounts.keys.renew() == AHEAD
    assert accounts.keys(first) is None
    assert accounts.keys(hour_of(wall)) not in kept


async def test_without_a_key_nothing_is_signed(accounts: Accounts, wall: Wall) -> None:
    """After a leap of the clock, until the keys are renewed."""
    ada = await accounts.add("ada@example.test", "correct horse")
    wall.move(timedelta(hours=AHEAD + 1))
    with pytest.raises(StoreUnreachable):
        await accounts.new_async_cookie(ada)
    await accounts.keys.renew()
    assert await accounts.account_of_async_cookie(await accounts.new_async_cookie(ada)) == ada


def test_what_may_have_ended_is_not_remembered(clock: Clock) -> None:
    """As long as nobody is sure; then it is again."""
    sure = True
    remembered: LoginCache[str] = LoginCache(clock, lambda: sure)
    remembered.add(b"login", "ada", account="ada", since=remembered.removals)
    assert remembered.find(b"login") == "ada"
    sure = False
    assert remembered.find(b"login") is None
    sure = True
    assert remembered.find(b"login") == "ada"
