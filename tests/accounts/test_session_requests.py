"""Requests with a session, and with a token: tests/contract/CONTRACT.md 4.1."""

import pytest

from api.accounts.service import Account
from api.accounts.sessions import VALID_FOR
from tests.accounts.calling import (
    ASYNCHRONOUS,
    LOGOUT,
    PASSWORD,
    Session,
    by_session,
    call,
    session_of,
)
from tests.accounts.clocks import Wall
from tests.api.calling import DRIVE, UNKNOWN, Api


async def test_requests_with_a_session(api: Api, ada: Account) -> None:
    """A session reads and changes what its account may."""
    session = await session_of(api, ada)
    made = await by_session(api, "POST", "/drives/", session, DRIVE)
    assert made.status == 201
    (drive,) = made.json["objects"]
    assert drive["owner"]["uuid"] == ada.uuid
    path = f"/drives/{drive['uuid']}/"
    assert (await by_session(api, "GET", path, session)).json["uuid"] == drive["uuid"]
    assert (await by_session(api, "DELETE", path, session)).status == 204
    assert (await by_session(api, "GET", path, session)).status == 404


async def test_reading_needs_no_csrf_token(api: Api, ada: Account) -> None:
    """GET, HEAD and OPTIONS come without."""
    session = await session_of(api, ada)
    for method in ("GET", "HEAD", "OPTIONS"):
        bare = {"csrftoken": None, "X_CSRFToken": None}
        answer = await by_session(api, method, "/drives/", session, None, **bare)
        assert answer.status == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"X_CSRFToken": None},
        {"X_CSRFToken": ""},
        {"X_CSRFToken": "wrong"},
        {"csrftoken": None},
        {"csrftoken": "wrong"},
        {"csrftoken": "wrong", "X_CSRFToken": "wrong"},
        {"csrftoken": None, "X_CSRFToken": None},
    ],
    ids=str,
)
async def test_changing_needs_the_csrf_token(
    api: Api, ada: Account, changed: dict[str, str | None]
) -> None:
    """Without the session's own token in header and cookie it is a 403, and nothing is done."""
    session = await session_of(api, ada)
    for method, path in (
        ("POST", "/drives/"),
        ("DELETE", "/drives/"),
        ("PUT", "/nothing/"),
        ("POST", LOGOUT),
        ("POST", ASYNCHRONOUS),
    ):
        answer = await by_session(api, method, path, session, DRIVE, **changed)
        assert answer.error == (403, "permission", None)
    listed = await by_session(api, "GET", "/drives/", session)
    assert listed.json["meta"]["total_count"] == 0


async def test_the_csrf_token_of_another_session(api: Api, ada: Account) -> None:
    """It does not do, even if it is of the same account."""
    session, other = await session_of(api, ada), await session_of(api, ada)
    mixed = Session(session.id, other.csrf)
    answer = await by_session(api, "POST", "/drives/", mixed, DRIVE)
    assert answer.error == (403, "permission", None)


@pytest.mark.parametrize("cookie", ["sessionid=", "sessionid=x", "csrftoken=x", "", "\xff=;;\xfe"])
async def test_no_session(api: Api, ada: Account, cookie: str) -> None:
    """An unknown session, or none, is a 401."""
    for method in ("GET", "POST"):
        answer = await call(api, method, "/drives/", Cookie=cookie)
        assert answer.error == (401, "permission", None)


async def test_a_session_expires(api: Api, ada: Account, wall: Wall) -> None:
    """After 14 days it is a 401."""
    session = await session_of(api, ada)
    assert (await by_session(api, "GET", "/jobs/", session)).status == 200
    wall.move(VALID_FOR)
    answer = await by_session(api, "GET", "/jobs/", session)
    assert answer.error == (401, "permission", None)


async def test_the_header_beats_the_cookie(api: Api, ada: Account, basic) -> None:
    """With an Authorization header it does not matter which session there is, or whether."""
    bob = await api.service.accounts.add("bob@example.test", PASSWORD)
    session = await session_of(api, ada)
    headers = session.headers(X_CSRFToken=None)
    wrong = await call(
        api, "GET", "/drives/", **headers, Authorization=basic(ada.email, "wrong horse")
    )
    assert wrong.status == 401
    made = await call(
        api, "POST", "/drives/", DRIVE, **headers, Authorization=basic(bob.email, PASSWORD)
    )
    assert made.json["objects"][0]["owner"]["uuid"] == bob.uuid


