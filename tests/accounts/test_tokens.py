"""Bearer tokens: tests/contract/CONTRACT.md 4.1."""

import logging
import re
from datetime import timedelta

import pytest

from api.accounts.account import TokenOver
from api.accounts.credentials import InvalidAccount
from api.accounts.service import Account, AccountNotFound, Accounts, LoginRefused
from api.accounts.tokens import NAME_LENGTH_MAX, InvalidTokenName, NewToken, TokenNotFound
from ledger.store.seam import Commit
from projections.feed.changes import Changes
from tests.accounts.calling import HERE
from tests.accounts.clocks import Wall
from tests.support.wait import wait_until

EMAIL = "ada@example.test"
PASSWORD = "correct horse"


@pytest.fixture
async def ada(accounts: Accounts) -> Account:
    return await accounts.add(EMAIL, PASSWORD, "auditor")


async def _account_of(accounts: Accounts, new: NewToken, scheme: str = "Bearer") -> Account:
    return await accounts.authenticate(f"{scheme} {new.token}", HERE)


async def _is_valid(accounts: Accounts, new: NewToken) -> bool:
    try:
        await _account_of(accounts, new)
    except LoginRefused:
        return False
    return True


async def test_a_token_is_its_account(accounts: Accounts, ada: Account) -> None:
    """Whoever sends it is the account, however the scheme is written."""
    new = await accounts.tokens.add("ADA@example.test", "backup")
    assert new.email == EMAIL
    assert re.fullmatch(r"jl_[\w-]{43}", new.token)
    for scheme in ("Bearer", "bearer", "BEARER "):
        assert await _account_of(accounts, new, scheme) == ada


@pytest.mark.parametrize("changed", ["", "jl_", "{}x", "x{}", "{0} {0}", "\ud800", "a" * 5000])
async def test_a_wrong_token_is_refused(accounts: Accounts, ada: Account, changed: str) -> None:
    """What is not exactly a token logs nobody in, and is no error."""
    new = await accounts.tokens.add(EMAIL)
    with pytest.raises(LoginRefused):
        await accounts.authenticate(f"Bearer {changed.format(new.token)}", HERE)
    with pytest.raises(LoginRefused):
        await accounts.authenticate(f"Bearer {new.id}", HERE)


async def test_a_token_costs_a_dict_lookup(accounts: Accounts, ada: Account, lookups) -> None:
    """It is looked up once, and then remembered as a password is."""
    new = await accounts.tokens.add(EMAIL)
    lookups.clear()
    for _ in range(3):
        assert await _account_of(accounts, new) == ada
    assert len(lookups) == 1
    assert all(new.token.encode() not in key for key in accounts._cache._entries)


@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "looked up"])
async def test_a_removed_token_ends_at_once(
    accounts: Accounts, ada: Account, basic, *, remembered: bool
) -> None:
    """Others of the account go on, and so does its password."""
    removed, kept = await accounts.tokens.add(EMAIL), await accounts.tokens.add(EMAIL)
    if remembered:
        assert await _is_valid(accounts, removed)
    await accounts.tokens.remove(removed.id)
    assert not await _is_valid(accounts, removed)
    assert await _is_valid(accounts, kept)
    assert await accounts.authenticate(basic(EMAIL, PASSWORD), HERE) == ada
    with pytest.raises(TokenNotFound, match=removed.id):
        await accounts.tokens.remove(removed.id)


async def test_a_token_outlives_the_password(accounts: Accounts, ada: Account) -> None:
    """It is managed by itself."""
    new = await accounts.tokens.add(EMAIL)
    assert await _is_valid(accounts, new)
    await accounts.set_password(EMAIL, "another horse")
    assert await _is_valid(accounts, new)


@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "looked up"])
async def test_a_removed_account_ends_its_tokens(
    accounts: Accounts, ada: Account, *, remembered: bool
) -> None:
    """A later account with the same email does not have them either; others keep theirs."""
    await accounts.add("bob@example.test", PASSWORD)
    new, other = await accounts.tokens.add(EMAIL), await accounts.tokens.add("bob@example.test")
    if remembered:
        assert await _is_valid(accounts, new)
    await accounts.remove(EMAIL)
    await accounts.add(EMAIL, PASSWORD)
    assert not await _is_valid(accounts, new)
    assert await _is_valid(accounts, other)
    assert await accounts.tokens.every(EMAIL) == []
    with pytest.raises(TokenNotFound):
        await accounts.tokens.remove(new.id)


