"""`/accounts/`: sessions, tokens, the cookie for a websocket, and the caller's own account.

The URL of the actions is public, because a login has no other credentials; the other actions
authenticate the caller themselves. None of them changes anything that an auditor may not change.
"""

from datetime import timedelta

from aiohttp import hdrs, web

from api.accounts.account import AccountNotFound, LoginRefused
from api.accounts.credentials import parse_bearer
from api.accounts.places import DEVICE_VALID_FOR
from api.accounts.sessions import VALID_FOR, NewSession
from api.accounts.tokens import InvalidTokenName
from api.accounts.websocket_cookie import VALID_S
from api.http.edge.cookies import COOKIES
from api.http.edge.same_origin import check_origin
from api.http.errors import BadRequest, Forbidden
from api.http.request_auth import account_of, client_of, grant_of, session_id
from api.http.requests import owner_of, read_object
from api.http.responses import json_answer
from api.resources.account_bodies import LoggedIn, Login, NewToken, TokenLogin
from api.resources.collections import do_action
from api.resources.staff_bodies import OwnAccount
from api.service.service import Service
from api.text.urls import API_ROOT

CSRF_VALID_FOR = timedelta(days=365)


class AccountsActions:
    def __init__(self, service: Service) -> None:
        self._accounts = service.accounts

    async def act(self, request: web.Request) -> web.StreamResponse:
        return await do_action(
            request,
            {
                "login": self._log_in,
                "logout": self._log_out,
                "authenticate_asynchronous": self._authenticate_asynchronous,
                "create_token": self._create_token,
                "remove_token": self._remove_token,
                "check_login": self._check_login,
                "check_login_with_return_uuid": self._check_login_with_return_uuid,
            },
        )

    async def own(self, request: web.Request) -> web.Response:
        """Show the account that makes this request, and its role."""
        try:
            account = await self._accounts.find(owner_of(request))
        except AccountNotFound:  # removed since its login was verified
            raise LoginRefused from None
        return json_answer(OwnAccount(account.uuid, account.email, account.role))

    async def _log_in(self, request: web.Request) -> web.Response:
        check_origin(request)  # or a page could log its reader in as somebody else
        said = await read_object(request, Login)
        session = await self._accounts.log_in(said.username, said.password, client_of(request))
        uuid = session.account.uuid
        answer = json_answer({"uuid": uuid, "resource_uri": f"{API_ROOT}/user/{uuid}/"})
        _set_session(request, answer, session)
        return answer

    async def _log_out(self, request: web.Request) -> web.Response:
        await account_of(request, self._accounts)
        if hdrs.AUTHORIZATION in request.headers:
            raise Forbidden("only a session can be logged out")
        await self._accounts.sessions.end(session_id(request))
        answer = json_answer({})
        request.app[COOKIES].clear_login(request, answer)
        return answer

    async def _create_token(self, request: web.Request) -> web.Response:
        """Make a token for a program; only this answer shows it."""
        # Otherwise a page could guess at passwords from the addresses of its readers.
        check_origin(request)
        said = await read_object(request, TokenLogin)
        try:
            new = await self._accounts.new_token(
                said.username, said.password, client_of(request), said.name
            )
        except InvalidTokenName as error:
            raise BadRequest(str(error), point="name") from None
        told = NewToken(id=new.id, name=said.name, token=new.token, uuid=new.account)
        return json_answer(told, status=201)

    async def _remove_token(self, request: web.Request) -> web.Response:
        """Remove the token that this request came with."""
        await account_of(request, self._accounts)
        token = parse_bearer(request.headers.get(hdrs.AUTHORIZATION, ""))
        if token is None:
            raise Forbidden("only a token can be removed, by itself")
        await self._accounts.tokens.remove_itself(token)
        return json_answer({})

    async def _check_login(self, request: web.Request) -> web.Response:
        """Answer whether the request has a login, also without a CSRF token: nothing changes."""
        await account_of(request, self._accounts, changes=False)
        return json_answer({})

    async def _check_login_with_return_uuid(self, request: web.Request) -> web.Response:
        account = await account_of(request, self._accounts, changes=False)
        return json_answer(LoggedIn(account.uuid))

    async def _authenticate_asynchronous(self, request: web.Request) -> web.Response:
        grant = await grant_of(request, self._accounts)
        grant.require_everything()  # which is what a websocket shows
        answer = json_answer({})
        in_session = None if hdrs.AUTHORIZATION in request.headers else session_id(request)
        value = await self._accounts.new_async_cookie(grant.account, in_session)
        valid_for = timedelta(seconds=VALID_S)
        request.app[COOKIES].put(request, answer, "async_auth", value, valid_for=valid_for)
        return answer


def _set_session(request: web.Request, answer: web.Response, session: NewSession) -> None:
    cookies = request.app[COOKIES]
    cookies.put(request, answer, "csrftoken", session.csrf_token, valid_for=CSRF_VALID_FOR)
    cookies.put(request, answer, "sessionid", session.id, valid_for=VALID_FOR)
    cookies.put(request, answer, "device", session.device, valid_for=DEVICE_VALID_FOR)
