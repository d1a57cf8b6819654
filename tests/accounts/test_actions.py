"""`/accounts/action/`: logging in and out, and the cookie for a websocket.

tests/contract/CONTRACT.md 4.1 and 4.5.
"""

from pathlib import Path
from typing import Any

import pytest

from api.accounts.service import Account
from tests.accounts.calling import (
    ASYNCHRONOUS,
    LOGIN,
    LOGOUT,
    PASSWORD,
    by_session,
    call,
    cookies,
    log_in,
    session_of,
)
from tests.api.calling import DRIVE, Api

# Logging in


async def test_login(api: Api, ada: Account) -> None:
    """It needs no credentials but those in its body, and answers who has logged in."""
    answer = await log_in(api, "ADA@example.test")
    assert answer.status == 200
    assert answer.json == {"uuid": ada.uuid, "resource_uri": f"/api/2.0/user/{ada.uuid}/"}
    set_ = cookies(answer)
    own = f"-{api.service.ledger_id}"
    both = {f"{name}{suffix}" for name in ("csrftoken", "sessionid") for suffix in ("", own)}
    assert set(set_) == {*both, f"device{own}"}
    for suffix in ("", own):
        csrf, session = set_[f"csrftoken{suffix}"], set_[f"sessionid{suffix}"]
        assert (csrf.value, session.value) == (set_["csrftoken"].value, set_["sessionid"].value)
        assert (csrf["max-age"], session["max-age"]) == (str(365 * 86400), str(14 * 86400))
        assert (csrf["httponly"], session["httponly"]) == ("", True)
        for cookie in (csrf, session):
            assert (cookie["path"], cookie["samesite"], cookie["secure"]) == ("/", "Lax", "")
            assert (cookie["domain"], cookie.value) == ("", cookie.coded_value)


async def test_login_again(api: Api, ada: Account) -> None:
    """Credentials that are stale or wrong do not keep anybody from logging in."""
    stale = {"Cookie": "sessionid=stale; csrftoken=stale", "Authorization": "Basic nonsense"}
    assert (await log_in(api, ada.email, **stale)).status == 200


async def test_a_login_by_another_page_is_refused(api: Api, ada: Account) -> None:
    """Or it could have its reader go on as somebody else."""
    answer = await log_in(api, ada.email, Origin="https://evil.example")
    assert answer.error == (403, "permission", None)
    assert cookies(answer) == {}
    own = f"http://{api.client.server.host}:{api.client.server.port}"
    assert (await log_in(api, ada.email, Origin=own)).status == 200


async def test_cookies_behind_a_proxy(api: Api, ada: Account) -> None:
    """Over TLS, as a trusted proxy says, cookies are for TLS only."""
    for scheme, secure in (("https", True), ("HTTPS", True), ("http", ""), ("", "")):
        answer = await log_in(api, ada.email, **{"X-Forwarded-Proto": scheme})
        assert {cookie["secure"] for cookie in cookies(answer).values()} == {secure}
    session = await session_of(api, ada)
    https = {**session.headers(), "X-Forwarded-Proto": "https"}
    for path in (ASYNCHRONOUS, LOGOUT):
        answer = await call(api, "POST", path, **https)
        assert {cookie["secure"] for cookie in cookies(answer).values()} == {True}


@pytest.mark.parametrize(
    ("email", "password"),
    [("ada@example.test", "wrong horse"), ("bob@example.test", PASSWORD), ("ada", "x" * 300)],
)
async def test_a_wrong_login_is_refused(api: Api, ada: Account, email: str, password: str) -> None:
    """With the same 401 as everywhere, and no cookie."""
    answer = await call(api, "POST", LOGIN, {"username": email, "password": password})
    assert answer.error == (401, "permission", None)
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="users"'
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("given", "point"),
    [
        ({}, "username"),
        ({"username": "ada@example.test"}, "password"),
        ({"username": None, "password": PASSWORD}, "username"),
        ({"username": ["ada"], "password": PASSWORD}, "username"),
        ({"username": "ada@example.test", "password": 12345678}, "password"),
        ({"username": "ada@example.test", "password": "x" * 1025}, "password"),
        ([], None),
    ],
)
async def test_a_login_with_a_bad_body(api: Api, ada: Account, given: Any, point: str) -> None:
    """It is a 400 that names the field."""
    assert (await call(api, "POST", LOGIN, given)).error == (400, "validation", point)


async def test_a_login_that_is_no_json(api: Api) -> None:
    """It is a 400, and a 415 if it does not even say so."""
    for kind, status in (("application/json", 400), ("application/x-www-form-urlencoded", 415)):
        answer = await api.call(
            "POST", LOGIN, data="username=ada", headers={"Content-Type": kind}, by=None
        )
        assert answer.error == (status, "validation", None)


