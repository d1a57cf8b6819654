"""Authentication of requests: by the Authorization header, or else by a session's cookie."""

from aiohttp import hdrs, web

from api.accounts.grants import Grant
from api.accounts.places import Client
from api.accounts.service import Account, Accounts, LoginRefused
from api.accounts.sessions import Session
from api.http.access import SAFE
from api.http.edge.cookies import COOKIES
from api.http.edge.same_origin import check_origin
from api.http.errors import Forbidden

CSRF_HEADER = "X-CSRFToken"


async def account_of(request: web.Request, accounts: Accounts, *, changes: bool = True) -> Account:
    """Return the account of a request, as `grant_of` does."""
    return (await grant_of(request, accounts, changes=changes)).account


async def grant_of(request: web.Request, accounts: Accounts, *, changes: bool = True) -> Grant:
    """Return what a request may do. With an Authorization header, cookies are ignored.

    A browser attaches cookies and a Basic login that it remembers to the requests of other sites'
    pages, too; so only our own pages may make it change something. `changes` is false of an action
    that changes nothing, although it is a POST.

    Raise `LoginRefused`, `TooManyAttempts`, or `Forbidden` for another site's page, or if a
    session's CSRF token is missing; `JobNotFound` or `JobDiscarded` for the token of such a job.
    """
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if request.method not in SAFE:
        check_origin(request)
    if authorization is not None:
        return await accounts.grant_of(authorization, client_of(request))
    cookie = session_id(request)
    session = await accounts.sessions.find(cookie)
    if changes and request.method not in SAFE:
        _check_csrf(request, session)
    return Grant(session.account)


def client_of(request: web.Request) -> Client:
    """Return where a login comes from."""
    return Client(request.remote or "", request.app[COOKIES].read(request, "device"))


def session_id(request: web.Request) -> str:
    """Return the session's id from its cookie. Raise `LoginRefused` if there is none."""
    cookie = request.app[COOKIES].read(request, "sessionid")
    if cookie is None:
        raise LoginRefused
    return cookie


def _check_csrf(request: web.Request, session: Session) -> None:
    """Raise `Forbidden` unless header and cookie both have the session's token."""
    token = request.headers.get(CSRF_HEADER, "")
    cookie = request.app[COOKIES].read(request, "csrftoken") or ""
    if token != cookie or not session.has_csrf_token(token):
        raise Forbidden(f"the header {CSRF_HEADER} must have the session's CSRF token")
