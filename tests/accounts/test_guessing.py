"""Guesses at passwords and tokens, over HTTP: they cost the guesser, and nobody else."""

import asyncio
import hashlib
from datetime import timedelta
from typing import Any

import pytest

from api.accounts.places import DEVICE_VALID_FOR, Client
from api.accounts.service import Account, Accounts, LoginRefused, TooManyAttempts
from ledger.domain.errors.store import StoreUnreachable
from ledger.store.tables import known_places
from tests.accounts.calling import (
    LOGIN,
    PASSWORD,
    call,
    cookies,
    log_in,
    session_of,
)
from tests.accounts.clocks import Clock, Wall
from tests.api.calling import Answer, Api

EMAIL = "ada@example.test"
GUESSER = "10.0.0.1"
GUESSES = 6
"""Enough for an unknown address to have to wait."""


def at(address: str) -> dict[str, str]:
    """Headers of a request that comes from an address by the trusted proxy."""
    return {"X-Forwarded-For": address}


async def guess(api: Api, email: str = EMAIL, address: str = GUESSER, times: int = GUESSES) -> None:
    for n in range(times):
        wrong = {"username": email, "password": f"wrong one {n}"}
        assert (await call(api, "POST", LOGIN, wrong, **at(address))).status == 401


async def device_of(api: Api, email: str = EMAIL, **headers: str) -> str:
    """The cookie of a device, as it is sent, after a login."""
    set_ = cookies(await log_in(api, email, **headers))
    (name,) = (name for name in set_ if name.startswith("device-"))
    return f"{name}={set_[name].value}"


async def profile(api: Api, **headers: str) -> Answer:
    return await call(api, "GET", "/profile/", **headers)


# The guesser


async def test_a_guesser_waits(api: Api, ada: Account, clock: Clock, verified: list[str]) -> None:
    """After five wrong logins, and 429 says for how long; meanwhile nothing is hashed."""
    await guess(api)
    verified.clear()
    for password in (PASSWORD, "wrong horse"):
        given = {"username": EMAIL, "password": password}
        answer = await call(api, "POST", LOGIN, given, **at(GUESSER))
        assert answer.error == (429, "permission", None)
        assert int(answer.headers["Retry-After"]) == 2
        assert "use a token" in answer.json[0]["error_message"]
    assert verified == []
    clock.s += 2
    assert (await log_in(api, EMAIL, **at(GUESSER))).status == 200


async def test_a_guesser_waits_whatever_is_guessed_at(api: Api, ada: Account, basic: Any) -> None:
    """Logins, tokens for programs and Basic count alike, at any account, existing or not."""
    await guess(api, times=2)
    await guess(api, "nobody@example.test", times=1)
    for n in range(2):
        wrong = basic(f"user{n}@example.test", "wrong horse")
        assert (await profile(api, **at(GUESSER), Authorization=wrong)).status == 401
    create = "/accounts/action/?do=create_token"
    wrong = {"username": EMAIL, "password": "wrong horse"}
    assert (await call(api, "POST", create, wrong, **at(GUESSER))).status == 401
    assert (await log_in(api, EMAIL, **at(GUESSER))).status == 429


async def test_neighbours_in_a_network_of_ipv6_are_one_guesser(api: Api, ada: Account) -> None:
    """A customer of a provider has at least 2**64 addresses."""
    for n in range(GUESSES):
        await guess(api, address=f"2001:db8:1:2::{n}", times=1)
    assert (await log_in(api, EMAIL, **at("2001:db8:1:2::99"))).status == 429
    assert (await log_in(api, EMAIL, **at("2001:db8:1:3::99"))).status == 200


async def test_guesses_at_the_same_time_count(accounts: Accounts, basic: Any) -> None:
    """A burst of different guesses gets no further than one after the other, but for one."""
    await accounts.add(EMAIL, PASSWORD)
    guesses = [
        accounts.authenticate(basic(EMAIL, f"wrong one {n}"), Client(GUESSER)) for n in range(60)
    ]
    refused = await asyncio.gather(*guesses, return_exceptions=True)
    assert 1 <= sum(isinstance(error, LoginRefused) for error in refused) <= 7
    assert all(isinstance(error, LoginRefused | TooManyAttempts) for error in refused)


# The victim


