"""Sessions: tests/contract/CONTRACT.md 4.1."""

import asyncio
from datetime import timedelta

import pytest

import api.accounts.login_cache
import api.accounts.sessions
from api.accounts.login_cache import CACHED_S
from api.accounts.service import Account, Accounts, LoginRefused
from api.accounts.sessions import VALID_FOR, NewSession
from tests.accounts.calling import HERE

EMAIL = "ada@example.test"
PASSWORD = "correct horse"


@pytest.fixture
async def ada(accounts: Accounts) -> Account:
    return await accounts.add(EMAIL, PASSWORD)


async def _log_in(accounts: Accounts, email: str = EMAIL) -> NewSession:
    return await accounts.log_in(email, PASSWORD, HERE)


async def _is_valid(accounts: Accounts, session: NewSession) -> bool:
    try:
        found = await accounts.sessions.find(session.id)
    except LoginRefused:
        return False
    return found.account == session.account


async def test_a_session_is_its_account(accounts: Accounts, ada: Account) -> None:
    """Each login is another session, and each is found by its own id and csrf token."""
    first, second = await _log_in(accounts), await _log_in(accounts, "ADA@Example.test")
    assert len({first.id, second.id, first.csrf_token, second.csrf_token}) == 4
    for new, other in ((first, second), (second, first)):
        found = await accounts.sessions.find(new.id)
        assert found.account == ada
        assert found.has_csrf_token(new.csrf_token)
        for token in (other.csrf_token, new.id, "", "\ud800"):
            assert not found.has_csrf_token(token)


@pytest.mark.parametrize(
    ("email", "password"),
    [(EMAIL, "wrong horse"), ("bob@example.test", PASSWORD), ("ada", PASSWORD), (EMAIL, "short")],
)
async def test_wrong_logins_begin_nothing(
    accounts: Accounts, ada: Account, email: str, password: str
) -> None:
    """A wrong password, an unknown email and what could be neither are refused alike."""
    with pytest.raises(LoginRefused) as refused:
        await accounts.log_in(email, password, HERE)
    assert str(refused.value) == ""


@pytest.mark.parametrize("session_id", ["", "x" * 43, "\ud800", "é", "x" * 5000])
async def test_what_is_no_session_is_refused(
    accounts: Accounts, ada: Account, session_id: str
) -> None:
    """No cookie's value is an error."""
    with pytest.raises(LoginRefused):
        await accounts.sessions.find(session_id)


async def test_a_session_costs_a_dict_lookup(
    accounts: Accounts, ada: Account, clock, lookups
) -> None:
    """It is looked up in the table once in a while, and in between in memory."""
    session = await _log_in(accounts)
    lookups.clear()
    for _ in range(3):
        assert await _is_valid(accounts, session)
    assert len(lookups) == 1
    clock.s += CACHED_S
    assert await _is_valid(accounts, session)
    assert len(lookups) == 2


async def test_memory_of_sessions_is_bounded(accounts: Accounts, ada: Account, monkeypatch) -> None:
    """The oldest that is remembered makes room, and is looked up again."""
    monkeypatch.setattr(api.accounts.login_cache, "ENTRIES_MAX", 3)
    sessions = [await _log_in(accounts) for _ in range(5)]
    for session in sessions * 2:
        assert await _is_valid(accounts, session)
    assert len(accounts.sessions._cache._entries) == 3


@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "looked up"])
async def test_a_session_expires(
    accounts: Accounts, ada: Account, wall, *, remembered: bool
) -> None:
    """It is valid for 14 days to the moment, whether it is remembered or not."""
    session = await _log_in(accounts)
    wall.move(VALID_FOR - timedelta(seconds=1))
    if remembered:
        assert await _is_valid(accounts, session)
    wall.move(timedelta(seconds=1))
    assert not await _is_valid(accounts, session)
    assert timedelta(days=14) == VALID_FOR


async def test_what_has_expired_is_deleted(accounts: Accounts, ada: Account, wall) -> None:
    """Only what has expired, and how many is said."""
    for _ in range(2):
        await _log_in(accounts)
    wall.move(timedelta(days=1))
    later = await _log_in(accounts)
    wall.move(VALID_FOR - timedelta(days=1))
    assert await accounts.sessions.expire() == 2
    assert await accounts.sessions.expire() == 0
    assert await _is_valid(accounts, later)


async def test_a_session_ends_at_once(accounts: Accounts, ada: Account) -> None:
    """One that was ended is refused from then on; others of the account go on."""
    session, other = await _log_in(accounts), await _log_in(accounts)
    assert await _is_valid(accounts, session)
    await accounts.sessions.end(session.id)
    assert not await _is_valid(accounts, session)
    assert await _is_valid(accounts, other)
    await accounts.sessions.end(session.id)  # twice is no error


