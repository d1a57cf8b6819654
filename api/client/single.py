"""Requests one by one, each over a connection of its own: for commands that send one or two.

They wait in place, without an event loop. So such a command imports nothing but the standard
library's client; `api.client.sessions` takes longer to import than all the rest of it.
"""

import http.client
import ssl
import time
import urllib.request
from collections.abc import Coroutine, Mapping
from typing import TypeVar, cast
from urllib.error import URLError

from api.client.errors import Late, NotTrusted, Unreachable
from api.client.http import CONNECT_S, Answer, Client, Limit, Request, Warn, headers_of, log, reason
from api.client.saved_login import Login

T = TypeVar("T")


class SingleClient(Client):
    """A client that waits for each answer before it does anything else; it follows no redirects."""

    def __init__(self, login: Login, warn: Warn = log.warning) -> None:
        super().__init__(login.url, warn)
        self._headers = headers_of(login)
        self._opener = urllib.request.OpenerDirector()
        handlers = urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), _Http(), _Https()
        for handler in handlers:
            self._opener.add_handler(handler)

    async def exchange(self, request: Request) -> Answer:
        method, url, body, headers, limit = request
        try:
            sent = urllib.request.Request(  # noqa: S310 - it can open nothing but HTTP
                url, body, {**self._headers, **headers}, method=method
            )
            with self._opener.open(sent, timeout=limit.silence_s) as answer:
                # The names of these headers, too, are found in whatever case.
                found = cast("Mapping[str, str]", answer.headers)
                return Answer(answer.status, found, answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._error(error, limit) from error

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no event loop

    def _error(self, error: Exception, limit: Limit) -> NotTrusted | Unreachable:
        cause = error.reason if isinstance(error, URLError) else error
        if isinstance(cause, TimeoutError):
            return Late(self.url, limit.silence_s, sent=True)
        if isinstance(cause, _NotConnected) and isinstance(cause.__cause__, TimeoutError):
            return Late(self.url, CONNECT_S, sent=False)
        if isinstance(cause, _NotSecure):
            return NotTrusted(self.url, str(cause))
        never_sent = isinstance(cause, _NotConnected | ValueError | http.client.InvalidURL | str)
        why = cause if isinstance(cause, str) else reason(cause)
        return Unreachable(self.url, why, sent=not never_sent)


def run(work: Coroutine[None, None, T]) -> T:
    """Run a coroutine of such a client to its end."""
    try:
        work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    raise AssertionError("it waits for an event loop")


class _NotConnected(OSError):
    """There was no connection, so nothing was sent."""


class _NotSecure(OSError):
    """The connection cannot be trusted, so that nothing was sent."""


class _Connection(http.client.HTTPConnection):
    """A connection whose time limit is shorter than that of an answer."""

    def connect(self) -> None:
        silence_s, self.timeout = self.timeout, CONNECT_S
        try:
            super().connect()
        except ssl.SSLError as error:
            raise _NotSecure(reason(error)) from error
        except OSError as error:
            raise _NotConnected(error.strerror or str(error)) from error
        self.sock.settimeout(silence_s)


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    """The same with TLS."""


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, request, context=ssl.create_default_context())
