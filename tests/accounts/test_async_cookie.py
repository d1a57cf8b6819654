"""The cookie that opens a websocket: contract 4.5."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.accounts import Account, Accounts, LoginRefused
from api.async_cookie import VALID_S, AsyncCookies
from tests.accounts.clocks import Wall

ACCOUNT = "f3ebf024-0c96-4929-9a1c-210feb673958"


def test_a_cookie_has_the_documented_form() -> None:
    """Account, unix time and hex, with bars between them and nothing that a cookie must quote."""
    account, time, mac = AsyncCookies(Wall()).make(ACCOUNT).split("|")
    assert (account, time) == (f"{ACCOUNT}.0", str(int(Wall().at.timestamp())))
    assert len(bytes.fromhex(mac)) == 32


def test_a_cookie_is_good_for_two_minutes() -> None:
    """From the second it is made in up to 120 s later, not before and not after."""
    wall = Wall()
    made = wall.at
    cookies = AsyncCookies(wall)
    value = cookies.make(ACCOUNT)
    for later_s, good in ((0, True), (VALID_S, True), (VALID_S + 1, False), (-1, False)):
        wall.at = made + timedelta(seconds=later_s)
        if good:
            assert cookies.read(value) == ACCOUNT
        else:
            with pytest.raises(LoginRefused):
                cookies.read(value)


def test_no_cookie_can_be_made_out_of_another() -> None:
    """A changed account, time or hmac, or a cookie of another process, is refused."""
    cookies = AsyncCookies(Wall())
    account, time, mac = cookies.make(ACCOUNT).split("|")
    changed = "0" if mac[0] != "0" else "1"
    for value in (
        f"{account[:-1]}1|{time}|{mac}",
        f"{account[1:]}|{time}|{mac}",
        f"{account}|{int(time) + 1}|{mac}",
        f"{account}|{time}|{changed}{mac[1:]}",
        f"{account}|{time}|{mac[:-1]}",
        f"{account}|{time}|",
        AsyncCookies(Wall()).make(ACCOUNT),
    ):
        with pytest.raises(LoginRefused):
            cookies.read(value)


def test_the_cookies_of_an_account_end_with_its_logins() -> None:
    """Those made before are refused; later ones, and those of others, are good."""
    cookies = AsyncCookies(Wall())
    before, others = cookies.make(ACCOUNT), cookies.make("another")
    cookies.end_all_of(ACCOUNT)
    with pytest.raises(LoginRefused):
        cookies.read(before)
    assert cookies.read(cookies.make(ACCOUNT)) == ACCOUNT
    assert cookies.read(others) == "another"


anything = st.text(st.one_of(st.sampled_from("|0123456789abcdef-"), st.characters()))


@given(st.one_of(anything, st.text(st.characters(exclude_categories=[]))))
def test_any_other_value_is_a_refusal(value: str) -> None:
    """No header's value is an error."""
    with pytest.raises(LoginRefused):
        AsyncCookies(Wall()).read(value)


@pytest.mark.usefixtures("quick_hashing")
async def test_a_cookie_is_of_an_account_that_is_there(accounts: Accounts) -> None:
    """The account is found as it is now; one that has been removed is refused."""
    ada = await accounts.add("ada@example.test", "correct horse", "auditor")
    value = accounts.new_async_cookie(ada)
    assert await accounts.account_of_async_cookie(value) == ada
    await accounts.remove(ada.email)
    nobody = accounts.new_async_cookie(Account(ACCOUNT, "nobody@example.test", "user"))
    for gone in (value, nobody, "nonsense"):
        with pytest.raises(LoginRefused):
            await accounts.account_of_async_cookie(gone)
