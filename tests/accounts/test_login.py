import asyncio
import contextlib
import threading
import time

import pytest

import api.passwords
import api.remembered
from api.accounts import Accounts, LoginRefused
from api.credentials import unmatchable_hash
from api.remembered import REMEMBERED_S

EMAIL = "ada@example.test"
PASSWORD = "correct horse"
HOT_LOGIN_S = 50e-6


async def test_right_login(quick_hashing, accounts: Accounts, basic) -> None:
    """Whoever has the password is the account, however the email is written."""
    added = await accounts.add("  Ada@Example.TEST ", PASSWORD, "auditor")
    assert (added.email, added.role) == (EMAIL, "auditor")
    for written in (EMAIL, "ADA@example.test"):
        assert await accounts.authenticate(basic(written, PASSWORD), "1.2.3.4") == added


async def test_password_may_hold_colons_and_any_script(
    quick_hashing, accounts: Accounts, basic
) -> None:
    """Only the first colon separates, and accents match however they are composed."""
    added = await accounts.add(EMAIL, "pass:wörd:密码", "user")
    decomposed = "pass:wo\u0308rd:密码"
    assert await accounts.authenticate(basic(EMAIL, decomposed), "1.2.3.4") == added


async def test_remembered_login_is_quick(quick_hashing, accounts: Accounts, basic) -> None:
    """After the first request a login costs less than 50 microseconds."""
    await accounts.add(EMAIL, PASSWORD)
    header = basic(EMAIL, PASSWORD)
    await accounts.authenticate(header, "1.2.3.4")
    best = min([await _hot_login_s(accounts, header) for _ in range(5)])
    assert best < HOT_LOGIN_S


async def _hot_login_s(accounts: Accounts, header: str, times: int = 2000) -> float:
    started = time.perf_counter()
    for _ in range(times):
        await accounts.authenticate(header, "1.2.3.4")
    return (time.perf_counter() - started) / times


async def test_login_is_verified_once_in_a_while(
    quick_hashing, accounts: Accounts, basic, clock, verified
) -> None:
    """A login is remembered for its time and then verified again."""
    await accounts.add(EMAIL, PASSWORD)
    for _ in range(3):
        await accounts.authenticate(basic(EMAIL, PASSWORD), "1.2.3.4")
    assert len(verified) == 1
    clock.s += REMEMBERED_S
    await accounts.authenticate(basic(EMAIL, PASSWORD), "1.2.3.4")
    assert len(verified) == 2


async def test_memory_of_logins_is_bounded(
    quick_hashing, accounts: Accounts, basic, monkeypatch
) -> None:
    """The oldest remembered login makes room for a new one."""
    monkeypatch.setattr(api.remembered, "REMEMBERED_MAX", 3)
    for n in range(5):
        await accounts.add(f"user{n}@example.test", PASSWORD)
        await accounts.authenticate(basic(f"user{n}@example.test", PASSWORD), "1.2.3.4")
    kept = [entry.value.email for entry in accounts._remembered._entries.values()]
    assert kept == ["user2@example.test", "user3@example.test", "user4@example.test"]


async def test_header_is_not_kept(quick_hashing, accounts: Accounts, basic) -> None:
    """What is remembered does not contain the password."""
    await accounts.add(EMAIL, PASSWORD)
    header = basic(EMAIL, PASSWORD)
    await accounts.authenticate(header, "1.2.3.4")
    assert all(header.encode() not in key for key in accounts._remembered._entries)
    assert PASSWORD not in repr(accounts._remembered._entries)


async def test_new_password_ends_logins_at_once(quick_hashing, accounts: Accounts, basic) -> None:
    """The old password is refused from the moment the new one is set."""
    await accounts.add(EMAIL, PASSWORD)
    await accounts.authenticate(basic(EMAIL, PASSWORD), "1.2.3.4")
    await accounts.set_password(EMAIL, "another horse")
    with pytest.raises(LoginRefused):
        await accounts.authenticate(basic(EMAIL, PASSWORD), "1.2.3.4")
    assert await accounts.authenticate(basic(EMAIL, "another horse"), "1.2.3.4")


async def test_removed_account_ends_logins_at_once(
    quick_hashing, accounts: Accounts, basic
) -> None:
    """A removed account is refused; others stay logged in."""
    other = await accounts.add("bob@example.test", PASSWORD)
    await accounts.add(EMAIL, PASSWORD)
    for email in (EMAIL, other.email):
        await accounts.authenticate(basic(email, PASSWORD), "1.2.3.4")
    await accounts.remove(EMAIL)
    with pytest.raises(LoginRefused):
        await accounts.authenticate(basic(EMAIL, PASSWORD), "1.2.3.4")
    assert [entry.value for entry in accounts._remembered._entries.values()] == [other]


