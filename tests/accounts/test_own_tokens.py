"""Tokens that programs get for themselves, by a password, and give back."""

from typing import Any

import pytest

from api.accounts.service import Account, Accounts, LoginRefused
from ledger.domain.errors.quotas import QuotaExceeded
from tests.accounts.calling import HERE, PASSWORD, by_session, call, session_of
from tests.api.calling import Answer, Api

CREATE = "/accounts/action/?do=create_token"
REMOVE = "/accounts/action/?do=remove_token"


async def create(api: Api, email: str, **given: Any) -> Answer:
    body = {"username": email, "password": PASSWORD, "name": "laptop", **given}
    return await call(api, "POST", CREATE, body)


async def status(api: Api, token: str) -> int:
    answer = await call(api, "GET", "/jobs/", None, Authorization=f"Bearer {token}")
    return answer.status


async def test_a_token_is_given_once_and_given_back(api: Api, ada: Account) -> None:
    """It logs in until it has removed itself; nobody else's is touched."""
    made, other = await create(api, ada.email), await create(api, ada.email)
    assert made.status == 201
    assert set(made.json) == {"id", "name", "token", "uuid"}
    assert made.json["uuid"] == ada.uuid
    token, another = made.json["token"], other.json["token"]
    assert (await status(api, token), await status(api, another)) == (200, 200)
    removed = await call(api, "POST", REMOVE, {}, Authorization=f"Bearer {token}")
    assert (removed.status, removed.json) == (200, {})
    assert (await status(api, token), await status(api, another)) == (401, 200)
    again = await call(api, "POST", REMOVE, {}, Authorization=f"Bearer {token}")
    assert again.status == 401


async def test_an_account_has_so_many_tokens(
    api: Api, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One too many is refused, also to the operator, until one is removed."""
    accounts = api.service.accounts
    monkeypatch.setattr(accounts.tokens, "_limit", 2)
    first = (await create(api, ada.email)).json
    assert (await create(api, ada.email)).status == 201
    refused = await create(api, ada.email)
    assert refused.error == (403, "quota", None)
    assert "2 tokens, and may have no more: remove some" in refused.json[0]["error_message"]
    with pytest.raises(QuotaExceeded):
        await accounts.tokens.add(ada.email)
    await accounts.tokens.remove(first["id"])
    assert (await create(api, ada.email)).status == 201


async def test_an_auditor_has_tokens_too(api: Api, auditor: Account) -> None:
    """A login is no change."""
    made = await create(api, auditor.email)
    headers = {"Authorization": f"Bearer {made.json['token']}"}
    assert (await call(api, "POST", REMOVE, {}, **headers)).status == 200


async def test_a_wrong_password_gives_no_token(api: Api, ada: Account) -> None:
    """It is refused as a wrong login is."""
    refused = await create(api, ada.email, password="another password")
    assert refused.error == (401, "permission", None)


async def test_no_page_of_another_site_gets_a_token(api: Api, ada: Account) -> None:
    """It could guess at passwords, and the addresses of its readers would have to wait."""
    for password in (PASSWORD, "another password"):
        body = {"username": ada.email, "password": password, "name": "laptop"}
        refused = await call(api, "POST", CREATE, body, Origin="https://evil.example")
        assert refused.error == (403, "permission", None)


@pytest.mark.parametrize(
    ("given", "point"),
    [
        ({"name": "x" * 65}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": 3}, "name"),
        ({"password": None}, "password"),
    ],
)
async def test_a_request_for_a_token_that_makes_no_sense(
    api: Api, ada: Account, given: Any, point: str
) -> None:
    """400, and the name of what will not do."""
    assert (await create(api, ada.email, **given)).error == (400, "validation", point)


async def test_only_a_token_removes_itself(api: Api, ada: Account, basic: Any) -> None:
    """Neither a session nor a password has one to remove."""
    session = await session_of(api, ada)
    assert (await by_session(api, "POST", REMOVE, session, {})).status == 403
    assert (
        await call(api, "POST", REMOVE, {}, Authorization=basic(ada.email, PASSWORD))
    ).status == 403


async def test_a_password_that_was_changed_meanwhile_gives_no_token(
    accounts: Accounts, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was verified by the old one is refused in the end."""
    add = accounts.tokens.add

    async def slow(*given: Any, **named: Any) -> Any:
        await accounts.set_password(ada.email, "a wholly new password")
        return await add(*given, **named)

    monkeypatch.setattr(accounts.tokens, "add", slow)
    with pytest.raises(LoginRefused):
        await accounts.new_token(ada.email, PASSWORD, HERE, "")
