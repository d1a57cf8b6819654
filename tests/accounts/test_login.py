import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest

import api.accounts.login_cache
import api.accounts.passwords
from api.accounts.credentials import unmatchable_hash
from api.accounts.login_cache import CACHED_S
from api.accounts.places import Client
from api.accounts.service import Accounts, LoginRefused
from tests.accounts.calling import HERE
from tests.support.wait import PATIENCE_S, wait_until

EMAIL = "ada@example.test"
PASSWORD = "correct horse"


async def test_right_login(accounts: Accounts, basic) -> None:
    """Whoever has the password is the account, however the email is written."""
    added = await accounts.add("  Ada@Example.TEST ", PASSWORD, "auditor")
    assert (added.email, added.role) == (EMAIL, "auditor")
    for written in (EMAIL, "ADA@example.test"):
        assert await accounts.authenticate(basic(written, PASSWORD), HERE) == added


async def test_password_may_hold_colons_and_any_script(accounts: Accounts, basic) -> None:
    """Only the first colon separates, and accents match however they are composed."""
    added = await accounts.add(EMAIL, "pass:wörd:密码", "user")
    decomposed = "pass:wo\u0308rd:密码"
    assert await accounts.authenticate(basic(EMAIL, decomposed), HERE) == added


async def test_remembered_login_is_quick(accounts: Accounts, basic, verified, lookups) -> None:
    """After the first request a login waits for nothing: no hash, no table, no other thread."""
    added = await accounts.add(EMAIL, PASSWORD)
    header = basic(EMAIL, PASSWORD)
    await accounts.authenticate(header, HERE)
    verified.clear()
    lookups.clear()
    with pytest.raises(StopIteration) as answered:
        accounts.authenticate(header, HERE).send(None)
    assert answered.value.value == added
    assert (verified, lookups) == ([], [])


async def test_login_is_verified_once_in_a_while(
    accounts: Accounts, basic, clock, verified
) -> None:
    """A login is remembered for its time and then verified again."""
    await accounts.add(EMAIL, PASSWORD)
    for _ in range(3):
        await accounts.authenticate(basic(EMAIL, PASSWORD), HERE)
    assert len(verified) == 1
    clock.s += CACHED_S
    await accounts.authenticate(basic(EMAIL, PASSWORD), HERE)
    assert len(verified) == 2


async def test_memory_of_logins_is_bounded(accounts: Accounts, basic, monkeypatch) -> None:
    """The oldest remembered login makes room for a new one."""
    monkeypatch.setattr(api.accounts.login_cache, "ENTRIES_MAX", 3)
    for n in range(5):
        await accounts.add(f"user{n}@example.test", PASSWORD)
        await accounts.authenticate(basic(f"user{n}@example.test", PASSWORD), HERE)
    kept = [entry.value.account.email for entry in accounts._cache._entries.values()]
    assert kept == ["user2@example.test", "user3@example.test", "user4@example.test"]


async def test_header_is_not_kept(accounts: Accounts, basic) -> None:
    """What is remembered does not contain the password."""
    await accounts.add(EMAIL, PASSWORD)
    header = basic(EMAIL, PASSWORD)
    await accounts.authenticate(header, HERE)
    assert all(header.encode() not in key for key in accounts._cache._entries)
    assert PASSWORD not in repr(accounts._cache._entries)


async def test_new_password_ends_logins_at_once(accounts: Accounts, basic) -> None:
    """The old password is refused from the moment the new one is set."""
    await accounts.add(EMAIL, PASSWORD)
    await accounts.authenticate(basic(EMAIL, PASSWORD), HERE)
    await accounts.set_password(EMAIL, "another horse")
    with pytest.raises(LoginRefused):
        await accounts.authenticate(basic(EMAIL, PASSWORD), HERE)
    assert await accounts.authenticate(basic(EMAIL, "another horse"), HERE)


async def test_removed_account_ends_logins_at_once(accounts: Accounts, basic) -> None:
    """A removed account is refused; others stay logged in."""
    other = await accounts.add("bob@example.test", PASSWORD)
    await accounts.add(EMAIL, PASSWORD)
    for email in (EMAIL, other.email):
        await accounts.authenticate(basic(email, PASSWORD), HERE)
    await accounts.remove(EMAIL)
    with pytest.raises(LoginRefused):
        await accounts.authenticate(basic(EMAIL, PASSWORD), HERE)
    assert [entry.value.account for entry in accounts._cache._entries.values()] == [other]