class _Held:
    """Verifying that waits in its thread until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._go = threading.Event()
        self._really = api.passwords.is_password
        self.running = 0
        self.most = 0
        self.calls = 0
        monkeypatch.setattr(api.passwords, "is_password", self._wait)

    def _wait(self, password: str, password_hash: str) -> bool:
        self.running += 1
        self.calls += 1
        self.most = max(self.most, self.running)
        assert self._go.wait(10)
        self.running -= 1
        return self._really(password, password_hash)

    async def until(self, calls: int) -> None:
        async with asyncio.timeout(10):
            while self.calls < calls:  # noqa: ASYNC110 - called in other threads
                await asyncio.sleep(0.001)

    def let_go(self) -> None:
        self._go.set()


async def test_login_under_way_does_not_outlive_the_password(
    quick_hashing, accounts: Accounts, basic, monkeypatch
) -> None:
    """A login that is being verified while the password changes is not remembered."""
    await accounts.add(EMAIL, PASSWORD)
    held = _Held(monkeypatch)
    login = asyncio.create_task(accounts.authenticate(basic(EMAIL, PASSWORD), "1.2.3.4"))
    await held.until(1)
    await accounts.set_password(EMAIL, "another horse")
    held.let_go()
    await login
    with pytest.raises(LoginRefused):
        await accounts.authenticate(basic(EMAIL, PASSWORD), "1.2.3.4")


async def test_login_after_the_change_is_verified_anew(
    quick_hashing, accounts: Accounts, basic, monkeypatch
) -> None:
    """It does not share the outcome of one that began while the old password was right."""
    await accounts.add(EMAIL, PASSWORD)
    held = _Held(monkeypatch)
    before = asyncio.create_task(accounts.authenticate(basic(EMAIL, PASSWORD), "1.2.3.4"))
    await held.until(1)
    await accounts.set_password(EMAIL, "another horse")
    after = asyncio.create_task(accounts.authenticate(basic(EMAIL, PASSWORD), "1.2.3.4"))
    await held.until(2)
    held.let_go()
    await before
    with pytest.raises(LoginRefused):
        await after


async def test_same_login_many_times_is_verified_once(
    quick_hashing, accounts: Accounts, basic, monkeypatch
) -> None:
    """A burst of first requests costs one hash, and outlives those of it that are cancelled."""
    added = await accounts.add(EMAIL, PASSWORD)
    held = _Held(monkeypatch)
    header = basic(EMAIL, PASSWORD)
    burst = [asyncio.create_task(accounts.authenticate(header, "1.2.3.4")) for _ in range(20)]
    await held.until(1)
    burst[0].cancel()
    held.let_go()
    found = await asyncio.gather(*burst, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [added] * 19
    assert held.calls == 1


async def test_everybody_cancelled(quick_hashing, accounts: Accounts, basic, monkeypatch) -> None:
    """If nobody waits any more, the verification ends quietly and nothing is stuck."""
    await accounts.add(EMAIL, PASSWORD)
    held = _Held(monkeypatch)
    login = asyncio.create_task(accounts.authenticate(basic(EMAIL, "wrong one"), "1.2.3.4"))
    await held.until(1)
    login.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await login
    held.let_go()
    assert await accounts.authenticate(basic(EMAIL, PASSWORD), "1.2.3.4")
    assert not accounts._passwords._verifying


async def test_few_hashes_at_once(quick_hashing, accounts: Accounts, basic, monkeypatch) -> None:
    """However many log in at the same time, two hashes are computed at once."""
    held = _Held(monkeypatch)
    logins = [
        asyncio.create_task(accounts.authenticate(basic(f"a{n}@b.test", PASSWORD), f"1.1.1.{n}"))
        for n in range(20)
    ]
    await held.until(2)
    await asyncio.sleep(0.02)
    assert held.running == 2
    held.let_go()
    refused = await asyncio.gather(*logins, return_exceptions=True)
    assert {type(error) for error in refused} == {LoginRefused}
    assert held.most == 2


async def test_the_loop_never_waits(accounts: Accounts, basic) -> None:
    """While a real hash is computed the event loop goes on."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    await accounts.add(EMAIL, PASSWORD)
    ticking = asyncio.create_task(tick())
    await accounts.authenticate(basic(EMAIL, PASSWORD), "1.2.3.4")
    ticking.cancel()
    assert ticks > 5


async def test_unknown_email_takes_the_same_path(accounts: Accounts, basic, verified) -> None:
    """For an unknown email as for a wrong password one hash of the same cost is verified."""
    await accounts.add(EMAIL, PASSWORD)
    said = []
    for email in (EMAIL, "nobody@example.test"):
        with pytest.raises(LoginRefused) as refused:
            await accounts.authenticate(basic(email, "wrong password"), "1.2.3.4")
        said.append(str(refused.value))
    costs = [password_hash.split("$")[:4] for password_hash in verified]
    lengths = [[len(part) for part in password_hash.split("$")] for password_hash in verified]
    assert costs[0] == costs[1]
    assert lengths[0] == lengths[1]
    assert said[0] == said[1]


async def test_unknown_email_takes_as_long(accounts: Accounts, basic) -> None:
    """By the time it takes, nobody can tell which emails exist."""
    await accounts.add(EMAIL, PASSWORD)
    known, unknown = [], []
    for n in range(8):  # in turns: whatever slows the machine down meets both
        known.append(await _refusal_s(accounts, basic(EMAIL, f"wrong one {n}")))
        unknown.append(await _refusal_s(accounts, basic(f"x{n}@example.test", PASSWORD)))
    assert 0.5 < min(known) / min(unknown) < 2


async def _refusal_s(accounts: Accounts, header: str) -> float:
    started = time.perf_counter()
    with pytest.raises(LoginRefused):
        await accounts.authenticate(header, "1.2.3.4")
    return time.perf_counter() - started


def test_unmatchable_hash_is_a_hash() -> None:
    """No password matches it, and verifying is no error."""
    assert api.passwords.is_password("anything", unmatchable_hash()) is False