async def test_the_victim_logs_in_where_nobody_guesses(api: Api, ada: Account) -> None:
    """From a new address, and from one that is known; however many guess at the account."""
    assert (await log_in(api, EMAIL, **at("192.0.2.7"))).status == 200
    for n in range(5):
        await guess(api, address=f"10.0.0.{n}")
    for address in ("192.0.2.7", "198.51.100.1"):
        assert (await log_in(api, EMAIL, **at(address))).status == 200


async def test_the_victim_logs_in_at_the_guessers_address(api: Api, ada: Account) -> None:
    """By the cookie of a device, or because the account knows the address."""
    device = await device_of(api, **at("192.0.2.7"))
    await guess(api)
    assert (await log_in(api, EMAIL, **at(GUESSER))).status == 429
    assert (await log_in(api, EMAIL, **at(GUESSER), Cookie=device)).status == 200
    # By that success the account knows the address.
    assert (await log_in(api, EMAIL, **at(GUESSER))).status == 200


async def test_what_is_logged_in_already_goes_on(
    api: Api, ada: Account, basic: Any, clock: Clock
) -> None:
    """At the guesser's address: tokens, remembered or not; sessions; Basic that is remembered."""
    used, unused = [await api.service.accounts.tokens.add(EMAIL) for _ in range(2)]
    session = await session_of(api, ada)
    remembered = {"Authorization": basic(EMAIL, PASSWORD)}
    bearers = [{"Authorization": f"Bearer {token.token}"} for token in (used, unused)]
    for headers in (remembered, bearers[0], session.headers()):
        assert (await profile(api, **at("192.0.2.7"), **headers)).status == 200
    await guess(api)
    for headers in (remembered, *bearers, session.headers()):
        assert (await profile(api, **at(GUESSER), **headers)).status == 200


