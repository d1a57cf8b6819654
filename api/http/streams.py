"""Answers that are read in threads: whole if they are short, else in parts as the client reads.

A thread makes one part and is free again while the client takes it. Meanwhile the generator of the
parts is parked: however slowly a client reads, it occupies no thread, and only one part is in
memory.
"""

import asyncio
import logging
from collections.abc import Callable, Generator
from threading import Lock
from typing import TypeVar

from aiohttp import hdrs, web

from api.http.outcome import RECORDING
from api.http.request_ids import REQUEST_ID
from api.http.requests import ASKING, CALLER, POSITION
from api.http.responses import JSON_TYPE, LEDGER_POSITION, answer_of
from api.http.wire.bodies import LIMITS
from api.http.wire.connection import cut_connection
from api.service.admission import Admission, Taken
from api.service.answer_bytes import PART_BYTES
from api.service.heavy_reads import HeavyReads

V = TypeVar("V")

HEAVY_READS = web.AppKey("heavy-reads", HeavyReads)
ADMISSION = web.AppKey("admission", Admission)

log = logging.getLogger(__name__)


async def read_in_lane(request: web.Request, read: Callable[[], V]) -> V:
    """Do a read that is too long for the event loop, when it is the caller's turn.

    Raise `TooMuch` if that takes too long, and whatever `read` raises.
    """
    return await _read(request, read, begun=False)


async def stream(request: web.Request, pieces: Generator[bytes]) -> web.StreamResponse:
    """Answer with JSON that is made in pieces of any length.

    A short answer is sent whole, a longer one in parts. An error before anything is sent is raised;
    after that the connection is cut, so that the client does not mistake a part for the whole.
    """
    parts = _Parts(request, pieces)
    try:
        first = await parts.next()
        if parts.ended:
            return answer_of(first)
        with request.app[ADMISSION].take(request[ASKING], "streams"):
            return await _send(request, first, parts)
    finally:
        parts.close()


class _Parts:
    """The parts of an answer; bytes count as the account's until the next one is asked for."""

    def __init__(self, request: web.Request, pieces: Generator[bytes]) -> None:
        self._request = request
        self._reads = request.app[HEAVY_READS]
        self._pieces = pieces
        self._lock = Lock()
        self._held: Taken | None = None
        self._begun = False
        self._closed = False
        self.ended = False
        """Whether the last part has been made."""

    async def next(self) -> bytes:
        """Return the next part once the account has a thread and room for it."""
        self._give_back()
        part = await _read(self._request, self._make, begun=self._begun)
        self._begun = True
        self._held = self._reads.answers.charge(self._request[ASKING], len(part))
        return part

    def close(self) -> None:
        """Give back what is held, and end the snapshot, in a thread: another may still use it."""
        self._give_back()
        self._closed = True
        if not self.ended:
            self._reads.submit(self._end)

    def _make(self) -> bytes:
        try:
            with self._lock:
                return self._next_part()
        finally:
            if self._closed:
                self._end()

    def _next_part(self) -> bytes:
        part = bytearray()
        for piece in self._pieces:
            part += piece
            if len(part) > PART_BYTES or self._closed:
                return bytes(part)
        self.ended = True
        return bytes(part)

    def _end(self) -> None:
        """End the snapshot, unless a thread is in it: none waits for another, which does so."""
        if self._lock.acquire(blocking=False):
            try:
                self._pieces.close()
            finally:
                self._lock.release()

    def _give_back(self) -> None:
        if self._held is not None:
            self._held.give_back()


async def _send(request: web.Request, first: bytes, parts: _Parts) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: JSON_TYPE,
            REQUEST_ID: request[CALLER].request_id,
            LEDGER_POSITION: str(request[POSITION]),
        }
    )
    try:
        async with asyncio.timeout(request.app[LIMITS].stream_seconds or None):
            await response.prepare(request)
            if request.method == hdrs.METH_HEAD:
                return response
            await response.write(first)
            while not parts.ended:
                await response.write(await parts.next())
    except Exception as error:
        if not response.prepared:
            raise
        if isinstance(error, TimeoutError):
            log.warning("an answer was cut short: its client took too long")
        elif not isinstance(error, ConnectionError):
            log.exception("an answer was cut short")
        cut_connection(request)
    return response


async def _read(request: web.Request, read: Callable[[], V], *, begun: bool) -> V:
    def read_if_wanted() -> V:
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        return read()

    recording = request.get(RECORDING)
    return await request.app[HEAVY_READS].read(
        request[ASKING],
        read_if_wanted,
        begun=begun,
        recorded=recording is not None and recording.recorded,
    )
