"""Requests to a service, and their answers, whatever sends them."""

import logging
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import urlencode

import msgspec

from api.client.errors import (
    ClientError,
    Late,
    LoginEnded,
    Redirected,
    Refused,
    Undecided,
    Unintelligible,
    Unreachable,
    advice,
)
from api.client.saved_login import Login
from api.text.urls import API_ROOT

T = TypeVar("T")
Query = Mapping[str, str | int | None]

CONNECT_S = 8.0
"""How long a client waits for a connection."""
_SAFE = frozenset({"GET", "HEAD"})
TRIES = 4
"""How often a request is sent whose outcome is unknown; the service executes it once."""
PAUSE_S = 0.5
RETRY_AFTER_S_MAX = 60.0
_SECONDS = re.compile(r"[0-9]{1,9}")
UNAUTHORIZED, NOT_MODIFIED, BAD = 401, 304, 400
UNAVAILABLE = frozenset({502, 503, 504})
"""The service is away for a moment, as it says itself or a proxy before it does."""
FAILED, TIMED_OUT = 500, 408
REDIRECTS = frozenset({301, 302, 303, 307, 308})
OUTCOME, REFUSAL = "X-Ledger-Outcome", "X-Ledger-Refusal"
NOT_APPLIED = "X-Ledger-Not-Applied"
Warn = Callable[[str], None]

log = logging.getLogger(__name__)


class Limit(NamedTuple):
    """How many seconds the service may be silent, and how many an answer may take in all.

    A connection may be dead without an end.
    """

    silence_s: float
    total_s: float | None = None


ANSWER, CHANGE, TRANSFER = Limit(8), Limit(20), Limit(30)
"""When the service is asked, when it changes something, and when images move."""


class Request(NamedTuple):
    """A request as it is sent once."""

    method: str
    url: str
    body: bytes | None
    headers: Mapping[str, str]
    limit: Limit


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Client(ABC):
    """Sends requests to one service, as one account."""

    def __init__(self, url: str, warn: Warn = log.warning) -> None:
        """`warn` is told what the service has not done of what it answered with success."""
        self.url = url
        self._warn = warn

    @abstractmethod
    async def exchange(self, request: Request) -> Answer:
        """Send one request, and return its answer, whatever it says.

        Raises `Unreachable`, `Late` if the limit is reached, and `NotTrusted`.
        """

    @abstractmethod
    async def pause(self, seconds: float) -> None: ...

    async def get(
        self,
        path: str,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        limit: Limit = ANSWER,
    ) -> Answer:
        """Send a GET. Raises `ClientError`; a 304 to a conditional request is no error."""
        return await self._repeat("GET", path, query, dict(headers or {}), None, limit=limit)

    async def head(self, path: str, headers: Mapping[str, str], *, limit: Limit = ANSWER) -> Answer:
        """Send a HEAD. Raises `ClientError`."""
        return await self._repeat("HEAD", path, None, dict(headers), None, limit=limit)

    async def post(self, path: str, query: Query | None = None, body: object = None) -> Answer:
        """Send a POST, executed once even if the connection is lost.

        Raises `ClientError`; `Undecided` if it may have been executed.
        """
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        sent = {} if body is None else body
        return await self._repeat("POST", path, query, headers, sent, limit=CHANGE)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: Limit,
    ) -> Answer:
        """Send one request once. Raises `ClientError`."""
        url = self.url + API_ROOT + path + (f"?{urlencode(params)}" if params else "")
        found = await self.exchange(Request(method, url, body, headers or {}, limit))
        if found.status >= BAD or found.status in REDIRECTS:
            raise self.refusal(found, path)
        ignored = found.headers.get(NOT_APPLIED)
        if ignored:
            self._warn(f"warning: the service has ignored {ignored}")
        return found

    def refusal(self, answer: Answer, path: str) -> ClientError:
        """Return the error for an answer that is no success."""
        if answer.status == UNAUTHORIZED:
            return LoginEnded(self.url)
        if answer.status in REDIRECTS:
            return Redirected(self.url, answer.status, answer.headers.get("Location", ""))
        return Refused(
            answer.status,
            _error_text(answer),
            _retry_after_s(answer),
            answer.headers.get(OUTCOME, ""),
            advice(answer.status, path, answer.headers.get(REFUSAL, "")),
        )

    async def _repeat(
        self,
        method: str,
        path: str,
        query: Query | None,
        headers: dict[str, str],
        body: object,
        *,
        limit: Limit,
    ) -> Answer:
        params = {name: str(value) for name, value in (query or {}).items() if value is not None}
        sent = None
        if body is not None:
            sent = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        undecided = False
        for tries_left in reversed(range(TRIES)):
            try:
                return await self.send(
                    method, path, sent, params=params, headers=headers, limit=limit
                )
            except ClientError as error:
                unknown = method not in _SAFE and _may_be_done(error)
                undecided = undecided or unknown
                again = (_may_pass(error) or unknown) and not isinstance(error, Late)
                if not tries_left or not again:
                    if undecided:  # what a later try was told is not of the first one
                        raise Undecided(error) from error
                    raise
            await self.pause(PAUSE_S)
        raise AssertionError("the last try returns or raises")


def headers_of(login: Login) -> dict[str, str]:
    """Return the headers of each request; without a token, of an anonymous one."""
    authorization = {"Authorization": f"Bearer {login.token}"} if login.token else {}
    return {**authorization, "Accept": "application/json"}


def decoded(answer: Answer, kind: type[T]) -> T:
    """Decode an answer. Raises `Unintelligible` if it cannot come from the service."""
    return parsed(answer.body, kind)


def parsed(content: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Decode a part of an answer. Raises `Unintelligible` as `decoded`."""
    try:
        return msgspec.json.decode(str(content, "utf-8"), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unintelligible(str(error)) from None


def _may_pass(error: ClientError) -> bool:
    """Return whether the same request may be answered otherwise in a moment."""
    return isinstance(error, Unreachable) or (
        isinstance(error, Refused) and error.status in UNAVAILABLE
    )


def _may_be_done(error: ClientError) -> bool:
    """Return whether the service may have made the change, as far as it has told.

    What refuses a request on its way to the service, and what an earlier version of it refuses, is
    not done; but a failure without an outcome, as a proxy answers with, tells nothing.
    """
    if isinstance(error, Unreachable):
        return error.sent
    if not isinstance(error, Refused):
        return False
    if error.outcome:
        return error.outcome != "not-recorded"
    return error.status >= FAILED or error.status == TIMED_OUT


def _error_text(answer: Answer) -> str:
    try:
        errors = msgspec.json.decode(answer.body, type=list[dict[str, str | None]])
        return "; ".join(str(each["error_message"]) for each in errors)
    except (msgspec.DecodeError, KeyError):
        return f"status {answer.status}"


def _retry_after_s(answer: Answer) -> float:
    """Return the pause that the service asks for in seconds, a minute at most."""
    asked = answer.headers.get("Retry-After", "")
    return min(float(asked), RETRY_AFTER_S_MAX) if _SECONDS.fullmatch(asked) else 0.0


def reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