async def test_whoever_leaves_while_logging_out_is_logged_out(
    accounts: Accounts, ada: Account
) -> None:
    """A request that is cancelled does not leave a remembered session behind."""
    session = await _log_in(accounts)
    assert await _is_valid(accounts, session)
    leaving = asyncio.create_task(accounts.sessions.end(session.id))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await accounts.sessions.expire()  # written behind it
    assert not await _is_valid(accounts, session)


@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "looked up"])
async def test_a_new_password_ends_sessions(
    accounts: Accounts, ada: Account, *, remembered: bool
) -> None:
    """All of the account's, and nobody else's."""
    await accounts.add("bob@example.test", PASSWORD)
    session, other = await _log_in(accounts), await _log_in(accounts, "bob@example.test")
    if remembered:
        assert await _is_valid(accounts, session)
    await accounts.set_password(EMAIL, "another horse")
    assert not await _is_valid(accounts, session)
    assert await _is_valid(accounts, other)


@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "looked up"])
async def test_a_removed_account_ends_sessions(
    accounts: Accounts, ada: Account, wall, *, remembered: bool
) -> None:
    """A later account with the same email does not have them either, and none is kept."""
    session = await _log_in(accounts)
    if remembered:
        assert await _is_valid(accounts, session)
    await accounts.remove(EMAIL)
    assert not await _is_valid(accounts, session)
    await accounts.add(EMAIL, PASSWORD)
    assert not await _is_valid(accounts, session)
    wall.move(VALID_FOR)
    assert await accounts.sessions.expire() == 0


@pytest.mark.parametrize("change", ["password", "removal"])
async def test_a_login_under_way_does_not_outlive_the_password(
    accounts: Accounts, ada: Account, monkeypatch, change: str
) -> None:
    """A session is not begun by a password that was replaced while it was verified."""
    really = accounts._passwords.verify

    async def verified_and_then_changed(*given):
        login = await really(*given)
        if change == "password":
            await accounts.set_password(EMAIL, "another horse")
        else:
            await accounts.remove(EMAIL)
        return login

    monkeypatch.setattr(accounts._passwords, "verify", verified_and_then_changed)
    with pytest.raises(LoginRefused):
        await _log_in(accounts)


async def test_a_lookup_under_way_does_not_outlive_the_session(
    accounts: Accounts, ada: Account, monkeypatch
) -> None:
    """A session that is ended while it is looked up is not remembered."""
    session = await _log_in(accounts)
    really = accounts._tables.read

    async def read_and_then_ended(work):
        found = await really(work)
        monkeypatch.undo()
        await accounts.sessions.end(session.id)
        return found

    monkeypatch.setattr(accounts._tables, "read", read_and_then_ended)
    await accounts.sessions.find(session.id)
    assert not await _is_valid(accounts, session)


async def test_sessions_of_an_account_are_bounded(
    accounts: Accounts, ada: Account, wall, monkeypatch
) -> None:
    """The oldest of the account end for new ones, remembered or not; those of others do not."""
    monkeypatch.setattr(api.accounts.sessions, "SESSIONS_MAX", 2)
    await accounts.add("bob@example.test", PASSWORD)
    sessions = [await _log_in(accounts, "bob@example.test")]
    for _ in range(4):
        sessions.append(await _log_in(accounts))
        assert await _is_valid(accounts, sessions[-1])
        wall.move(timedelta(seconds=1))
    valid = [await _is_valid(accounts, session) for session in sessions]
    assert valid == [True, False, False, True, True]


async def test_sessions_last(open_accounts) -> None:
    """A session, and the end of one, is there after the next start."""
    async with open_accounts() as accounts:
        await accounts.add(EMAIL, PASSWORD)
        session, ended = await _log_in(accounts), await _log_in(accounts)
        await accounts.sessions.end(ended.id)
    async with open_accounts() as accounts:
        assert await _is_valid(accounts, session)
        assert (await accounts.sessions.find(session.id)).has_csrf_token(session.csrf_token)
        assert not await _is_valid(accounts, ended)


async def test_sessions_can_be_printed(accounts: Accounts, ada: Account) -> None:
    """No repr holds what logs in."""
    session = await _log_in(accounts)
    found = await accounts.sessions.find(session.id)
    printed = repr((session, found, accounts.sessions._cache._entries))
    assert session.id not in printed
    assert session.csrf_token not in printed
