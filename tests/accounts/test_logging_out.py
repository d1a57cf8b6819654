"""What ends with a session: its websockets, and cookies for them; and whose cookies are whose."""

from datetime import timedelta
from typing import Any

import aiohttp

from api.accounts.service import Account
from api.accounts.sessions import VALID_FOR
from api.http.edge.cookies import Cookies
from tests.accounts.calling import (
    ASYNCHRONOUS,
    LOGOUT,
    PASSWORD,
    Session,
    by_session,
    call,
    cookies,
    log_in,
    session_of,
)
from tests.accounts.clocks import Wall
from tests.api.calling import Api
from tests.api.listening import Listener
from tests.support.wait import wait_until

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def async_cookie(api: Api, **headers: str) -> dict[str, str]:
    answer = await call(api, "POST", ASYNCHRONOUS, {}, **headers)
    return {"Cookie": f"async_auth={cookies(answer)['async_auth'].value}"}


async def goes_on(api: Api, listener: Listener, account: Account) -> None:
    """It is told of what happens next."""
    job = await api.job(owner=account)
    await listener.until(lambda frame: frame.uri == f"/api/2.0/jobs/{job}/")


async def test_a_logout_ends_the_websockets_of_its_session(
    api: Api, ada: Account, basic: Any
) -> None:
    """And no others of the account: those of another session, and of Basic, stay."""
    session, other = await session_of(api, ada), await session_of(api, ada)
    basics = {"Authorization": basic(ada.email, PASSWORD)}
    connect = api.client.ws_connect
    async with (
        connect("/websocket", headers=await async_cookie(api, **session.headers())) as first,
        connect("/websocket", headers=await async_cookie(api, **session.headers())) as second,
        connect("/websocket", headers=await async_cookie(api, **other.headers())) as others,
        connect("/websocket", headers=await async_cookie(api, **basics)) as of_basic,
    ):
        await wait_until("all follow", lambda: api.service.feed.subscribers == 4)
        assert (await by_session(api, "POST", LOGOUT, session, {})).status == 200
        for socket in (first, second):
            assert await Listener(socket).closed() == aiohttp.WSCloseCode.POLICY_VIOLATION
        for socket in (others, of_basic):
            await goes_on(api, Listener(socket), ada)


async def test_a_logout_ends_the_cookies_for_websockets(api: Api, ada: Account) -> None:
    """One that was made in the session before opens nothing."""
    session, other = await session_of(api, ada), await session_of(api, ada)
    ended, kept = [await async_cookie(api, **each.headers()) for each in (session, other)]
    assert (await by_session(api, "POST", LOGOUT, session, {})).status == 200
    for cookie, status in ((ended, 401), (kept, 101)):
        answer = await api.call("GET", "/websocket", headers=HANDSHAKE | cookie, by=None)
        assert answer.status == status


async def test_a_websocket_ends_when_its_session_expires(
    api: Api, ada: Account, wall: Wall
) -> None:
    """Nobody need notice: whoever follows sessions does."""
    session = await session_of(api, ada)
    headers = await async_cookie(api, **session.headers())
    async with api.client.ws_connect("/websocket", headers=headers) as socket:
        await wait_until("it follows", lambda: api.service.feed.subscribers == 1)
        wall.move(VALID_FOR - timedelta(seconds=1))
        await api.service.accounts.sessions.find_ended()
        await goes_on(api, Listener(socket), ada)
        wall.move(timedelta(seconds=1))
        await api.service.accounts.sessions.find_ended()
        assert await Listener(socket).closed() == aiohttp.WSCloseCode.POLICY_VIOLATION
    watchers = api.service.accounts.sessions._watchers
    await wait_until("nobody watches the session any more", lambda: not watchers)


# Two services on one host


def own(api: Api, session: Session) -> dict[str, str]:
    """What a page sends: the cookies of its ledger, beside another service's of the same names."""
    mine = Cookies(api.service.ledger_id)
    pairs = {mine.name("sessionid"): session.id, mine.name("csrftoken"): session.csrf}
    theirs = {"sessionid": "theirs", "csrftoken": "theirs", "async_auth": "theirs"}
    cookie = "; ".join(f"{name}={value}" for name, value in (theirs | pairs).items())
    return {"Cookie": cookie, "X-CSRFToken": session.csrf}


async def test_two_services_on_one_host(api: Api, ada: Account) -> None:
    """Cookies of another service, which the browser sends too, neither log out nor in."""
    headers = own(api, await session_of(api, ada))
    assert (await call(api, "GET", "/profile/", **headers)).status == 200
    answer = await call(api, "POST", ASYNCHRONOUS, {}, **headers)
    assert answer.status == 200
    name = Cookies(api.service.ledger_id).name("async_auth")
    both = {"Cookie": f"async_auth=theirs; {name}={cookies(answer)[name].value}"}
    assert (await api.call("GET", "/websocket", headers=HANDSHAKE | both, by=None)).status == 101
    assert (await call(api, "POST", LOGOUT, {}, **headers)).status == 200
    assert (await call(api, "GET", "/profile/", **headers)).status == 401


async def test_what_clients_of_the_public_api_know(api: Api, ada: Account) -> None:
    """They find the cookies under the names without an id, and send these or all of them."""
    set_ = cookies(await log_in(api, ada.email))
    all_of_them = {
        "Cookie": "; ".join(f"{name}={cookie.value}" for name, cookie in set_.items()),
        "X-CSRFToken": set_["csrftoken"].value,
    }
    public = Session(set_["sessionid"].value, set_["csrftoken"].value).headers()
    for headers in (all_of_them, public):
        assert (await call(api, "POST", ASYNCHRONOUS, {}, **headers)).status == 200
