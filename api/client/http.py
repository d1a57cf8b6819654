"""Requests, and what becomes of their answers."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import aiohttp
import msgspec
from aiohttp import hdrs

from api.client.errors import ClientError, LoginEnded, NotTrusted, Refused, Unreachable
from api.client.saved_login import Login
from api.text.printable import escaped
from api.text.urls import API_ROOT

T = TypeVar("T")
Query = Mapping[str, str | int | None]

TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=60)
TRIES = 4
"""How often a request is made whose outcome is not known; the service does it once."""
PAUSE_S = 0.5
UNAUTHORIZED, NOT_MODIFIED, UNAVAILABLE, BAD = 401, 304, 503, 400


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """Asks one service, as one account."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def get(
        self, path: str, query: Query | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Raises `ClientError`; an answer 304 to a conditional request is none."""
        return await self._insist("GET", path, query, dict(headers or {}), None)

    async def post(self, path: str, query: Query | None = None, body: object = None) -> Answer:
        """Done once, however often the connection is lost meanwhile. Raises `ClientError`."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return await self._insist("POST", path, query, headers, {} if body is None else body)

    async def once(self, method: str, path: str, **given: Any) -> Answer:
        """One request, whatever it holds. Raises `ClientError`."""
        try:
            async with self.session.request(method, self.url + API_ROOT + path, **given) as answer:
                found = Answer(answer.status, answer.headers, await answer.read())
        except aiohttp.ClientSSLError as error:
            raise NotTrusted(self.url, _why(error)) from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unreachable(self.url, _why(error)) from error
        if found.status >= BAD:
            raise self.refusal(found)
        return found

    def refusal(self, answer: Answer) -> ClientError:
        """What an answer that is no success comes to."""
        if answer.status == UNAUTHORIZED:
            return LoginEnded(self.url)
        return Refused(answer.status, _said(answer))

    async def _insist(
        self, method: str, path: str, query: Query | None, headers: dict[str, str], body: object
    ) -> Answer:
        params = {name: str(value) for name, value in (query or {}).items() if value is not None}
        given: dict[str, Any] = {"params": params, "headers": headers}
        if body is not None:
            given["data"] = msgspec.json.encode(body)
            headers[hdrs.CONTENT_TYPE] = "application/json"
        for tries_left in reversed(range(TRIES)):
            try:
                return await self.once(method, path, **given)
            except (Unreachable, Refused) as error:
                passes = isinstance(error, Unreachable) or error.status == UNAVAILABLE
                if not passes or not tries_left:
                    raise
            await asyncio.sleep(PAUSE_S)
        raise AssertionError("the last try returns or raises")


@asynccontextmanager
async def connected(login: Login) -> AsyncIterator[Client]:
    """A client with this login; with no token, one of nobody."""
    headers = {"Authorization": f"Bearer {login.token}"} if login.token else {}
    session = aiohttp.ClientSession(
        headers={**headers, "Accept": "application/json"}, timeout=TIMEOUT, trust_env=True
    )
    async with session:
        yield Client(login.url, session)


def decoded(answer: Answer, kind: type[T]) -> T:
    """Raises `ClientError` for what the service would never say."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError as error:
        raise ClientError(f"this is no answer of Job Ledger ({error}): is the URL right?") from None


def _said(answer: Answer) -> str:
    try:
        told = msgspec.json.decode(answer.body, type=list[dict[str, str | None]])
        return escaped("; ".join(str(each["error_message"]) for each in told))
    except (msgspec.DecodeError, KeyError):
        return f"status {answer.status}"


def _why(error: Exception) -> str:
    return escaped(str(error)) or type(error).__name__
