"""A small HTTP load generator, so cheap that a benchmark measures the server.

It knows just enough HTTP/1.1: the status line, Content-Length, and chunked answers on connections
that stay open. It does not reconnect, pipeline or send HEAD. An answer that needs more ends the run
with an error instead of a wrong number.

As a subprocess (on the other core) it reads its spec as JSON and prints the result as JSON:

    python -m scripts.load <<< '{"host": "127.0.0.1", "port": 8080, "connections": 16,
        "requests": 10000, "templates": ["<base64 of one whole request>", ...]}'

Request number n is template n modulo their count.
"""

import asyncio
import ipaddress
import math
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import cast

import msgspec

TIMEOUT_S = 600.0
HEAD_BYTES_MAX = 65_536

_END_OF_HEAD = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)
_NO_BODY = {204, 304}


class LoadBroken(Exception):
    """The run could not be finished, so there is no number to report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The server's results under load. Latencies are in the order in which answers ended."""

    seconds: float
    latencies_s: list[float]
    statuses: Counter[int]

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies_s) / self.seconds

    @property
    def p50_ms(self) -> float:
        return self._percentile_ms(0.50)

    @property
    def p99_ms(self) -> float:
        return self._percentile_ms(0.99)

    def _percentile_ms(self, share: float) -> float:
        rank = math.ceil(share * len(self.latencies_s))
        return sorted(self.latencies_s)[rank - 1] * 1000


async def load(
    host: str,
    port: int,
    request_bytes: Callable[[int], bytes],
    *,
    connections: int,
    requests: int,
    timeout_s: float = TIMEOUT_S,
) -> Load:
    """Send `requests` requests; a connection sends its next one when its answer is complete.

    `request_bytes` gives the whole request of that number, counted from 0. All connections are open
    before the clock starts.
    """
    assert host == "localhost" or ipaddress.ip_address(host).is_loopback, "loopback only"
    assert connections > 0
    assert requests > 0
    run = _Run(request_bytes, requests)
    loop = asyncio.get_running_loop()
    opened: list[_Connection] = []
    try:
        async with asyncio.timeout(timeout_s):
            for _ in range(min(connections, requests)):
                _, connection = await loop.create_connection(lambda: _Connection(run), host, port)
                opened.append(connection)
            started = perf_counter()
            for connection in opened:
                connection.send_next()
            await run.done
            seconds = perf_counter() - started
    except TimeoutError:
        raise LoadBroken(
            f"{len(run.latencies_s)} of {requests} answers within {timeout_s:g} s"
        ) from None
    finally:
        for connection in opened:
            connection.close()
    return Load(seconds=seconds, latencies_s=run.latencies_s, statuses=Counter(run.statuses))


class _Run:
    """What the connections of one run share: the next number to send and the results."""

    def __init__(self, request_bytes: Callable[[int], bytes], requests: int) -> None:
        self.request_bytes = request_bytes
        self.requests = requests
        self.sent = 0
        self.latencies_s: list[float] = []
        self.statuses: list[int] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answered(self, status: int, latency_s: float) -> None:
        self.statuses.append(status)
        self.latencies_s.append(latency_s)
        if len(self.latencies_s) == self.requests and not self.done.done():
            self.done.set_result(None)

    def fail(self, reason: str) -> None:
        if not self.done.done():
            answers = len(self.latencies_s)
            self.done.set_exception(
                LoadBroken(f"{reason} (after {answers} of {self.requests} answers)")
            )


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._end = 0  # of the answer, once its head is read
        self._waiting = False
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting:
            self._run.fail(f"The connection was lost before its answer: {exc or 'closed'}")

    def close(self) -> None:
        self._waiting = False
        if self._transport is not None:
            self._transport.abort()

    def send_next(self) -> None:
        run = self._run
        number = run.sent
        if number == run.requests:
            return
        if self._transport is None or self._transport.is_closing():
            run.fail("The server closed a connection between two requests")
            return
        run.sent = number + 1
        request = run.request_bytes(number)
        self._waiting = True
        self._sent_at = perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            buffer = self._buffer
            if len(buffer) < self._end:
                return
        if not self._waiting:
            self._run.fail(f"Bytes without a request: {bytes(buffer[:80])!r}")
            return
        try:
            answer = _answer_in(buffer)
        except (LoadBroken, ValueError) as error:
            self._run.fail(str(error))
            return
        size = len(buffer)
        if answer is None or answer[1] > size:
            self._end = 0 if answer is None else answer[1]
            if buffer is data:
                self._buffer += data
            return
        status, end = answer
        if end != size:
            self._run.fail(f"Bytes after the answer: {bytes(buffer[end : end + 80])!r}")
            return
        if buffer is not data:
            self._buffer = bytearray()
        self._waiting = False
        self._run.answered(status, perf_counter() - self._sent_at)
        self.send_next()