class _Held:
    """Verifying that waits in its thread until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._go = threading.Event()
        self._really = api.accounts.passwords.is_password
        self._counting = threading.Lock()
        self.running = 0
        self.most = 0
        self.calls = 0
        monkeypatch.setattr(api.accounts.passwords, "is_password", self._wait)

    def _wait(self, password: str, password_hash: str) -> bool:
        with self._counting:
            self.running += 1
            self.calls += 1
            self.most = max(self.most, self.running)
        assert self._go.wait(PATIENCE_S)
        with self._counting:
            self.running -= 1
        return self._really(password, password_hash)

    async def until(self, calls: int) -> None:
        await wait_until(f"{calls} are verified", lambda: self.calls >= calls)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Held]:
    held = _Held(monkeypatch)
    yield held
    held.let_go()


async def test_login_under_way_does_not_outlive_the_password(
    accounts: Accounts, basic, held: _Held
) -> None:
    """A login that is being verified while the password changes is not remembered."""
    await accounts.add(EMAIL, PASSWORD)
    login = asyncio.create_task(accounts.authenticate(basic(EMAIL, PASSWORD), HERE))
    await held.until(1)
    await accounts.set_password(EMAIL, "another horse")
    held.let_go()
    await login
    with pytest.raises(LoginRefused):
        await accounts.authenticate(basic(EMAIL, PASSWORD), HERE)


async def test_login_after_the_change_is_verified_anew(
    accounts: Accounts, basic, held: _Held
) -> None:
    """It does not share the outcome of one that began while the old password was right."""
    await accounts.add(EMAIL, PASSWORD)
    before = asyncio.create_task(accounts.authenticate(basic(EMAIL, PASSWORD), HERE))
    await held.until(1)
    await accounts.set_password(EMAIL, "another horse")
    after = asyncio.create_task(accounts.authenticate(basic(EMAIL, PASSWORD), HERE))
    await held.until(2)
    held.let_go()
    await before
    with pytest.raises(LoginRefused):
        await after


async def test_same_login_many_times_is_verified_once(
    accounts: Accounts, basic, held: _Held
) -> None:
    """A burst of first requests costs one hash, and outlives those of it that are cancelled."""
    added = await accounts.add(EMAIL, PASSWORD)
    header = basic(EMAIL, PASSWORD)
    burst = [asyncio.create_task(accounts.authenticate(header, HERE)) for _ in range(20)]
    await held.until(1)
    burst[0].cancel()
    held.let_go()
    found = await asyncio.gather(*burst, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [added] * 19
    assert held.calls == 1


async def test_everybody_cancelled(accounts: Accounts, basic, held: _Held) -> None:
    """If nobody waits any more, the verification ends quietly and nothing is stuck."""
    await accounts.add(EMAIL, PASSWORD)
    login = asyncio.create_task(accounts.authenticate(basic(EMAIL, "wrong one"), HERE))
    await held.until(1)
    login.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await login
    held.let_go()
    assert await accounts.authenticate(basic(EMAIL, PASSWORD), HERE)
    await wait_until("for it to end", lambda: not accounts._passwords._verifying)


async def test_few_hashes_at_once(accounts: Accounts, basic, held: _Held) -> None:
    """However many log in at the same time, two hashes are computed at once."""
    logins = [
        asyncio.create_task(
            accounts.authenticate(basic(f"a{n}@b.test", PASSWORD), Client(f"1.1.1.{n}"))
        )
        for n in range(20)
    ]
    await held.until(2)
    await wait_until("the others wait", lambda: accounts.waiting == 18)
    assert held.running == 2
    held.let_go()
    refused = await asyncio.gather(*logins, return_exceptions=True)
    assert {type(error) for error in refused} == {LoginRefused}
    assert held.most == 2


async def test_the_loop_never_waits(accounts: Accounts, basic, clock, monkeypatch) -> None:
    """While a real hash is computed the event loop goes on."""
    computing = threading.Event()
    ticks = 0
    really = api.accounts.passwords.is_password

    def noted(password: str, password_hash: str) -> bool:
        computing.set()
        try:
            return really(password, password_hash)
        finally:
            computing.clear()

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += computing.is_set()

    async def ticked() -> bool:
        clock.s += CACHED_S
        await accounts.authenticate(basic(EMAIL, PASSWORD), HERE)
        return ticks > 5

    monkeypatch.setattr(api.accounts.passwords, "is_password", noted)
    await accounts.add(EMAIL, PASSWORD)
    ticking = asyncio.create_task(tick())
    try:
        await wait_until("the loop goes on during a hash", ticked)
    finally:
        ticking.cancel()


async def test_unknown_email_takes_the_same_path(
    accounts: Accounts, basic, verified, lookups
) -> None:
    """By the time it takes, nobody can tell which emails exist.

    For an unknown email as for a wrong password one hash of the same cost is verified, after the
    same lookup, and the same is said.
    """
    await accounts.add(EMAIL, PASSWORD)
    said, costs = [], []
    for email in (EMAIL, "nobody@example.test"):
        verified.clear()
        lookups.clear()
        with pytest.raises(LoginRefused) as refused:
            await accounts.authenticate(basic(email, "wrong password"), HERE)
        said.append(str(refused.value))
        (verified_hash,) = verified
        parts = verified_hash.split("$")
        costs.append((parts[:4], [len(part) for part in parts], len(lookups)))
    assert costs[0] == costs[1]
    assert said[0] == said[1]


def test_unmatchable_hash_is_a_hash() -> None:
    """No password matches it, and verifying is no error."""
    assert api.accounts.passwords.is_password("anything", unmatchable_hash()) is False