async def test_no_valid_token_is_refused(
    api: Api, ada: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """Of unknown ones a hundred a minute are 401; more are 429, which do not fill the log."""
    caplog.set_level("INFO")
    token = await api.service.accounts.tokens.add(EMAIL)
    valid = {"Authorization": f"Bearer {token.token}"}
    for n in range(100):
        unknown = await profile(api, **at(GUESSER), Authorization=f"Bearer jl_{n}")
        assert unknown.status == 401
    for _ in range(3):
        unknown = await profile(api, **at(GUESSER), Authorization="Bearer jl_x")
        assert unknown.error == (429, "permission", None)
    assert caplog.text.count(f"wrong token from {GUESSER}") == 100
    assert int(unknown.headers["Retry-After"]) == 60
    assert (await profile(api, **at(GUESSER), **valid)).status == 200
    elsewhere = await profile(api, **at("10.0.0.2"), Authorization="Bearer jl_x")
    assert elsewhere.status == 401
    assert (await log_in(api, EMAIL, **at(GUESSER))).status == 200


async def test_logins_are_counted(api: Api, ada: Account) -> None:
    """By where they came from, and what became of them."""
    token = await api.service.accounts.tokens.add(EMAIL)
    await log_in(api, EMAIL)
    await log_in(api, EMAIL)
    await guess(api)
    await log_in(api, EMAIL, **at(GUESSER))
    for authorization in (f"Bearer {token.token}", "Bearer jl_x"):
        await profile(api, Authorization=authorization)
    counted = {
        (sample.labels["class"], sample.labels["result"]): sample.value
        for metric in api.service.accounts.meter.logins.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.value
    }
    assert counted == {
        ("known", "right"): 1,
        ("new", "right"): 1,
        ("new", "wrong"): 1,
        ("failing", "wrong"): GUESSES - 1,
        ("failing", "delayed"): 1,
        ("token", "right"): 1,
        ("token", "wrong"): 1,
    }


# Known places


async def test_the_cookie_of_a_device(api: Api, ada: Account) -> None:
    """Scripts and other sites do not get it, it lasts half a year, and a logout leaves it."""
    set_ = cookies(await log_in(api, EMAIL))
    (cookie,) = (set_[name] for name in set_ if name.startswith("device-"))
    assert cookie.key == f"device-{api.service.ledger_id}"
    assert cookie["max-age"] == str(int(DEVICE_VALID_FOR.total_seconds())) == str(180 * 86400)
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    again = await log_in(api, EMAIL, Cookie=f"{cookie.key}={cookie.value}")
    assert cookies(again)[cookie.key].value == cookie.value


@pytest.mark.parametrize("forged", ["another's", "changed", "cut", "old", "", ".", "\ud800", "é.é"])
async def test_a_cookie_that_is_not_the_accounts_own_is_none(
    api: Api, ada: Account, forged: str
) -> None:
    """Of another account, changed, or from before the password was changed."""
    name, _, value = (await device_of(api)).partition("=")
    match forged:
        case "another's":
            await api.service.accounts.add("bob@example.test", PASSWORD)
            value = (await device_of(api, "bob@example.test")).partition("=")[2]
        case "changed":
            value = "x" + value
        case "cut":
            value = value[:-1]
        case "old":
            await api.service.accounts.set_password(EMAIL, "another horse")
            await api.service.accounts.set_password(EMAIL, PASSWORD)
        case _:
            value = forged.encode("utf-8", "surrogatepass").decode("latin-1")
    await guess(api)
    answer = await log_in(api, EMAIL, **at(GUESSER), Cookie=f"{name}={value}")
    assert answer.status == 429


async def test_a_known_place_is_known_for_90_days(api: Api, ada: Account, wall: Wall) -> None:
    """Since the last login from there, which is recorded once a day."""
    for days in (0, 89, 89):
        wall.move(timedelta(days=days))
        assert (await log_in(api, EMAIL, **at(GUESSER))).status == 200
        await guess(api)
        assert (await log_in(api, EMAIL, **at(GUESSER))).status == 200
    wall.move(known_places.KEPT)
    await guess(api)
    assert (await log_in(api, EMAIL, **at(GUESSER))).status == 429
    assert await api.service.accounts.expire_places() == 1
    assert places(api) == []


async def test_a_place_is_recorded_once_a_day(api: Api, ada: Account, wall: Wall) -> None:
    """A login costs no more than that."""
    times = []
    for hours in (0, 23, 1):
        wall.move(timedelta(hours=hours))
        assert (await log_in(api, EMAIL)).status == 200
        times += places(api)
    assert len(set(times)) == 2
    assert times[0] == times[1]


async def test_an_account_knows_its_last_20_places(api: Api, ada: Account, wall: Wall) -> None:
    """No address is in the table, nor is a hash of it that could be looked up elsewhere."""
    bob = await api.service.accounts.add("bob@example.test", PASSWORD)
    await log_in(api, bob.email, **at(GUESSER))
    for n in range(21):
        wall.move(timedelta(seconds=1))
        assert (await log_in(api, EMAIL, **at(f"10.0.0.{n}"))).status == 200
    assert len(places(api)) == 20 + 1
    for address, status in (("10.0.0.0", 429), ("10.0.0.20", 200)):
        await guess(api, address=address)
        assert (await log_in(api, EMAIL, **at(address))).status == status
    rows = read(api, "SELECT account, place FROM known_places")
    assert {account for account, _ in rows} == {ada.uuid, bob.uuid}
    digests = {hashlib.sha256(f"10.0.0.{n}".encode()).digest() for n in range(21)}
    assert digests.isdisjoint(place for _, place in rows)
    assert len({place for _, place in rows}) == len(rows)


@pytest.mark.parametrize("change", ["password", "removal"])
async def test_places_go_with_the_password_and_the_account(
    api: Api, ada: Account, change: str
) -> None:
    """Whoever knew the old password is no longer preferred."""
    await log_in(api, EMAIL, **at(GUESSER))
    assert len(places(api)) == 1
    if change == "password":
        await api.service.accounts.set_password(EMAIL, "another horse")
    else:
        await api.service.accounts.remove(EMAIL)
    assert places(api) == []


async def test_a_login_that_cannot_be_recorded_is_a_login(
    accounts: Accounts, basic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the disk is full: a Basic login still reads."""
    ada = await accounts.add(EMAIL, PASSWORD)

    async def full(_: object) -> None:
        raise StoreUnreachable("the disk is full")

    monkeypatch.setattr(accounts._tables, "write", full)
    assert await accounts.authenticate(basic(EMAIL, PASSWORD), Client(GUESSER)) == ada


def read(api: Api, sql: str) -> list[Any]:
    def rows(cursor: Any) -> list[Any]:
        cursor.execute(sql)
        found: list[Any] = cursor.fetchall()
        return found

    return api.service.ledger.read(rows)


def places(api: Api) -> list[str]:
    """When the known places of all accounts were recorded."""
    return [seen for (seen,) in read(api, "SELECT seen FROM known_places")]
