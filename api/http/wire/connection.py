"""A connection: aiohttp's, with limits on its client and with other answers to errors.

aiohttp waits for a head for as long as for the next request, and for a client that does not read
its answer for ever.
"""

import asyncio
import fcntl
import math
import socket
import struct
import termios
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from api.http.errors import answer_to, error_answer, unknown_error
from api.http.outcome import note_outcome
from api.http.request_ids import REQUEST_ID, RequestIds
from api.http.wire.answer_pace import AnswerPace
from api.http.wire.open_connections import OpenConnections
from api.service.admission import Taken
from api.service.limits import Limits

FAILED = web.HTTPInternalServerError.status_code
LINE_ENDS = b"\r\n"
_AT_ONCE = struct.pack("ii", 1, 0)
_INT = struct.Struct("i")
UNSENT_BYTES = 64 * 1024
"""How much the system keeps of an answer beyond what the client's system has room for."""


class HeadTooSlow(Exception):
    """A request has begun, and the rest of its head does not come."""


class Connection(web.RequestHandler):
    """A connection that is counted, and that waits for its client within limits."""

    __slots__ = (
        "_head_timer",
        "_held",
        "_ids",
        "_limits",
        "_noted",
        "_open",
        "_pace",
        "_payload",
        "_socket",
        "_unread_timer",
    )

    def __init__(
        self,
        *given: Any,
        ids: RequestIds,
        limits: Limits,
        connections: OpenConnections,
        **named: Any,
    ) -> None:
        super().__init__(*given, **named)
        self._ids = ids
        self._limits = limits
        self._pace = AnswerPace(limits)
        self._open = connections
        self._payload: StreamReader = EMPTY_PAYLOAD
        """The body of the newest of the `_noted` requests."""
        self._noted = 0
        # Kept while it is open; aiohttp forgets its own when it begins to close it.
        self._socket: asyncio.Transport | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._held: Taken | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        self._socket = transport
        _keep_little_unsent(transport)
        peer = transport.get_extra_info("peername")
        self._open.add(self, str(peer[0]) if isinstance(peer, tuple) else "")

    def connection_lost(self, exc: BaseException | None) -> None:
        self._open.remove(self)
        self._socket = None
        self._stop_head_timer()
        self._stop_unread_timer()
        self._give_back()
        super().connection_lost(exc)

    def cut(self) -> None:
        """Close the connection at once, whatever the client has not read."""
        if self._socket is not None:
            self._socket.abort()

    def occupy(self) -> None:
        """Note that an account is served, until the answer is sent."""
        self._open.occupy(self)

    # Writing beside aiohttp

    @property
    def takes_more(self) -> bool:
        """Whether the client has read all that was written."""
        return not self._paused

    async def until_it_takes_more(self) -> None:
        """Wait for the client to read. Raise ConnectionError once it is gone."""
        await self._drain_helper()

    def write(self, data: bytes) -> None:
        """Write as it is what aiohttp knows nothing of; nothing once the connection has ended."""
        if self._socket is not None and not self._socket.is_closing():
            self._socket.write(data)

    def hold(self, taken: Taken) -> None:
        """Keep what the answer has of a budget until the client has taken the answer."""
        self._held = taken

    def _give_back(self) -> None:
        if self._held is not None:
            self._held.give_back()
            self._held = None

    # The head

    def data_received(self, data: bytes) -> None:
        """Receive; what belongs neither to a whole head nor to a body begins a head."""
        begins = self._payload.is_eof()
        super().data_received(data)
        if self._note_requests():
            return
        if begins and self._head_timer is None and data.strip(LINE_ENDS) and self._reads_heads():
            self._start_head_timer()

    def _note_requests(self) -> bool:
        """Note the body of the newest request; return whether there are new ones."""
        if self._request_count == self._noted:
            return False
        self._noted = self._request_count
        _, self._payload = self._messages[-1]
        self._stop_head_timer()
        return True

    def _reads_heads(self) -> bool:
        """Return False for a websocket, at the end, and while what has come is not looked at."""
        return not (self._upgraded or self._close or self._force_close or self._buffer_paused)

    def _start_head_timer(self) -> None:
        if self._limits.head_seconds:
            self._head_timer = self._loop.call_later(self._limits.head_seconds, self._refuse_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse_head(self) -> None:
        """Answer that the head is too slow, and close; after an earlier request, only close."""
        if self._waiter is None or self._waiter.done():
            self.close()
            return
        error = HeadTooSlow(f"the head did not come within {self._limits.head_seconds:g} s")
        self._close = True
        self._messages.append((_ErrInfo(408, error, str(error)), EMPTY_PAYLOAD))
        self._waiter.set_result(None)

    # The answer

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._socket is not None:
            self._pace.begin_to_wait(self._loop.time(), _untaken_bytes(self._socket))
            self._start_unread_timer()

    def resume_writing(self) -> None:
        if self._unread_timer is not None:
            self._stop_unread_timer()
            self._look_at_pace()
        super().resume_writing()

    def _start_unread_timer(self) -> None:
        look_after_s = self._pace.look_after_s
        if look_after_s < math.inf:
            self._unread_timer = self._loop.call_later(look_after_s, self._check_is_read)

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _check_is_read(self) -> None:
        if not self._look_at_pace():
            self._start_unread_timer()

    def _look_at_pace(self) -> bool:
        """Have the connection reset if the client is too slow; return whether it is."""
        assert self._socket is not None, "the timer ends with the connection"
        is_slow = self._pace.look(self._loop.time(), _untaken_bytes(self._socket))
        if is_slow:
            _drop_unsent(self._socket)
            self._loop.call_soon(self.cut)  # asyncio may be writing, and would end it twice
        return is_slow

    # Answers to errors

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, and errors outside the middleware.

        The parser's message quotes the request, and is for the log only. The connection is closed,
        as it is unknown where the next request would begin. That a client has gone is no error.
        """
        if not (isinstance(exc, HeadTooSlow) or self._has_gone(exc)):
            super().handle_error(request, status, exc, message)
        answer = _answer_to(exc)
        note_outcome(request, answer, "unknown" if answer.status == FAILED else "not-recorded")
        answer.force_close()
        answer.headers[REQUEST_ID] = self._ids.of(request)
        return answer

    def _has_gone(self, error: BaseException | None) -> bool:
        """Return whether the error is only that the client has gone before its answer came."""
        is_closed = self._socket is None or self._socket.is_closing()
        return isinstance(error, ConnectionError) and is_closed

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; replace those of aiohttp itself, from before the middleware."""
        if isinstance(resp, web.HTTPException):
            resp = answer_to(resp)
            note_outcome(request, resp, "not-recorded")
            resp.headers[REQUEST_ID] = self._ids.of(request)
        try:
            finished = await super().finish_response(request, resp, start_time)
        finally:
            self._give_back()
            self._open.release(self)
        self._note_requests()  # it looks at what came behind an upgrade that was declined
        return finished


def _keep_little_unsent(transport: asyncio.Transport) -> None:
    """Have writing pause soon once the client does not read.

    By itself Linux takes megabytes of an answer that nobody reads, for each connection.
    """
    transport.set_write_buffer_limits(0)
    wire: socket.socket | None = transport.get_extra_info("socket")
    if wire is not None and wire.family in (socket.AF_INET, socket.AF_INET6):
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def _untaken_bytes(transport: asyncio.Transport) -> int:
    """Return how much of what was written the client's system has not taken, here or in ours."""
    unsent = transport.get_write_buffer_size()
    wire: socket.socket | None = transport.get_extra_info("socket")
    if wire is None:
        return unsent
    in_kernel = fcntl.ioctl(wire.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    return unsent + int(_INT.unpack(in_kernel)[0])


def _drop_unsent(transport: asyncio.Transport) -> None:
    """Have closing reset the connection: otherwise Linux still waits for the client to read."""
    wire: socket.socket | None = transport.get_extra_info("socket")
    if wire is not None:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)


def occupy_connection(request: web.Request) -> None:
    """Note that the request is an account's, so that its connection is not idle."""
    if isinstance(request.protocol, Connection):
        request.protocol.occupy()


def cut_connection(request: web.Request) -> None:
    """Close the request's connection at once, so that nobody takes a part for the whole."""
    if isinstance(request.protocol, Connection):
        request.protocol.cut()
    else:
        request.protocol.force_close()


def hold_until_taken(request: web.Request, taken: Taken) -> None:
    """Keep what the answer has of a budget until the client has taken all of it."""
    if isinstance(request.protocol, Connection):
        request.protocol.hold(taken)
    else:
        taken.give_back()


def _answer_to(error: BaseException | None) -> web.Response:
    match error:
        case HeadTooSlow():
            return error_answer(408, "validation", str(error))
        case LineTooLong():
            return error_answer(400, "validation", "the URL or a header is too long")
        case HttpProcessingError():
            return error_answer(400, "validation", "this is no HTTP request that can be understood")
        case _:
            return unknown_error()
