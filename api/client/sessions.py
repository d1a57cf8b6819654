"""Requests over connections that are kept: for transfers, and for following many jobs."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from api.client.errors import NotTrusted, Unreachable
from api.client.http import CONNECT_S, SILENCE_S, Answer, Client, headers_of, reason
from api.client.saved_login import Login

TIMEOUT = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=SILENCE_S)


class SessionClient(Client):
    """A client with an HTTP session, in which several requests may be under way."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        super().__init__(url)
        self.session = session

    async def exchange(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        total_s: float | None,
    ) -> Answer:
        timeout = TIMEOUT if total_s is None else aiohttp.ClientTimeout(total=total_s)
        try:
            async with self.session.request(
                method, url, data=body, headers=headers, timeout=timeout
            ) as answer:
                return Answer(answer.status, answer.headers, await answer.read())
        except aiohttp.ClientSSLError as error:
            raise NotTrusted(self.url, reason(error)) from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            sent = not isinstance(error, aiohttp.ClientConnectorError | ValueError)
            raise Unreachable(self.url, reason(error), sent=sent) from error

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@asynccontextmanager
async def connected(login: Login) -> AsyncIterator[SessionClient]:
    """Yield a client with this login; without a token, an anonymous one."""
    session = aiohttp.ClientSession(headers=headers_of(login), timeout=TIMEOUT, trust_env=True)
    async with session:
        yield SessionClient(login.url, session)