def _answer_in(buffer: bytes | bytearray) -> tuple[int, int] | None:
    """Return the status and end of the answer that `buffer` starts with; None: more must come.

    The end may lie behind the buffer's. An answer in chunks is looked at from its start with each
    piece that comes: a benchmark's answers come in a few pieces, mostly in one.
    """
    start = 0
    while True:
        head_end = buffer.find(_END_OF_HEAD, start)
        if head_end < 0:
            if len(buffer) - start > HEAD_BYTES_MAX:
                raise LoadBroken(f"A head of more than {HEAD_BYTES_MAX} bytes")
            return None
        body = head_end + len(_END_OF_HEAD)
        if not buffer.startswith(b"HTTP/1.1 ", start):
            raise LoadBroken(f"Not an HTTP/1.1 answer: {bytes(buffer[start : start + 80])!r}")
        status = int(buffer[start + 9 : start + 12])
        if status == 101:  # noqa: PLR2004 - switching protocols ends HTTP on this connection
            raise LoadBroken("The answer switches protocols")
        if status >= 200:  # noqa: PLR2004 - below is only word that the answer is coming
            break
        start = body
    if status in _NO_BODY:
        return status, body
    # The fields end with the line break that starts the empty line, so every one is between two.
    length = _CONTENT_LENGTH.search(buffer, start, head_end + 2)
    if length is not None:
        return status, body + int(length[1])
    if _CHUNKED.search(buffer, start, head_end + 2) is None:
        raise LoadBroken(f"An answer of status {status} without Content-Length or chunks")
    chunks_end = _end_of_chunks(buffer, body)
    return None if chunks_end is None else (status, chunks_end)


def _end_of_chunks(buffer: bytes | bytearray, at: int) -> int | None:
    while True:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return None
        size_bytes = int(buffer[at:line_end].partition(b";")[0], 16)
        if size_bytes == 0:
            break
        at = line_end + 2 + size_bytes + 2
        if at > len(buffer):
            return None
    # Trailers, if any, end with an empty line like a head; without them it follows at once.
    end = buffer.find(_END_OF_HEAD, line_end)
    return None if end < 0 else end + len(_END_OF_HEAD)


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `main` reads; JSON has `templates` in base64."""

    host: str
    port: int
    connections: int
    requests: int
    templates: list[bytes]


class Result(msgspec.Struct, frozen=True):
    """What `main` prints."""

    seconds: float
    rate: float
    p50_ms: float
    p99_ms: float
    statuses: dict[int, int]
    latencies_s: list[float]


def main() -> int:
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=Spec)
    templates = spec.templates
    count = len(templates)
    try:
        result = asyncio.run(
            load(
                spec.host,
                spec.port,
                lambda number: templates[number % count],
                connections=spec.connections,
                requests=spec.requests,
            )
        )
    except (LoadBroken, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    answer = Result(
        seconds=result.seconds,
        rate=result.rate,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        statuses=dict(result.statuses),
        latencies_s=result.latencies_s,
    )
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
