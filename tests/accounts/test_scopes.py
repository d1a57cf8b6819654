"""What tokens with scopes may use: what is listed for a scope of theirs, and nothing else."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from api.accounts.scopes import SCOPES, Scope
from api.accounts.service import Account
from api.app import make_app
from api.http.access import URL_ACCESS
from api.http.permissions.scopes import LISTED, listed, url_of
from api.service.service import Service
from tests.accounts.calling import ASYNCHRONOUS, PASSWORD, call
from tests.api.calling import UNKNOWN, Api

CLOSED = {
    "/api/2.0/accounts/self",
    "/api/2.0/profile",
    "/api/2.0/profile/schema",
    "/api/2.0/logs",
    "/api/2.0/capabilities",
    "/api/2.0/capabilities/schema",
    *(
        f"/api/2.0/{kind}{path}"
        for kind in ("balance", "currentusage", "pricing")
        for path in ("", "/detail", "/schema")
    ),
    *(
        f"/api/2.0/{kind}{path}"
        for kind in (
            *("acls", "fwpolicies", "licenses", "remotesnapshots", "snapshots"),
            *("subscriptions", "vlans"),
        )
        for path in ("", "/detail", "/{}")
    ),
}
"""What no token with scopes may use: the account itself, money, and what nobody has."""


class Route(NamedTuple):
    method: str
    url: str
    scope: Scope | None


def routes(service: Service) -> Iterator[Route]:
    """Every route that needs a login."""
    app = make_app(service)
    for route in app.router.routes():
        assert route.resource is not None
        if app[URL_ACCESS][route.resource] != "public":
            found = listed(route.method, route.resource.canonical)
            yield Route(
                route.method,
                url_of(route.resource.canonical),
                None if found is None else found.scope,
            )


@pytest.fixture
async def operator(api: Api) -> Account:
    """So that no role refuses what a scope allows."""
    return await api.service.accounts.add("operator@example.test", PASSWORD, "operator")


@pytest.fixture
async def tokens(api: Api, operator: Account) -> dict[str, dict[str, str]]:
    """Headers with a token of all scopes, of all but one, and of only one."""
    add = api.service.accounts.tokens.add
    kinds = {"all": SCOPES}
    kinds |= {f"not {scope}": tuple(s for s in SCOPES if s != scope) for scope in SCOPES}
    kinds |= {f"only {scope}": (scope,) for scope in SCOPES}
    return {
        kind: {"Authorization": f"Bearer {(await add(operator.email, 't', scopes=scopes)).token}"}
        for kind, scopes in kinds.items()
    }


async def test_every_route_takes_its_scope(api: Api, tokens: dict[str, dict[str, str]]) -> None:
    """All other scopes together do not help; a route that is not listed is closed to all."""
    tried = 0
    for method, url, scope in routes(api.service):
        path = url.replace("{}", UNKNOWN, 1).replace("{}", "drives")
        kinds = ["all"] if scope is None else [f"not {scope}"]
        for kind in kinds:
            async with api.client.request(
                method, path, headers=tokens[kind], allow_redirects=False
            ) as answer:
                assert answer.status == 403, f"{method} {path} with {kind}"
                if method != "HEAD" and url.startswith("/api/2.0"):
                    message = (await answer.json())[0]["error_message"]
                    assert ("may not do this" if scope is None else scope) in message
                tried += 1
        if scope is not None and method == "GET":
            headers = tokens[f"only {scope}"]
            async with api.client.get(path, headers=headers, allow_redirects=False) as answer:
                assert answer.status in (200, 204, 400, 404), f"{method} {path} with {scope}"
    assert tried > 150


def test_what_is_closed_is_meant_to_be(service_routes: list[Route]) -> None:
    """A new route is in this list until it is listed for a scope."""
    assert {route.url for route in service_routes if route.scope is None} == CLOSED


def test_what_is_listed_is_there(service_routes: list[Route]) -> None:
    there = {(route.method, route.url) for route in service_routes}
    assert LISTED.keys() <= there


@pytest.fixture
def service_routes(api: Api) -> list[Route]:
    return list(routes(api.service))


async def test_a_token_with_scopes_opens_no_websocket(
    api: Api, tokens: dict[str, dict[str, str]]
) -> None:
    """It would show everything that the account has."""
    refused = await call(api, "POST", ASYNCHRONOUS, {}, **tokens["all"])
    assert refused.error == (403, "permission", None)


async def test_a_scope_does_not_replace_a_role(api: Api, ada: Account) -> None:
    """Nor does a role replace a scope: staff look at others with `ledger:read` only."""
    add = api.service.accounts.tokens.add
    scoped = (await add(ada.email, "t", scopes=("ledger:read",))).token
    refused = await call(api, "GET", "/ledger/status/", None, Authorization=f"Bearer {scoped}")
    assert refused.status == 403
    await api.service.accounts.set_role(ada.email, "auditor")
    allowed = await call(api, "GET", "/ledger/status/", None, Authorization=f"Bearer {scoped}")
    assert allowed.status == 200
    bob = await api.service.accounts.add("bob@example.test", PASSWORD)
    for scopes, status in ((("jobs:read",), 403), (("jobs:read", "ledger:read"), 200)):
        token = (await add(ada.email, "t", scopes=scopes)).token
        path = f"/jobs/?owner={bob.uuid}"
        answer = await call(api, "GET", path, None, Authorization=f"Bearer {token}")
        assert answer.status == status
    auditor = (await add(ada.email, "t", scopes=("resources:write",))).token
    answer = await call(api, "POST", "/tags/", {"name": "x"}, Authorization=f"Bearer {auditor}")
    assert answer.status == 403


async def test_a_token_without_scopes_may_do_all_that_its_account_may(
    api: Api, ada: Account
) -> None:
    """As the tokens of earlier versions do."""
    token = (await api.service.accounts.tokens.add(ada.email)).token
    for path in ("/profile/", "/logs/", "/balance/", "/jobs/", "/accounts/self/"):
        answer = await call(api, "GET", path, None, Authorization=f"Bearer {token}")
        assert answer.status == 200
    answer = await call(api, "POST", ASYNCHRONOUS, {}, Authorization=f"Bearer {token}")
    assert answer.status == 200
