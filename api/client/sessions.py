"""Requests over connections that are kept open: for transfers, and for following many jobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import hdrs

from api.client.errors import Late, NotTrusted, Redirected, Unreachable
from api.client.http import (
    CONNECT_S,
    REDIRECTS,
    TRANSFER,
    Answer,
    Client,
    Limit,
    Request,
    Warn,
    headers_of,
    log,
    reason,
)
from api.client.saved_login import Login


def timeout_of(limit: Limit) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=limit.total_s, connect=CONNECT_S, sock_read=limit.silence_s)


class SessionClient(Client):
    """A client with an HTTP session, in which several requests may be under way."""

    def __init__(self, url: str, session: aiohttp.ClientSession, warn: Warn = log.warning) -> None:
        super().__init__(url, warn)
        self.session = session

    async def exchange(self, request: Request) -> Answer:
        method, url, body, headers, limit = request
        try:
            async with self.session.request(
                method, url, data=body, headers=headers, timeout=timeout_of(limit)
            ) as answer:
                return Answer(answer.status, answer.headers, await answer.read())
        except aiohttp.ClientSSLError as error:
            raise NotTrusted(self.url, reason(error)) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise Late(self.url, CONNECT_S, sent=False) from error
        except TimeoutError as error:
            raise Late(self.url, limit.total_s or limit.silence_s, sent=True) from error
        except (aiohttp.ClientError, ValueError) as error:
            sent = not isinstance(error, aiohttp.ClientConnectorError | ValueError)
            raise Unreachable(self.url, reason(error), sent=sent) from error

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@asynccontextmanager
async def connected(login: Login, warn: Warn = log.warning) -> AsyncIterator[SessionClient]:
    """Yield a client with this login; without a token, an anonymous one."""
    session = aiohttp.ClientSession(
        headers=headers_of(login),
        timeout=timeout_of(TRANSFER),
        trust_env=True,
        middlewares=[refuse_redirects],
    )
    async with session:
        yield SessionClient(login.url, session, warn)


async def refuse_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Follow no redirects: what is sent is meant for one service.

    aiohttp would send a password or an image again, to any host, and a token to any scheme.
    """
    answer = await handler(request)
    if answer.status in REDIRECTS:
        answer.close()
        origin, location = request.url.origin(), answer.headers.get(hdrs.LOCATION, "")
        raise Redirected(str(origin), answer.status, location)
    return answer
