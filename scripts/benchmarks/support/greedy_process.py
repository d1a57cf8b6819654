"""Clients of one account that ask for much, and read nothing, or slowly, or all the time.

A process of its own: it reads its spec as JSON, prints `ready` once all clients have asked, and at
the end how often it was refused.

    python -m scripts.benchmarks.support.greedy_process <<< '{"host": "127.0.0.1", "port": 8080,
        "kind": "slow", "request": "<base64 of one whole request>", "clients": 48, "seconds": 30}'
"""

import asyncio
import socket
import sys
from contextlib import suppress
from typing import IO, Literal, assert_never

import msgspec

from scripts.benchmarks.support.processes import BenchmarkBroken

Kind = Literal["unread", "slow", "often"]

RECEIVED_BYTES = 4096
"""What the system takes of an answer that nobody reads."""
SIP_BYTES = 16 * 1024
SIPS_A_SECOND = 2
"""As slow as a client may be without being cut off, twice over."""
OFTEN_A_SECOND = 10
PAUSE_S = 1.0
"""After a refusal."""


class Greedy(msgspec.Struct, frozen=True):
    """What is requested, as which account, and for how long."""

    host: str
    port: int
    kind: Kind
    request: bytes
    clients: int
    seconds: float


def begin(greedy: Greedy, given: IO[bytes], output: IO[bytes]) -> None:
    """Tell the process, and wait until all clients have asked."""
    given.write(msgspec.json.encode(greedy) + b"\n")
    given.flush()
    if output.readline() != b"ready\n":
        raise BenchmarkBroken("the greedy clients did not begin")


async def be_greedy(spec: Greedy) -> int:
    """Return how many requests were refused."""
    refused = 0
    asked = asyncio.Semaphore(0)

    async def client() -> None:
        nonlocal refused
        while True:
            with suppress(OSError):
                was_refused = await _ask(spec, asked)
                refused += was_refused
            await asyncio.sleep(PAUSE_S)

    match spec.kind:
        case "unread" | "slow":
            tasks = [asyncio.create_task(client()) for _ in range(spec.clients)]
        case "often":
            tasks = [asyncio.create_task(_regularly(spec, asked)) for _ in range(spec.clients)]
        case never:
            assert_never(never)
    for _ in range(spec.clients):
        await asked.acquire()
    print("ready", flush=True)
    await asyncio.sleep(spec.seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return refused


async def _regularly(spec: Greedy, asked: asyncio.Semaphore) -> None:
    """Send this many requests a second, however long the answers take."""
    asking = set[asyncio.Task[int]]()
    while True:
        task = asyncio.create_task(_ask(spec, asked))
        asking.add(task)
        task.add_done_callback(asking.discard)
        await asyncio.sleep(1 / OFTEN_A_SECOND)


async def _ask(spec: Greedy, asked: asyncio.Semaphore) -> int:
    """Ask once over a connection of its own; return 1 if that was refused."""
    wire = socket.socket()
    if spec.kind != "often":
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
    wire.setblocking(False)  # noqa: FBT003 - its name
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(wire, (spec.host, spec.port))
        await loop.sock_sendall(wire, spec.request)
        asked.release()
        begun = await loop.sock_recv(wire, 16)
        if b" 429" in begun:
            return 1
        match spec.kind:
            case "unread":
                await asyncio.sleep(spec.seconds)
            case "slow":
                while await _sip(wire):  # noqa: ASYNC110 - it is slow
                    await asyncio.sleep(1 / SIPS_A_SECOND)
            case "often":
                await loop.sock_recv(wire, 2**20)
            case never:
                assert_never(never)
        return 0
    finally:
        wire.close()


async def _sip(wire: socket.socket) -> bool:
    """Read a little; return whether there may be more."""
    loop = asyncio.get_running_loop()
    taken = 0
    while taken < SIP_BYTES:
        some = await loop.sock_recv(wire, SIP_BYTES - taken)
        if not some:
            return False
        taken += len(some)
    return True


def main() -> None:
    print(asyncio.run(be_greedy(msgspec.json.decode(sys.stdin.buffer.readline(), type=Greedy))))


if __name__ == "__main__":
    main()
