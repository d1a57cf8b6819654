import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from api.accounts.service import AccountNotFound, Accounts, EmailTaken, InvalidAccount, LoginRefused
from api.composition import open_ledger
from ledger.domain.commands import EditProfile
from ledger.domain.idempotency import Claim
from ledger.store.tables import accounts as table
from ledger.store.writer import Caller
from tests.accounts.calling import HERE

EMAIL = "ada@example.test"
PASSWORD = "correct horse"

pytestmark = pytest.mark.usefixtures("quick_hashing")


async def test_email_is_taken_once(accounts: Accounts) -> None:
    """There is one account for an email, however it is written, and it stays as it was."""
    added = await accounts.add(EMAIL, PASSWORD)
    with pytest.raises(EmailTaken, match=EMAIL):
        await accounts.add("ADA@Example.test", "another horse", "operator")
    assert await accounts.every() == [added]


@pytest.mark.parametrize(
    ("email", "password", "role"),
    [("ada", PASSWORD, "user"), (EMAIL, "short", "user"), (EMAIL, PASSWORD, "root")],
    ids=["email", "password", "role"],
)
async def test_invalid_account(accounts: Accounts, email: str, password: str, role: str) -> None:
    """An account that could never be used is not made."""
    with pytest.raises(InvalidAccount):
        await accounts.add(email, password, role)
    assert await accounts.every() == []


async def test_unknown_account_cannot_be_changed(accounts: Accounts) -> None:
    """Changing what is not there is a refusal."""
    with pytest.raises(AccountNotFound, match=EMAIL):
        await accounts.set_password(EMAIL, PASSWORD)
    with pytest.raises(AccountNotFound, match=EMAIL):
        await accounts.remove(EMAIL)


async def test_accounts_last(tmp_path: Path, basic) -> None:
    """An account and its newest password are there after the next start."""
    async with open_ledger(tmp_path) as opened:
        added = await opened.accounts.add(EMAIL, PASSWORD, "operator")
        await opened.accounts.set_password(EMAIL, "another horse")
    async with open_ledger(tmp_path) as opened:
        assert await opened.accounts.authenticate(basic(EMAIL, "another horse"), HERE) == added
        with pytest.raises(LoginRefused):
            await opened.accounts.authenticate(basic(EMAIL, PASSWORD), HERE)


async def test_password_version_grows(tmp_path: Path) -> None:
    """Each new password raises the version."""
    async with open_ledger(tmp_path) as opened:
        await opened.accounts.add(EMAIL, PASSWORD)
        for _ in range(2):
            await opened.accounts.set_password(EMAIL, "another horse")
        stored = opened.ledger.exclusive(lambda cursor: table.find(cursor, EMAIL)).result()
    assert stored is not None
    assert stored.password_version == 3


async def test_every_account_oldest_first(accounts: Accounts) -> None:
    """All accounts are listed in the order in which they were made."""
    made = [await accounts.add(f"{name}@example.test", PASSWORD) for name in "cab"]
    assert await accounts.every() == made


async def test_no_secrets_in_logs_or_reprs(
    tmp_path: Path, basic, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither passwords nor hashes are ever printed or logged."""
    caplog.set_level(logging.DEBUG)
    async with open_ledger(tmp_path) as opened:
        added = await opened.accounts.add(EMAIL, PASSWORD)
        await opened.accounts.authenticate(basic(EMAIL, PASSWORD), HERE)
        with pytest.raises(LoginRefused) as refused:
            await opened.accounts.authenticate(basic(EMAIL, "wrong horse"), HERE)
        stored = opened.ledger.exclusive(lambda cursor: table.find(cursor, EMAIL)).result()
        printed = caplog.text + repr(added) + repr(stored) + repr(refused.value)
        printed += repr(opened.accounts._cache._entries)
    assert "horse" not in printed
    assert "argon2" not in printed
    assert "wrong login from 1.2.3.4" in caplog.text


@pytest.mark.parametrize("revoked_by", ["password", "removal", "token"])
async def test_a_revocation_ends_a_websockets_cookie(accounts: Accounts, revoked_by: str) -> None:
    """A new password, or the removal of the account or of a token; listeners learn of each."""
    ada = await accounts.add(EMAIL, PASSWORD)
    token = await accounts.tokens.add(EMAIL)
    revocations: list[tuple[str, int]] = []
    accounts.listen(lambda *revocation: revocations.append(revocation))
    cookie = await accounts.new_async_cookie(ada)
    assert await accounts.account_of_async_cookie(cookie) == ada
    match revoked_by:
        case "password":
            await accounts.set_password(EMAIL, "another horse")
        case "removal":
            await accounts.remove(EMAIL)
        case _:
            await accounts.tokens.remove(token.id)
    with pytest.raises(LoginRefused):
        await accounts.account_of_async_cookie(cookie)
    known = accounts.last_revocation_before(cookie)
    assert [(account, number > known) for account, number in revocations] == [(ada.uuid, True)]


async def test_what_an_account_said_of_itself_goes_with_it(tmp_path: Path) -> None:
    """Its profile's fields and its claims, which hold answers; those of others stay."""
    async with open_ledger(tmp_path) as opened:
        ada = await opened.accounts.add(EMAIL, PASSWORD)
        bob = await opened.accounts.add("bob@example.test", PASSWORD)
        for account in (ada, bob):
            claim = Claim("key", b"print", "seed")
            caller = Caller(account.uuid, "request", claim)
            await opened.ledger.execute(EditProfile(account.uuid, {"phone": '"1"'}), caller)
        await opened.accounts.remove(EMAIL)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        for table_name in ("personal_fields", "claims"):
            rows = connection.execute(f"SELECT account FROM {table_name}").fetchall()
            assert rows == [(bob.uuid,)]
