"""The cookie that opens a websocket: tests/contract/CONTRACT.md 4.5."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.accounts.service import Account, Accounts, LoginRefused
from api.accounts.signing_keys import HOUR_S
from api.accounts.websocket_cookie import VALID_S, AsyncCookies, CookieHolder
from tests.accounts.clocks import Wall

ACCOUNT = "f3ebf024-0c96-4929-9a1c-210feb673958"
ENTITLED = CookieHolder(ACCOUNT, 7)


def cookies_of(wall: Wall) -> AsyncCookies:
    """With another key in each hour."""
    return AsyncCookies(wall, lambda hour: b"a key of hour %d" % hour)


def test_a_cookie_has_the_documented_form() -> None:
    """Account, unix time and hex, with bars between them and nothing that a cookie must quote."""
    account, time, mac = cookies_of(Wall()).make(ENTITLED).split("|")
    assert (account, time) == (f"{ACCOUNT}.7", str(int(Wall().at.timestamp())))
    assert len(bytes.fromhex(mac)) == 32


def test_a_cookie_is_good_for_two_minutes() -> None:
    """From the second it is made in up to 120 s later, not before and not after."""
    wall = Wall()
    made = wall.at
    cookies = cookies_of(wall)
    value = cookies.make(ENTITLED)
    for later_s, good in ((0, True), (VALID_S, True), (VALID_S + 1, False), (-1, False)):
        wall.at = made + timedelta(seconds=later_s)
        if good:
            assert cookies.read(value) == ENTITLED
        else:
            with pytest.raises(LoginRefused):
                cookies.read(value)


def test_no_cookie_can_be_made_out_of_another() -> None:
    """A changed account, time or hmac, or a cookie of another service, is refused."""
    cookies = cookies_of(Wall())
    account, time, mac = cookies.make(ENTITLED).split("|")
    changed = "0" if mac[0] != "0" else "1"
    for value in (
        f"{account[:-1]}1|{time}|{mac}",
        f"{account[1:]}|{time}|{mac}",
        f"{account}|{int(time) + 1}|{mac}",
        f"{account}|{time}|{changed}{mac[1:]}",
        f"{account}|{time}|{mac[:-1]}",
        f"{account}|{time}|",
        AsyncCookies(Wall(), lambda _hour: b"another's").make(ENTITLED),
    ):
        with pytest.raises(LoginRefused):
            cookies.read(value)


def test_a_cookie_is_good_beyond_its_hour() -> None:
    """It is verified by the key of the hour in which it was made."""
    wall = Wall()
    wall.at = wall.at.replace(minute=59, second=59)
    value = cookies_of(wall).make(ENTITLED)
    wall.at += timedelta(seconds=60)
    assert cookies_of(wall).read(value) == ENTITLED
    assert int(wall.at.timestamp()) // HOUR_S != int(value.split("|")[1]) // HOUR_S


anything = st.text(st.one_of(st.sampled_from("|0123456789abcdef-"), st.characters()))


@given(st.one_of(anything, st.text(st.characters(exclude_categories=[]))))
def test_any_other_value_is_a_refusal(value: str) -> None:
    """No header's value is an error."""
    with pytest.raises(LoginRefused):
        cookies_of(Wall()).read(value)


async def test_a_cookie_is_of_an_account_that_is_there(accounts: Accounts) -> None:
    """The account is found as it is now; one that has been removed is refused."""
    ada = await accounts.add("ada@example.test", "correct horse", "auditor")
    value = await accounts.new_async_cookie(ada)
    assert await accounts.account_of_async_cookie(value) == ada
    await accounts.remove(ada.email)
    nobody = await accounts.new_async_cookie(Account(ACCOUNT, "nobody@example.test", "user"))
    for gone in (value, nobody, "nonsense"):
        with pytest.raises(LoginRefused):
            await accounts.account_of_async_cookie(gone)