async def test_other_actions(api: Api, ada: Account) -> None:
    """There are three; any other is a 400, any other method a 405."""
    for query in ("", "?do=create", "?do="):
        answer = await call(api, "POST", f"/accounts/action/{query}")
        assert answer.error == (400, "validation", "do")
    for method in ("GET", "PUT", "DELETE"):
        assert (await call(api, method, LOGIN)).error == (405, "validation", None)
    answer = await call(api, "OPTIONS", "/accounts/action/")
    assert (answer.status, answer.body) == (200, b"POST")


# Logging out


async def test_logout(api: Api, ada: Account) -> None:
    """It ends the session at once, and only this one; its cookies are cleared."""
    session, other = await session_of(api, ada), await session_of(api, ada)
    answer = await by_session(api, "POST", LOGOUT, session, {})
    assert (answer.status, answer.json) == (200, {})
    assert {(name, c.value, c["max-age"], c["path"]) for name, c in cookies(answer).items()} == {
        (f"{name}{suffix}", "", "0", "/")
        for name in ("sessionid", "csrftoken", "async_auth")
        for suffix in ("", f"-{api.service.ledger_id}")
    }
    for method, path in (("GET", "/jobs/"), ("POST", LOGOUT)):
        answer = await by_session(api, method, path, session)
        assert answer.error == (401, "permission", None)
    assert (await by_session(api, "GET", "/jobs/", other)).status == 200


async def test_only_a_session_can_be_logged_out(api: Api, ada: Account, basic) -> None:
    """There is nothing to end of Basic, and without a login nobody to log out."""
    answer = await call(api, "POST", LOGOUT, Authorization=basic(ada.email, PASSWORD))
    assert answer.error == (403, "permission", None)
    assert (await call(api, "POST", LOGOUT)).error == (401, "permission", None)


# The cookie for a websocket


async def test_authenticate_asynchronous(api: Api, ada: Account, basic) -> None:
    """By every kind of login it gives a cookie by which the account is found."""
    token = await api.service.accounts.tokens.add(ada.email)
    session = await session_of(api, ada)
    for headers in (
        {"Authorization": basic(ada.email, PASSWORD)},
        {"Authorization": f"Bearer {token.token}"},
        session.headers(),
    ):
        answer = await call(api, "POST", ASYNCHRONOUS, {}, **headers)
        assert (answer.status, answer.json) == (200, {})
        for name in ("async_auth", f"async_auth-{api.service.ledger_id}"):
            cookie = cookies(answer)[name]
            assert (cookie["max-age"], cookie["path"]) == ("120", "/")
            assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
            value = cookie.value
            assert value == cookie.coded_value
            assert value.startswith(f"{ada.uuid}.0")
            assert await api.service.accounts.account_of_async_cookie(value) == ada


async def test_authenticate_asynchronous_needs_a_login(api: Api, ada: Account, basic) -> None:
    """Without one, or with a wrong one, it is a 401 without a cookie."""
    for headers in (
        {},
        {"Authorization": basic(ada.email, "wrong horse")},
        {"Cookie": "sessionid=x"},
    ):
        answer = await call(api, "POST", ASYNCHRONOUS, {}, **headers)
        assert answer.error == (401, "permission", None)
        assert "Set-Cookie" not in answer.headers


# All of them


async def test_an_auditor_logs_in_and_out(api: Api, auditor: Account) -> None:
    """That changes nothing of what an auditor may not; everything else still does."""
    session = await session_of(api, auditor)
    assert (await by_session(api, "GET", "/jobs/", session)).status == 200
    answer = await by_session(api, "POST", "/drives/", session, DRIVE)
    assert answer.error == (403, "permission", None)
    assert (await by_session(api, "POST", ASYNCHRONOUS, session)).status == 200
    assert (await by_session(api, "POST", LOGOUT, session)).status == 200


async def test_answers_have_a_request_id(api: Api, ada: Account) -> None:
    """Also where nobody is logged in."""
    for path in (LOGIN, LOGOUT, ASYNCHRONOUS, "/accounts/action/"):
        answer = await call(api, "POST", path, {}, **{"X-Request-ID": "mine"})
        assert answer.headers["X-Request-ID"] == "mine"


async def test_nothing_that_logs_in_is_on_disk(api: Api, ada: Account, tmp_path: Path) -> None:
    """No file holds a password, a session's id, a csrf token or a bearer token."""
    sessions = [await session_of(api, ada) for _ in range(3)]
    tokens = [(await api.service.accounts.tokens.add(ada.email, "backup")).token for _ in range(3)]
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert ada.uuid.encode() in written
    assert b"backup" in written
    for secret in (PASSWORD, *(text for session in sessions for text in session), *tokens):
        assert secret.encode() not in written
        assert secret.removeprefix("jl_").encode() not in written
