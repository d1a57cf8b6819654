"""Many clients that ask for as much, and do as little, as they can; most of them without a login.

A process of its own: it reads its spec as JSON, prints `ready` once all clients are at it, and at
the end how many of them still have their connection.

    python -m scripts.benchmarks.support.flood_process <<< '{"host": "127.0.0.1", "port": 8080,
        "kind": "heads", "clients": 500, "seconds": 31}'
"""

import asyncio
import itertools
import resource
import socket
import sys
import zlib
from contextlib import suppress
from typing import Literal, assert_never

import msgspec

Kind = Literal["bombs", "heads", "bodies", "readers", "sockets"]

BOMB_BYTES = 250 * 2**20
BOMBS_AT_A_TIME = 8
DRIP_S = 1.0
UNREAD_REQUESTS = 32
"""As many as aiohttp reads ahead of its answers."""
_ESTABLISHED = 1
_LOGIN = "POST /api/2.0/accounts/action/?do=login HTTP/1.1\r\nHost: x\r\n"
_DOCUMENT = b"GET /api/2.0/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


class Flood(msgspec.Struct, frozen=True):
    """Who floods what, and for how long; `cookie` opens websockets."""

    host: str
    port: int
    kind: Kind
    clients: int
    seconds: float
    cookie: str = ""


async def flood(spec: Flood) -> int:
    """Return how many clients are still connected at the end."""
    match spec.kind:
        case "bombs":
            await _send_bombs(spec)
            return 0
        case "heads":
            return await _stay(spec, b"GET /api/2.0/jobs/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        case "bodies":
            return await _stay(spec, f"{_LOGIN}Content-Length: 99999\r\n\r\n".encode())
        case "readers":
            return await _stay(spec, UNREAD_REQUESTS * _DOCUMENT)
        case "sockets":
            return await _follow(spec)
        case never:
            assert_never(never)


async def _send_bombs(spec: Flood) -> None:
    """Send as many bombs as there are clients, and then more until the time is over."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    zeros = bytes(2**20)
    bomb = b"".join(packer.compress(zeros) for _ in range(BOMB_BYTES // 2**20)) + packer.flush()
    head = (
        "POST /api/2.0/tags/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    )
    numbers = itertools.count()
    loop = asyncio.get_running_loop()
    until = loop.time() + spec.seconds

    async def send() -> None:
        while next(numbers) < spec.clients or loop.time() < until:
            reader, writer = await asyncio.open_connection(spec.host, spec.port)
            writer.write(head.encode() + bomb)
            with suppress(ConnectionError):  # the answer may come before all of the bomb is sent
                await reader.read()
            writer.close()

    print("ready", flush=True)
    await asyncio.gather(*(send() for _ in range(BOMBS_AT_A_TIME)))


async def _follow(spec: Flood) -> int:
    """Open websockets, and read whatever comes."""
    until = asyncio.get_running_loop().time() + spec.seconds
    opened = [await _open_websocket(spec) for _ in range(spec.clients)]
    print("ready", flush=True)
    followed = [_read(*each, until) for each in opened if each is not None]
    return sum(await asyncio.gather(*followed))


async def _open_websocket(
    spec: Flood,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Return None if it is refused."""
    reader, writer = await asyncio.open_connection(spec.host, spec.port)
    writer.write(
        f"GET /websocket HTTP/1.1\r\nHost: x\r\nCookie: async_auth={spec.cookie}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 101 "):
        return reader, writer
    writer.close()
    return None


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, until: float) -> bool:
    """Return whether the connection is still there at the end."""
    try:
        async with asyncio.timeout_at(until):
            while await reader.read(2**18):
                pass
    except TimeoutError:
        return True
    except ConnectionError:
        pass
    finally:
        writer.close()
    return False


async def _stay(spec: Flood, begun: bytes) -> int:
    """Connect from an address for each client, begin, and then send a byte now and then."""
    loop = asyncio.get_running_loop()
    clients = []
    for number in range(2, 2 + spec.clients):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.bind((f"127.0.{number // 256}.{number % 256}", 0))
        client.setblocking(False)  # noqa: FBT003 - its name
        await loop.sock_connect(client, (spec.host, spec.port))
        _send(client, begun)
        clients.append(client)
    print("ready", flush=True)
    for _ in range(int(spec.seconds / DRIP_S)):
        await asyncio.sleep(DRIP_S)
        if spec.kind != "readers":
            for client in clients:
                _send(client, b"x")
    return sum(map(_is_connected, clients))


def _send(client: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # cut off, or full
        client.send(data)


def _is_connected(client: socket.socket) -> bool:
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(asyncio.run(flood(msgspec.json.decode(sys.stdin.buffer.readline(), type=Flood))))


if __name__ == "__main__":
    main()