async def test_sessions_are_isolated(api: Api, ada: Account) -> None:
    """What is another account's is not there."""
    bob = await api.service.accounts.add("bob@example.test", PASSWORD)
    mine, other = await session_of(api, ada), await session_of(api, bob)
    (drive,) = (await by_session(api, "POST", "/drives/", mine, DRIVE)).json["objects"]
    for method in ("GET", "DELETE"):
        answer = await by_session(api, method, f"/drives/{drive['uuid']}/", other)
        assert answer.error == (404, "notexist", None)


async def test_unknown_urls_are_told_to_sessions_too(api: Api, ada: Account) -> None:
    """A session gets the 404 and 405 that everybody gets."""
    session = await session_of(api, ada)
    assert (await by_session(api, "GET", f"/jobs/{UNKNOWN}/", session)).status == 404
    assert (await by_session(api, "POST", "/jobs/", session)).status == 405


async def test_a_token_is_a_login(api: Api, ada: Account) -> None:
    """With `Authorization: Bearer` everything goes as with Basic, without a csrf token."""
    new = await api.service.accounts.tokens.add(ada.email)
    headers = {"Authorization": f"Bearer {new.token}"}
    made = await call(api, "POST", "/drives/", DRIVE, **headers)
    assert made.json["objects"][0]["owner"]["uuid"] == ada.uuid
    await api.service.accounts.tokens.remove(new.id)
    answer = await call(api, "GET", "/drives/", **headers)
    assert answer.error == (401, "permission", None)


async def test_the_page_of_another_host_changes_nothing(api: Api, ada: Account, basic) -> None:
    """A browser sends the Basic login it knows for anybody's page, and says whose page it is."""
    headers = {"Authorization": basic(ada.email, PASSWORD)}
    own = str(api.client.make_url("")).rstrip("/")
    for origin, status in (("https://evil.example", 403), ("null", 403), (own, 201), (None, 201)):
        said = headers if origin is None else {**headers, "Origin": origin}
        assert (await call(api, "POST", "/drives/", DRIVE, **said)).status == status, origin
    foreign = {**headers, "Origin": "https://evil.example"}
    assert (await call(api, "GET", "/drives/", **foreign)).status == 200


async def test_a_browser_is_not_made_to_ask(api: Api) -> None:
    """A script of a page is refused without the challenge for which browsers show a box."""
    plain = await api.get("/jobs/", by=None)
    assert plain.headers["WWW-Authenticate"].startswith("Basic")
    script = await api.get("/jobs/", by=None, headers={"X-Requested-With": "XMLHttpRequest"})
    assert script.status == 401
    assert script.headers["WWW-Authenticate"].startswith("Bearer")


CHECK = "/accounts/action/?do=check_login"
CHECK_UUID = "/accounts/action/?do=check_login_with_return_uuid"


async def test_a_login_can_be_checked(api: Api, ada: Account, basic) -> None:
    """By a session, also without its CSRF token, and by a password; it changes nothing."""
    session = await session_of(api, ada)
    bare: dict[str, str | None] = {"csrftoken": None, "X_CSRFToken": None}
    for path, answer in ((CHECK, {}), (CHECK_UUID, {"uuid": ada.uuid})):
        for given in ({}, bare):
            checked = await by_session(api, "POST", path, session, {}, **given)
            assert (checked.status, checked.json) == (200, answer)
        header = basic(ada.email, PASSWORD)
        assert (await call(api, "POST", path, Authorization=header)).json == answer
        wrong = basic(ada.email, "wrong horse")
        assert (await call(api, "POST", path, Authorization=wrong)).status == 401
        assert (await call(api, "POST", path)).error == (401, "permission", None)
        other = {"Origin": "https://other.example", "Cookie": session.headers()["Cookie"]}
        assert (await call(api, "POST", path, **other)).status == 403
