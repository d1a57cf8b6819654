"""Keys for what is signed for minutes: the same for all who have the ledger, and none for long."""

import asyncio
from datetime import timedelta

import pytest

from api.accounts.login_cache import LoginCache
from api.accounts.service import Accounts
from api.accounts.signing_keys import HOUR_S
from ledger.domain.errors.store import StoreFull
from ledger.store.tables import signing_keys as table
from tests.accounts.clocks import Clock, Wall
from tests.accounts.conftest import OpenAccounts


def stored(accounts: Accounts) -> dict[int, bytes]:
    return accounts._tables._ledger.read(table.every)


def hour_of(wall: Wall) -> int:
    return int(wall().timestamp()) // HOUR_S


async def test_who_opens_the_ledger_has_the_same_keys(open_accounts: OpenAccounts) -> None:
    """Also after a restart: what was signed before is good."""
    async with open_accounts() as accounts:
        ada = await accounts.add("ada@example.test", "correct horse")
        cookie = await accounts.new_async_cookie(ada)
    async with open_accounts() as again:
        assert await again.account_of_async_cookie(cookie) == ada


async def test_a_key_is_made_when_it_is_needed(accounts: Accounts, wall: Wall) -> None:
    """Once in each hour; what was signed in the hour before is still good."""
    ada = await accounts.add("ada@example.test", "correct horse")
    assert stored(accounts) == {}
    wall.move(timedelta(minutes=44))
    cookies = [await accounts.new_async_cookie(ada) for _ in range(2)]
    assert [*stored(accounts)] == [hour_of(wall)]
    wall.move(timedelta(minutes=1))
    assert await accounts.account_of_async_cookie(cookies[0]) == ada
    cookies.append(await accounts.new_async_cookie(ada))
    assert [*stored(accounts)] == [hour_of(wall) - 1, hour_of(wall)]
    assert len(set(stored(accounts).values())) == 2
    for cookie in cookies:
        assert await accounts.account_of_async_cookie(cookie) == ada


async def test_whatever_others_have_made_is_found(
    accounts: Accounts, wall: Wall, clock: Clock
) -> None:
    """Two sign at the same moment, and have the same key."""
    ledger = accounts._tables._ledger
    other = Accounts(ledger, now=wall, new_id=lambda: "none", clock=clock)
    ada = await accounts.add("ada@example.test", "correct horse")
    cookies = await asyncio.gather(accounts.new_async_cookie(ada), other.new_async_cookie(ada))
    for reader in (accounts, other):
        for cookie in cookies:
            assert await reader.account_of_async_cookie(cookie) == ada
    assert len(stored(accounts)) == 1
    other.close()


async def test_old_keys_go(accounts: Accounts, wall: Wall) -> None:
    """Who has a copy of what is kept can sign nothing with it some hours later."""
    for _ in range(3):
        await accounts.keys.provide()
        wall.move(timedelta(hours=1))
    assert await accounts.keys.expire() == 2
    assert [*stored(accounts)] == [hour_of(wall) - 1]
    assert accounts.keys(hour_of(wall) - 2) is None


@pytest.mark.parametrize("hours", [3, 24 * 365, -3, -24 * 365])
async def test_a_leap_of_the_clock_keeps_nobody_out(
    accounts: Accounts, wall: Wall, hours: int
) -> None:
    """What is signed right after it is good at once; nothing is left that could be used later."""
    ada = await accounts.add("ada@example.test", "correct horse")
    await accounts.new_async_cookie(ada)
    wall.move(timedelta(hours=hours))
    cookies = await asyncio.gather(*(accounts.new_async_cookie(ada) for _ in range(3)))
    for cookie in cookies:
        assert await accounts.account_of_async_cookie(cookie) == ada
    assert await accounts.keys.expire() == 1
    assert [*stored(accounts)] == [hour_of(wall)]
    assert await accounts.account_of_async_cookie(cookies[0]) == ada


async def test_without_a_key_nothing_is_signed(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no room to make one; nobody is locked out by it later."""

    def full(_: object) -> None:
        raise StoreFull

    ada = await accounts.add("ada@example.test", "correct horse")
    with monkeypatch.context() as patch:
        patch.setattr(accounts._tables._ledger._writer._store, "exclusive", full)
        with pytest.raises(StoreFull):
            await accounts.new_async_cookie(ada)
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
