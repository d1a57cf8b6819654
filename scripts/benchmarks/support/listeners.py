"""Websocket subscribers in a process of their own, and when each frame arrived at each of them.

The process reads a spec from stdin, prints a line once all are connected and a second one when each
has received the requested frames, and then stays until it is ended.
"""

import asyncio
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from time import perf_counter
from typing import IO

import aiohttp
import msgspec

from scripts.benchmarks.support.processes import BenchmarkBroken, Served, running

CONNECTING = 50
"""Sockets that are opened at the same time."""
NUMBER = re.compile(r'"bytes_done":(\d+)')
"""What distinguishes one frame of a job from another."""


class Spec(msgspec.Struct, frozen=True):
    """What to listen to; each socket waits for the frames numbered 1 to `frames`."""

    host: str
    port: int
    cookie: str
    sockets: int
    frames: int


Arrivals = list[list[float]]
"""For each frame, from number 1: when it arrived at each socket, on the machine's clock in s."""


class Listeners:
    """The process, as seen by the one that started it."""

    def __init__(self, output: IO[bytes]) -> None:
        self._output = output

    def arrivals(self) -> Arrivals:
        """Wait for the last frame; block."""
        return msgspec.json.decode(self._line(), type=Arrivals)

    def _line(self) -> bytes:
        line = self._output.readline()
        if not line:
            raise BenchmarkBroken("the subscribers ended early")
        return line

    def wait_until_connected(self) -> None:
        self._line()


@contextmanager
def listeners(server: Served, cookie: str, *, sockets: int, frames: int = 0) -> Iterator[Listeners]:
    """Start subscribers, which are connected or about to be."""
    with running(("scripts.benchmarks.support.listeners",)) as (given, output):
        spec = Spec(server.host, server.port, cookie, sockets, frames)
        given.write(msgspec.json.encode(spec) + b"\n")
        given.flush()
        yield Listeners(output)


async def _listen(spec: Spec) -> None:
    url = f"http://{spec.host}:{spec.port}/websocket"
    headers = {"Cookie": f"async_auth={spec.cookie}"}
    arrived: Arrivals = [[] for _ in range(spec.frames)]
    connecting = asyncio.Semaphore(CONNECTING)
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

        async def connect() -> aiohttp.ClientWebSocketResponse:
            async with connecting:
                opening = session.ws_connect(url, headers=headers, max_msg_size=0)
                return await stack.enter_async_context(opening)

        opened = await asyncio.gather(*(connect() for _ in range(spec.sockets)))
        print("connected", flush=True)
        await asyncio.gather(*(_receive(socket, arrived) for socket in opened))
        print(msgspec.json.encode(arrived).decode(), flush=True)
        await asyncio.Event().wait()


async def _receive(socket: aiohttp.ClientWebSocketResponse, arrived: Arrivals) -> None:
    """Note when each number arrived for the first time."""
    last = 0
    while last < len(arrived):
        text = await socket.receive_str()
        now = perf_counter()
        found = NUMBER.search(text)
        if found is not None and int(found[1]) > last:
            last = int(found[1])
            arrived[last - 1].append(now)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_listen(msgspec.json.decode(sys.stdin.buffer.readline(), type=Spec)))
