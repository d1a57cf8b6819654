"""An HTTP proxy before a service in this process, which changes, cuts or loses answers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple, NoReturn

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict

_OF_THE_CONNECTION = {"Connection", "Content-Length", "Host", "Keep-Alive", "Transfer-Encoding"}


class Forwarded(NamedTuple):
    """An answer on its way.

    `length` is what its Content-Length says; None for none. `cut_at`: the connection is cut after
    so many bytes of the body.
    """

    status: int
    headers: CIMultiDict[str]
    body: bytes
    length: int | None
    cut_at: int | None = None

    def with_headers(self, **changed: str | None) -> "Forwarded":
        """The same with other headers; None takes one away."""
        headers = self.headers.copy()
        for name, value in changed.items():
            headers.popall(name.replace("_", "-"), None)
            if value is not None:
                headers[name.replace("_", "-")] = value
        return self._replace(headers=headers)

    def with_body(self, body: bytes) -> "Forwarded":
        """The same with another body, and the length of that."""
        return self._replace(body=body, length=len(body))


Lie = Callable[[Forwarded], Forwarded]


def honest(answer: Forwarded) -> Forwarded:
    return answer


class LyingProxy:
    """Forwards requests. `lie` changes answers to those that `concerns` picks.

    Answers to HEAD have a lie of their own.
    """

    def __init__(self, address: str, concerns: Callable[[web.BaseRequest], bool]) -> None:
        self._address = address
        self._concerns = concerns
        self.lie: Lie = honest
        self.lie_to_head: Lie = honest
        self.before: Callable[[], Awaitable[None]] | None = None
        """Called once before the next request that is concerned."""
        self.answers: list[web.Response] = []
        """Answers to the next requests that are concerned, which are not forwarded."""
        self.loses_requests = False
        """Whether the connection is cut before the request is forwarded."""
        self.concerned: list[tuple[str, Mapping[str, str]]] = []
        """Method and headers of the requests that were concerned."""
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._concerns(request):
            return await self._answer(request, await self._forward(request))
        if self.before is not None:
            before, self.before = self.before, None
            await before()
        self.concerned.append((request.method, request.headers))
        if self.loses_requests:
            await request.read()
            _cut(request)
        if self.answers:
            await request.read()
            return self.answers.pop(0)
        lie = self.lie_to_head if request.method == "HEAD" else self.lie
        return await self._answer(request, lie(await self._forward(request)))

    async def _forward(self, request: web.BaseRequest) -> Forwarded:
        headers = {k: v for k, v in request.headers.items() if k not in _OF_THE_CONNECTION}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                f"{self._address}{request.path_qs}",
                headers=headers,
                data=await request.read(),
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            ) as answer,
        ):
            return Forwarded(
                answer.status,
                CIMultiDict(answer.headers),
                await answer.read(),
                answer.content_length,
            )

    async def _answer(self, request: web.BaseRequest, found: Forwarded) -> web.StreamResponse:
        answer = web.StreamResponse(status=found.status)
        for name, value in found.headers.items():
            if name not in _OF_THE_CONNECTION:
                answer.headers.add(name, value)
        if found.length is None:
            answer.enable_chunked_encoding()
        else:
            answer.content_length = found.length
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        await answer.write(found.body[: found.cut_at])
        if found.cut_at is not None:
            _cut(request)
        await answer.write_eof()
        return answer


def _cut(request: web.BaseRequest) -> NoReturn:
    """End the connection; what was written before still arrives, as after a FIN."""
    if request.transport is not None:
        request.transport.close()
    raise ConnectionResetError("cut by the test")


@asynccontextmanager
async def lying_proxy(
    address: str, concerns: Callable[[web.BaseRequest], bool]
) -> AsyncIterator[LyingProxy]:
    """Run a proxy before the service at this address."""
    proxy = LyingProxy(address, concerns)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await proxy.handle(request)

    server = web.Server(handle)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield proxy
    finally:
        await runner.cleanup()


def address_of(server: TestServer) -> str:
    return f"http://{server.host}:{server.port}"
