import logging
import sqlite3
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from api.accounts.service import (
    AccountInUse,
    AccountNotFound,
    Accounts,
    EmailTaken,
    InvalidAccount,
    LoginRefused,
)
from api.composition import open_ledger
from ledger.domain.commands.drives import CreateDrives, NewDrive
from ledger.domain.commands.profiles import EditProfile
from ledger.domain.commands.servers import CreateServers, NewServer
from ledger.domain.events.drives import DriveDefinition
from ledger.domain.idempotency import Claim
from ledger.images.pools import Pool
from ledger.store.seam import Cursor
from ledger.store.tables import accounts as table
from ledger.store.writer import Caller
from projections.views.belongings import belongings_of
from tests.accounts.calling import HERE
from tests.accounts.clocks import Wall
from tests.support.world import machine

EMAIL, OTHER = "ada@example.test", "bob@example.test"
PASSWORD = "correct horse"

ME = Caller("system:test", "")
DISK = DriveDefinition("birch", "disk", 16384, "dssd")


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


# Roles


async def role_by(accounts: Accounts, header: str) -> str:
    return (await accounts.authenticate(header, HERE)).role


async def test_a_new_role_counts_at_once(accounts: Accounts, basic) -> None:
    """For every login, the cached ones as well; none of them ends, and no other account's."""
    for email in (EMAIL, OTHER):
        await accounts.add(email, PASSWORD)
    token = f"Bearer {(await accounts.tokens.add(EMAIL)).token}"
    session = await accounts.log_in(EMAIL, PASSWORD, HERE)
    other = basic(OTHER, PASSWORD)
    for header in (basic(EMAIL, PASSWORD), token, other):
        assert await role_by(accounts, header) == "user"
    await accounts.sessions.find(session.id)
    await accounts.set_role("Ada@example.test", "operator")
    for header in (basic(EMAIL, PASSWORD), token):
        assert await role_by(accounts, header) == "operator"
    assert (await accounts.sessions.find(session.id)).account.role == "operator"
    assert await role_by(accounts, other) == "user"


async def test_a_new_role_ends_websockets(accounts: Accounts) -> None:
    """They were opened with the rights of the former one."""
    ada = await accounts.add(EMAIL, PASSWORD, "operator")
    told: list[str] = []
    accounts.listen(lambda account, _number: told.append(account))
    cookie = await accounts.new_async_cookie(ada)
    await accounts.set_role(EMAIL, "user")
    assert told == [ada.uuid]
    with pytest.raises(LoginRefused):
        await accounts.account_of_async_cookie(cookie)


async def test_a_role_has_to_be_one(accounts: Accounts) -> None:
    await accounts.add(EMAIL, PASSWORD)
    with pytest.raises(InvalidAccount, match="a role is one of"):
        await accounts.set_role(EMAIL, "root")
    with pytest.raises(AccountNotFound, match=OTHER):
        await accounts.set_role(OTHER, "user")
    assert [account.role for account in await accounts.every()] == ["user"]


# Removal


async def test_accounts_are_listed_with_their_logins(accounts: Accounts, wall: Wall) -> None:
    """Sessions that have expired are none."""
    for email in (EMAIL, OTHER):
        await accounts.add(email, PASSWORD)
    await accounts.tokens.add(EMAIL)
    await accounts.log_in(EMAIL, PASSWORD, HERE)
    wall.move(timedelta(days=15))
    for _ in range(2):
        await accounts.log_in(EMAIL, PASSWORD, HERE)
    listed = [(each.email, each.tokens, each.sessions) for each in await accounts.listed()]
    assert listed == [(EMAIL, 1, 2), (OTHER, 0, 0)]


async def test_a_removal_ends_all_logins_and_no_others(accounts: Accounts, basic) -> None:
    headers, sessions = {}, {}
    for email in (EMAIL, OTHER):
        await accounts.add(email, PASSWORD)
        token = await accounts.tokens.add(email)
        sessions[email] = await accounts.log_in(email, PASSWORD, HERE)
        headers[email] = (basic(email, PASSWORD), f"Bearer {token.token}")
        for header in headers[email]:
            await accounts.authenticate(header, HERE)
    removed = await accounts.remove(EMAIL)
    assert (removed.sessions, removed.tokens, removed.drives, removed.servers) == (1, 1, 0, 0)
    for header in headers[EMAIL]:
        with pytest.raises(LoginRefused):
            await accounts.authenticate(header, HERE)
    with pytest.raises(LoginRefused):
        await accounts.sessions.find(sessions[EMAIL].id)
    for header in headers[OTHER]:
        assert (await accounts.authenticate(header, HERE)).email == OTHER
    assert (await accounts.sessions.find(sessions[OTHER].id)).account.email == OTHER
    [other] = await accounts.listed()
    assert (other.email, other.tokens, other.sessions) == (OTHER, 1, 1)
    assert await accounts._tables.read(logins_left) == [(other.uuid,)] * 2


def logins_left(cursor: Cursor) -> list[tuple[str]]:
    cursor.execute("SELECT account FROM tokens UNION ALL SELECT account FROM sessions")
    return cursor.fetchall()


async def test_an_account_with_things_is_not_removed_by_mistake(tmp_path: Path, basic) -> None:
    """Nobody could delete them; those of others do not count, and stay whatever happens."""
    async with open_ledger(tmp_path, {"main": Pool("main", tmp_path)}) as opened:
        ada = await opened.accounts.add(EMAIL, PASSWORD)
        bob = await opened.accounts.add(OTHER, PASSWORD)
        for account, drives in ((ada, 2), (bob, 3)):
            new = tuple(NewDrive(f"{account.uuid}-{each}", DISK) for each in range(drives))
            await opened.ledger.execute(CreateDrives(account.uuid, new, "blank"), ME)
        server = CreateServers(ada.uuid, (NewServer("s", machine(), (), (), "hush"),))
        await opened.ledger.execute(server, ME)
        with pytest.raises(AccountInUse, match="has 2 drives and 1 servers, which nobody could"):
            await opened.accounts.remove(EMAIL)
        assert (await opened.accounts.authenticate(basic(EMAIL, PASSWORD), HERE)) == ada
        removed = await opened.accounts.remove(EMAIL, leave_things=True)
        assert (removed.account, removed.drives, removed.servers) == (ada.uuid, 2, 1)
        again = await opened.accounts.add(EMAIL, PASSWORD)
        assert again.uuid != ada.uuid
        things = {
            account.uuid: opened.ledger.read(partial(belongings_of, account=account.uuid))
            for account in (ada, bob, again)
        }
    assert things == {ada.uuid: (2, 1), bob.uuid: (3, 0), again.uuid: (0, 0)}
