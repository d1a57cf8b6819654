import asyncio

import pytest

import api.accounts.passwords
from api.accounts.service import Accounts, LoginRefused, TooManyAttempts
from api.accounts.throttle import ACCOUNT_FAILURES, ADDRESS_FAILURES, WINDOW_S, FailureWindow

EMAIL = "ada@example.test"
PASSWORD = "correct horse"

pytestmark = pytest.mark.usefixtures("quick_hashing")


async def _guess(
    accounts: Accounts, basic, times: int, email: str = EMAIL, address: str = ""
) -> None:
    for n in range(times):
        with pytest.raises(LoginRefused):
            await accounts.authenticate(basic(email, f"wrong one {n}"), address or f"10.0.0.{n}")


async def test_guessing_at_an_account_ends(accounts: Accounts, basic, clock) -> None:
    """After so many failures not even the right password is tried, until the window has passed."""
    await accounts.add(EMAIL, PASSWORD)
    await _guess(accounts, basic, ACCOUNT_FAILURES)
    clock.s += 100
    with pytest.raises(TooManyAttempts) as refused:
        await accounts.authenticate(basic(EMAIL, PASSWORD), "10.9.9.9")
    assert refused.value.retry_after_s == WINDOW_S - 100
    clock.s += refused.value.retry_after_s
    assert await accounts.authenticate(basic(EMAIL, PASSWORD), "10.9.9.9")


async def test_unknown_emails_are_limited_alike(accounts: Accounts, basic) -> None:
    """The limit does not tell which emails exist."""
    await _guess(accounts, basic, ACCOUNT_FAILURES, email="nobody@example.test")
    with pytest.raises(TooManyAttempts):
        await accounts.authenticate(basic("nobody@example.test", PASSWORD), "10.9.9.9")


async def test_guessing_from_an_address_ends(accounts: Accounts, basic) -> None:
    """One address cannot try many accounts; others are not disturbed."""
    await accounts.add(EMAIL, PASSWORD)
    for n in range(ADDRESS_FAILURES):
        await _guess(accounts, basic, 1, email=f"user{n}@example.test", address="10.0.0.1")
    with pytest.raises(TooManyAttempts):
        await accounts.authenticate(basic(EMAIL, PASSWORD), "10.0.0.1")
    assert await accounts.authenticate(basic(EMAIL, PASSWORD), "10.0.0.2")


async def test_remembered_logins_are_not_affected(accounts: Accounts, basic) -> None:
    """Nobody can lock out those who are logged in already."""
    await accounts.add(EMAIL, PASSWORD)
    added = await accounts.authenticate(basic(EMAIL, PASSWORD), "10.9.9.9")
    await _guess(accounts, basic, ACCOUNT_FAILURES)
    assert await accounts.authenticate(basic(EMAIL, PASSWORD), "10.9.9.9") == added


async def test_window_slides(accounts: Accounts, basic, clock) -> None:
    """Failures count for their window only."""
    await accounts.add(EMAIL, PASSWORD)
    await _guess(accounts, basic, ACCOUNT_FAILURES - 1)
    clock.s += WINDOW_S
    await _guess(accounts, basic, ACCOUNT_FAILURES - 1)
    assert await accounts.authenticate(basic(EMAIL, PASSWORD), "10.9.9.9")


async def test_guesses_at_the_same_time_count(accounts: Accounts, basic) -> None:
    """A burst of different guesses gets no further than one after the other, but for one."""
    await accounts.add(EMAIL, PASSWORD)
    guesses = [accounts.authenticate(basic(EMAIL, f"wrong one {n}"), "") for n in range(60)]
    refused = await asyncio.gather(*guesses, return_exceptions=True)
    tried = sum(isinstance(error, LoginRefused) for error in refused)
    assert ACCOUNT_FAILURES <= tried <= ACCOUNT_FAILURES + 1
    assert all(isinstance(error, LoginRefused | TooManyAttempts) for error in refused)


async def test_new_password_pardons(accounts: Accounts, basic) -> None:
    """A new password lets its owner in although the old one was guessed at."""
    await accounts.add(EMAIL, PASSWORD)
    await _guess(accounts, basic, ACCOUNT_FAILURES)
    await accounts.set_password(EMAIL, "another horse")
    assert await accounts.authenticate(basic(EMAIL, "another horse"), "10.9.9.9")


async def test_waiting_is_bounded(accounts: Accounts, basic, monkeypatch) -> None:
    """More logins than can wait are told to come back, and nothing is hashed for them."""
    monkeypatch.setattr(api.accounts.passwords, "WAITING_MAX", 5)
    logins = [accounts.authenticate(basic(f"a{n}@b.test", PASSWORD), "") for n in range(9)]
    refused = await asyncio.gather(*logins, return_exceptions=True)
    assert [type(error) for error in refused] == [LoginRefused] * 5 + [TooManyAttempts] * 4


def test_memory_of_failures_is_bounded(clock) -> None:
    """The key that failed longest ago is forgotten first."""
    window = FailureWindow(1, clock=clock, keys_max=2)
    for key in ("a", "b", "a", "c"):
        window.note(key)
    assert [window.wait_s(key) > 0 for key in "abc"] == [True, False, True]