async def test_tokens_are_listed(accounts: Accounts, ada: Account, wall) -> None:
    """With what is known of them, oldest first: those of one account, or all."""
    await accounts.add("bob@example.test", PASSWORD)
    made = [
        await accounts.tokens.add(email, name)
        for email, name in ((EMAIL, "backup"), ("bob@example.test", ""), (EMAIL, "Sicherung 2"))
    ]
    listed = await accounts.tokens.every()
    assert {(each.id, each.email) for each in listed} == {(each.id, each.email) for each in made}
    assert {each.created for each in listed} == {wall.at.isoformat()}
    mine = await accounts.tokens.every("Ada@example.test")
    assert sorted(each.name for each in mine) == ["Sicherung 2", "backup"]
    assert not any(each.token in repr(listed) for each in made)


async def test_oldest_token_first(accounts: Accounts, ada: Account, wall) -> None:
    """They are listed in the order in which they were made."""
    made = []
    for _ in range(3):
        made.append((await accounts.tokens.add(EMAIL)).id)
        wall.move(timedelta(seconds=1))
    assert [each.id for each in await accounts.tokens.every()] == made


async def test_refusals(accounts: Accounts, ada: Account) -> None:
    """A token is of an account that there is, and its name can be printed."""
    for email, refusal in (("bob@example.test", AccountNotFound), ("ada", InvalidAccount)):
        with pytest.raises(refusal):
            await accounts.tokens.add(email)
        with pytest.raises(refusal):
            await accounts.tokens.every(email)
    for name in ("x" * (NAME_LENGTH_MAX + 1), "two\nlines", "\ud800"):
        with pytest.raises(InvalidTokenName):
            await accounts.tokens.add(EMAIL, name)
    assert await accounts.tokens.every() == []


async def test_a_token_expires_in_time(accounts: Accounts, ada: Account, wall: Wall) -> None:
    """Also where it is remembered."""
    new = await accounts.tokens.add(EMAIL, expires=wall() + timedelta(seconds=60))
    assert await _is_valid(accounts, new)
    wall.move(timedelta(seconds=59))
    assert await _is_valid(accounts, new)
    wall.move(timedelta(seconds=1))
    with pytest.raises(TokenOver, match="expired"):
        await _account_of(accounts, new)


async def test_nobody_follows_tokens(accounts: Accounts, ada: Account) -> None:
    """They are no resources: a websocket of the account is told nothing, and stays open."""
    commits: list[Commit] = []
    accounts._tables._ledger.listen(commits.append)
    new = await accounts.tokens.add(EMAIL)
    await accounts.tokens.remove(new.id)
    await wait_until("both commits are told", lambda: len(commits) > 1)
    changes = Changes()
    for commit in commits:
        changes.add(commit, {ada.uuid})
    assert not changes


async def test_tokens_last(open_accounts) -> None:
    """A token, and the removal of one, is there after the next start."""
    async with open_accounts() as accounts:
        await accounts.add(EMAIL, PASSWORD)
        kept, removed = await accounts.tokens.add(EMAIL), await accounts.tokens.add(EMAIL)
        await accounts.tokens.remove(removed.id)
    async with open_accounts() as accounts:
        assert await _is_valid(accounts, kept)
        assert not await _is_valid(accounts, removed)


async def test_tokens_are_not_printed(
    accounts: Accounts, ada: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither logs nor reprs hold a token, right or wrong."""
    caplog.set_level(logging.DEBUG)
    new = await accounts.tokens.add(EMAIL)
    assert await _is_valid(accounts, new)
    with pytest.raises(LoginRefused) as refused:
        await accounts.authenticate("Bearer jl_secret", HERE)
    printed = caplog.text + repr((new, refused.value, accounts._cache._entries))
    assert new.token not in printed
    assert "jl_" not in printed
    assert f"wrong token from {HERE.address}" in caplog.text
