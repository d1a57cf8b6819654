"""The websocket: each frame names a resource that has changed, and shows it.

The service never waits for a client. Frames that a client has not taken yet wait in a bounded queue
of its own. A client that falls too far behind is disconnected, and learns by GET what it missed.
"""

import asyncio
from collections import deque
from contextlib import suppress

from aiohttp import WSCloseCode, hdrs, web

from api.accounts.account import Account, LoginRefused
from api.http.edge.cookies import COOKIES
from api.http.edge.same_origin import check_origin
from api.http.errors import RequestRefused
from api.http.request_ids import REQUEST_ID
from api.http.requests import CALLER
from api.http.responses import encode
from api.http.wire.connection import Connection, occupy_connection
from api.http.wire.websocket_frames import close_frame, text_frame
from api.service.service import Service
from api.text.urls import API_ROOT
from projections.feed.feed import Frames, Reason

FRAMES_MAX = 2_000
BYTES_MAX = 4 * 1024**2
"""The most frames, and the most bytes, that may wait for one client."""
REPEATS_MAX = FRAMES_MAX // 2
"""While this many frames wait for a client, it gets none that repeat what it may know."""
MESSAGE_BYTES = 4 * 1024
"""The longest message that a client may send; the service ignores them all."""
HEARTBEAT_S = 20.0
"""How long a client may be silent before the service asks whether it is still there.

Proxies cut a connection on which nothing has moved for a minute.
"""
BEAT_S = 5.0
"""How often a client that asks for beats gets one: it can tell a quiet connection from a dead one.
What moves is repeated as often."""
BEAT = {"resource_type": "beat", "resource_uri": f"{API_ROOT}/websocket/"}
_BEAT_FRAME = text_frame(encode(BEAT))
CLOSE_S = 2.0
"""How long a client may take to close, before it is cut off."""

_CODES: dict[Reason, WSCloseCode] = {
    "stopping": WSCloseCode.GOING_AWAY,
    "logged out": WSCloseCode.POLICY_VIOLATION,
    "feed failed": WSCloseCode.INTERNAL_ERROR,
}


class Websocket:
    def __init__(self, service: Service) -> None:
        self._accounts = service.accounts
        self._feed = service.feed
        self._admission = service.admission

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Send frames for as long as the client stays. The cookie is its only credential."""
        if not _asks_for_websocket(request):
            message = "this URL is for websockets"
            raise RequestRefused(426, message, headers={hdrs.UPGRADE: "websocket"})
        check_origin(request)
        cookie = request.app[COOKIES].read(request, "async_auth")
        if cookie is None:
            raise LoginRefused
        account = await self._accounts.account_of_async_cookie(cookie)
        with self._admission.take(account.uuid, "websockets"):
            return await self._follow(request, account, cookie)

    async def _follow(
        self, request: web.Request, account: Account, cookie: str
    ) -> web.WebSocketResponse:
        occupy_connection(request)
        response = web.WebSocketResponse(
            timeout=CLOSE_S,
            autoclose=False,  # or it responds to what responds to the service's own close frame
            heartbeat=HEARTBEAT_S,
            max_msg_size=MESSAGE_BYTES,
            compress=False,  # it would cost a quarter of a megabyte for each client
        )
        response.headers[REQUEST_ID] = request[CALLER].request_id
        await response.prepare(request)
        revocation = self._accounts.last_revocation_before(cookie)
        assert isinstance(request.protocol, Connection)
        beat_s = BEAT_S if request.query.get("beats") == "1" else None
        socket = Socket(response, request.protocol, revocation, beat_s)
        with (
            self._feed.subscription(account.uuid, socket),
            self._accounts.watch_session(cookie, lambda: socket.leave("logged out")),
        ):
            await self._send_away_if_revoked(socket, cookie)
            await socket.serve()
        return response

    async def _send_away_if_revoked(self, socket: "Socket", cookie: str) -> None:
        """Disconnect a client whose login was revoked before it subscribed: the feed missed it."""
        try:
            await self._accounts.account_of_async_cookie(cookie)
        except LoginRefused:
            socket.leave("logged out")


def _asks_for_websocket(request: web.Request) -> bool:
    upgrade = request.headers.get(hdrs.UPGRADE, "")
    return request.method == hdrs.METH_GET and upgrade.strip().lower() == "websocket"


class Socket:
    """A client that follows the feed.

    What the connection takes is written at once. The rest waits in a queue, and a task writes it
    once the client has read.
    """

    def __init__(
        self,
        response: web.WebSocketResponse,
        connection: Connection,
        revocation: int,
        beat_s: float | None,
    ) -> None:
        self.revocation = revocation
        self._beat_s = beat_s
        self._response = response
        self._connection = connection
        self._waiting: deque[Frames] = deque()
        self._count = 0
        self._bytes = 0
        self._ready = asyncio.Event()
        self._left = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    def take(self, frames: Frames, *, again: bool) -> None:
        """Write frames or queue them, or disconnect a client that is too far behind for them."""
        if self._closing is not None or (again and self._count >= REPEATS_MAX):
            return
        if not self._waiting and self._connection.takes_more:
            self._write(frames.together)
            return
        # What is told at once may exceed the limits on its own: a tree of jobs has no bound.
        too_many = self._count + len(frames.each) > FRAMES_MAX
        too_long = self._bytes + len(frames.together) > BYTES_MAX
        if self._waiting and (too_many or too_long):
            self._close(WSCloseCode.TRY_AGAIN_LATER, b"too slow")
            return
        self._waiting.append(frames)
        self._count += len(frames.each)
        self._bytes += len(frames.together)
        self._ready.set()

    def leave(self, reason: Reason) -> None:
        """Close the socket; frames that still wait are not sent."""
        if self._closing is None:
            self._close(_CODES[reason], reason.encode())

    async def serve(self) -> None:
        """Send and read until the client has left, or has been disconnected."""
        sending = asyncio.create_task(self._send())
        try:
            async for _ in self._response:
                pass  # Messages are ignored, but only reading shows that a client has left.
            if self._closing is None:
                await self._response.close(drain=False)
        finally:
            self._left.set()
            sending.cancel()
            if self._closing is not None:
                await self._closing

    async def _send(self) -> None:
        with suppress(ConnectionError):  # the client has left; reading ends too
            while True:
                try:
                    async with asyncio.timeout(self._beat_s):
                        await self._ready.wait()
                except TimeoutError:
                    if self._connection.takes_more:  # otherwise there is more to read already
                        self._write(_BEAT_FRAME)
                self._ready.clear()
                while self._waiting:
                    await self._connection.until_it_takes_more()
                    if self._waiting:  # a close has emptied it meanwhile
                        frames = self._waiting.popleft()
                        self._count -= len(frames.each)
                        self._bytes -= len(frames.together)
                        self._write(frames.together)

    def _write(self, frames: bytes) -> None:
        if self._closing is None and not self._response.closed:  # nothing follows a close frame
            self._connection.write(frames)

    def _close(self, code: WSCloseCode, reason: bytes) -> None:
        self._waiting.clear()
        self._closing = asyncio.create_task(self._say_goodbye(code, reason))

    async def _say_goodbye(self, code: WSCloseCode, reason: bytes) -> None:
        """Tell the client, and cut it off once it has responded, or has had the time to.

        To cut it off at once would take from it what it has not read yet.
        """
        self._connection.write(close_frame(code, reason))
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._left.wait()
        self._connection.cut()
