"""Tokens with scopes, over HTTP: who issues, sees and removes which."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from api.accounts.service import Account
from api.app import make_app
from api.composition import open_service
from api.service.request_rates import CallRates
from api.service.settings import Settings
from ledger.domain.producers.commands import RegisterJob
from ledger.store.writer import Caller
from tests.accounts.calling import PASSWORD
from tests.accounts.clocks import Clock
from tests.api.begun import begin_as
from tests.api.calling import UNKNOWN
from tests.api.unhurried import unhurried
from tests.harness.cases import in_turn
from tests.support.api_server import ApiServer
from tests.support.producing import HERE, registered
from tests.v1.calling import V1

LATER = datetime.now(UTC) + timedelta(days=10)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def v1(tmp_path: Path, begun: Path, clock: Clock) -> AsyncIterator[V1]:
    """A service whose accounts are real, and may do five of a kind in a minute."""
    begin_as(begun, tmp_path)
    kinds = ("registrations", "cancels", "labels", "reads")
    limits = {f"{kind}_{of}": 5 for kind in kinds for of in ("per_minute", "burst")}
    settings = Settings(data=tmp_path, copying=False, limits=unhurried())
    async with open_service(settings) as opened:
        rates = CallRates(unhurried(**limits, together_per_account=2), clock)
        service = replace(opened, call_rates=rates)
        async with TestClient(ApiServer(make_app(service))) as client:
            yield V1(client, service)


@pytest.fixture
async def ada(v1: V1) -> Account:
    return await v1.service.accounts.add("ada@example.test", PASSWORD)


def by(token: str) -> dict[str, Any]:
    return {"by": None, "headers": {"Authorization": f"Bearer {token}"}}


@pytest.fixture
async def everything(v1: V1, ada: Account) -> dict[str, Any]:
    """A token of the kind that an earlier version made."""
    return by((await v1.service.accounts.tokens.add(ada.email, "old")).token)


async def issue(v1: V1, issuer: dict[str, Any], **said: Any) -> dict[str, Any]:
    answer = await v1.call("POST", "/tokens", json={"name": "nas", **said}, **issuer)
    assert answer.status == 201, answer.body
    issued: dict[str, Any] = answer.json
    return issued


MANAGER = {
    "scopes": ["tokens:manage", "jobs:read", "jobs:register"],
    "restrictors": ["series=nas/*", "max_running=50"],
    "source": "//nas",
    "expires_at": LATER.isoformat(),
}


async def test_a_token_is_issued_and_told_once(v1: V1, everything: dict[str, Any]) -> None:
    """It may do what was asked for; a list shows it without its secret."""
    made = await issue(v1, everything, **MANAGER)
    assert sorted(MANAGER["scopes"]) == made["scopes"]
    assert made["restrictors"] == MANAGER["restrictors"]
    assert datetime.fromisoformat(made["expires_at"]) == LATER
    own = (await v1.get("/account", **by(made["token"]))).json["token"]
    assert own == {
        **{name: made[name] for name in ("id", "scopes", "restrictors", "source", "expires_at")}
    }
    listed = await v1.get("/tokens", **everything)
    assert made["token"].encode() not in listed.body
    assert listed.json["tokens"][-1] == {
        name: value for name, value in made.items() if name != "token"
    }
    assert listed.json["tokens"][0]["scopes"] is None


async def test_it_is_recorded_without_its_secret(v1: V1, everything: dict[str, Any]) -> None:
    made = await issue(v1, everything, **MANAGER)
    await v1.call("DELETE", f"/tokens/{made['id']}", **everything)
    with v1.service.ledger.log() as log:
        events = log.stream(f"token-{made['id']}")
    assert [topic for _, topic, _ in events] == ["token-issued/1", "token-removed/1"]
    assert not any(made["token"].encode() in state for _, _, state in events)


@in_turn(
    "wider, told",
    [
        ({"scopes": ["jobs:read", "jobs:cancel"]}, "jobs:cancel"),
        ({"restrictors": ["series=*"]}, None),
        ({"restrictors": ["max_running=51"]}, None),
        ({"source": "//nasty"}, None),
        ({"expires_at": (LATER + timedelta(seconds=1)).isoformat()}, None),
    ],
)
async def test_a_token_issues_no_more_than_it_has(
    v1: V1, everything: dict[str, Any], wider: dict[str, Any], told: str | None
) -> None:
    manager = by((await issue(v1, everything, **MANAGER))["token"])
    refused = await v1.refused(
        "POST", "/tokens", json={"name": "x", "scopes": ["jobs:read"], **wider}, **manager
    )
    assert (refused["type"], refused["status"]) == ("scope-missing", 403)
    assert refused.get("scope") == told


async def test_what_is_not_said_is_as_for_the_issuer(v1: V1, everything: dict[str, Any]) -> None:
    """And a token sees and removes itself, and those that it has issued."""
    top = await issue(v1, everything, **MANAGER)
    manager = by(top["token"])
    made = await issue(v1, manager, scopes=["jobs:read"], restrictors=["labels.env=prod"])
    assert made["issuer"] == top["id"]
    assert made["restrictors"] == ["series=nas/*", "labels.env=prod", "max_running=50"]
    assert (made["source"], made["expires_at"]) == (top["source"], top["expires_at"])
    seen = (await v1.get("/tokens", **manager)).json["tokens"]
    assert [each["id"] for each in seen] == [top["id"], made["id"]]
    others = (await v1.get("/tokens", **everything)).json["tokens"][0]["id"]
    assert (await v1.refused("DELETE", f"/tokens/{others}", **manager))["type"] == "not-found"
    assert (await v1.call("DELETE", f"/tokens/{made['id']}", **manager)).status == 204
    assert await v1.refused("GET", "/account", **by(made["token"])) == {
        "type": "unauthorized",
        "status": 401,
        "why": "removed",
    }


async def test_another_accounts_tokens_do_not_exist(v1: V1, everything: dict[str, Any]) -> None:
    bob = await v1.service.accounts.add("bob@example.test", PASSWORD)
    theirs = await v1.service.accounts.tokens.add(bob.email)
    assert (await v1.refused("DELETE", f"/tokens/{theirs.id}", **everything))["status"] == 404
    assert len((await v1.get("/tokens", **everything)).json["tokens"]) == 1
    assert len((await v1.get("/tokens", **by(theirs.token))).json["tokens"]) == 1


@in_turn(
    "said, field",
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["jobs:burn"]}, "scopes"),
        ({"restrictors": ["owner=me"]}, "restrictors"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
        ({"source": "two\nlines"}, "source"),
        ({"name": ""}, "name"),
    ],
)
async def test_what_no_token_can_be(
    v1: V1, everything: dict[str, Any], said: dict[str, Any], field: str
) -> None:
    body = {"name": "x", "scopes": ["jobs:read"], **said}
    refused = await v1.refused("POST", "/tokens", json=body, **everything)
    assert (refused["type"], refused["field"]) == ("bad-value", field)


async def test_the_account_shows_quotas_and_rates(v1: V1, everything: dict[str, Any]) -> None:
    shown = (await v1.get("/account", **everything)).json
    assert shown["quotas"] == {
        "jobs_running": {"limit": 10_000, "used": 0},
        "jobs_kept": {"limit": 1_000_000, "used": 0},
        "tokens": {"limit": 200, "used": 1},
    }
    assert shown["rates"]["registrations"] == {"per_minute": 5, "burst": 5}
    assert shown["token"]["scopes"] is None


async def test_reads_are_limited_by_token_and_by_account(
    v1: V1, ada: Account, everything: dict[str, Any], clock: Clock
) -> None:
    """A token may do so many in a minute; another one has its own, until both have enough."""
    others = [by((await v1.service.accounts.tokens.add(ada.email)).token) for _ in range(2)]
    for token in (everything, others[0]):
        for _ in range(5):
            assert (await v1.get("/account", **token)).status == 200
    for token in (everything, others[1]):
        refused = await v1.call("GET", "/account", **token)
        assert (refused.status, refused.headers["Retry-After"]) == (
            429,
            "12" if token is everything else "6",
        )
        assert refused.json["type"].endswith("too-fast")
    clock.s += 12
    assert (await v1.get("/account", **everything)).status == 200


async def test_last_use_is_stored_later(v1: V1, everything: dict[str, Any]) -> None:
    tokens = v1.service.accounts.tokens
    await v1.get("/account", **everything)
    await tokens.store_uses()
    first = (await v1.get("/tokens", **everything)).json["tokens"][0]["last_used_at"]
    assert first is not None
    await tokens.store_uses()
    assert (await v1.get("/tokens", **everything)).json["tokens"][0]["last_used_at"] == first
    assert not tokens._used


async def test_a_plan_counts_each_of_its_jobs(v1: V1, ada: Account, everything: Any) -> None:
    """Four jobs and two requests are five, as one request counts as the first of its jobs."""
    for nth in range(4):
        said = registered(external_id=str(nth))
        command = RegisterJob(ada.uuid, f"{nth}{UNKNOWN[1:]}", "backup", said, holder=HERE)
        await v1.service.ledger.execute(command, Caller(ada.uuid, "r"))
    made = await v1.call("POST", "/cancels", json={"filter": {"state": ["running"]}}, **everything)
    asked = await v1.call("POST", "/cancels", json={"plan": made.json["plan"]}, **everything)
    assert (asked.status, asked.json["asked"]) == (202, 4), asked.body
    refused = await v1.refused("POST", "/cancels", json={"plan": made.json["plan"]}, **everything)
    assert (refused["type"], refused["retry_after_s"]) == ("too-fast", 12)
