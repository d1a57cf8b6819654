"""How a request says whose it is: by its Authorization header, or else by a session's cookie."""

from aiohttp import hdrs, web

from api.accounts.service import Account, Accounts, LoginRefused
from api.accounts.sessions import Session
from api.http.errors import Forbidden
from api.http.same_origin import check_origin

SESSION_COOKIE = "sessionid"
CSRF_COOKIE = "csrftoken"
CSRF_HEADER = "X-CSRFToken"

_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
"""Methods that change nothing, so that nobody gains by making a browser send them."""


async def account_of(request: web.Request, accounts: Accounts) -> Account:
    """Whose request it is. With an Authorization header, cookies are not looked at.

    A browser sends a Basic login that it remembers, and cookies, for the pages of others too; so
    only our own may make it change something.

    Raises `LoginRefused`, `TooManyAttempts`, or `Forbidden` for the page of another host, or if a
    session lacks its csrf token.
    """
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if request.method not in _SAFE:
        check_origin(request)
    if authorization is not None:
        return await accounts.authenticate(authorization, request.remote or "")
    cookie = session_id(request)
    session = await accounts.sessions.find(cookie)
    if request.method not in _SAFE:
        _check_csrf(request, session)
    return session.account


def session_id(request: web.Request) -> str:
    """What the cookie says; raises `LoginRefused` if there is none."""
    cookie = request.cookies.get(SESSION_COOKIE) if hdrs.COOKIE in request.headers else None
    if not cookie:
        raise LoginRefused
    return cookie


def _check_csrf(request: web.Request, session: Session) -> None:
    """That the header has the session's token, and that the cookie says the same."""
    token = request.headers.get(CSRF_HEADER, "")
    cookie = request.cookies.get(CSRF_COOKIE, "")
    if token != cookie or not session.has_csrf_token(token):
        raise Forbidden(f"the header {CSRF_HEADER} must have the session's csrf token")
