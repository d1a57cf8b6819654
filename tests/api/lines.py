"""Bare connections to a service, from any address of this machine."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp.test_utils import TestServer

from api.http.wire.connection import Connection
from tests.api.calling import ALICE, ROOT, Account, authorization
from tests.support.wait import patience

ESTABLISHED = 1
"""The state of a connection as Linux numbers it."""
RECEIVED_BYTES = 4096
"""What a client takes of an answer that it does not read."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """What went wrong, in words."""
        (error,) = json.loads(self.body)
        assert set(error) == {"error_type", "error_message", "error_point"}
        assert self.headers["Content-Type"] == "application/json; charset=utf-8"
        assert self.headers["X-Request-ID"]
        message: str = error["error_message"]
        return message


class Line:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def line(self) -> bytes:
        async with patience("a line of an answer"):
            return await self._reader.readuntil(b"\r\n")

    async def answer(self) -> Answer:
        """Read one answer, which has a `Content-Length`."""
        async with patience("an answer"):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await self._reader.readexactly(int(headers.get("Content-Length", 0)))
        return Answer(int(head[0].split()[1]), headers, body)

    async def end(self) -> bytes:
        """Wait until the service closes the connection; return what it sent before."""
        received = b""
        async with patience("the end of the connection"):
            try:
                while data := await self._reader.read(RECEIVED_BYTES):
                    received += data
            except ConnectionError:
                pass
        return received

    def is_connected(self) -> bool:
        """Ask the system, which knows it also of a client that does not read."""
        wire: socket.socket = self._writer.transport.get_extra_info("socket")
        state: int = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return state == ESTABLISHED


@asynccontextmanager
async def line(
    server: TestServer, address: str = "127.0.0.1", *, reads: bool = True
) -> AsyncIterator[Line]:
    """Connect from this address. A client that does not read has a small buffer."""
    sock = socket.socket()
    sock.setblocking(False)  # noqa: FBT003 - the name of it
    if not reads:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
    sock.bind((address, 0))
    assert server.port is not None
    await asyncio.get_running_loop().sock_connect(sock, (server.host, server.port))
    reader, writer = await asyncio.open_connection(
        sock=sock, limit=2**20 if reads else RECEIVED_BYTES
    )
    try:
        if not reads:
            writer.transport.pause_reading()
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


def connections(server: TestServer) -> list[Connection]:
    """Return the service's ends of the connections."""
    open_ones: list[Any] = server.handler.connections
    return open_ones


def request(
    path: str,
    *fields: str,
    method: str = "GET",
    by: Account | None = ALICE,
    body: bytes | None = None,
) -> bytes:
    """Return the bytes of a request; `path` is below `/api/2.0`."""
    lines = [f"{method} {ROOT}{path} HTTP/1.1", "Host: test", *fields]
    if by is not None:
        lines.append(f"Authorization: {authorization(by)}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")
