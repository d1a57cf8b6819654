"""The answer that sends an image, or a range of it, from the disk to the client."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter

from ledger.domain.errors.pools import PoolSilent

PIECE_BYTES = 256 * 1024
PIECE_S = 60.0
"""How long a client may take to receive a piece; slower ones would hold a connection for ever."""

log = logging.getLogger(__name__)


class ImageResponse(web.StreamResponse):
    """Sends bytes of an open file in pieces; then closes what is `held`, the file among it.

    A client that takes too long for a piece is cut off, and so is one whose bytes cannot be read
    any more: the connection is the only way left to say that the answer is not whole.
    """

    def __init__(
        self,
        read: Callable[[int, int], Awaitable[bytes]],
        asked: range,
        *,
        status: int,
        headers: Mapping[str, str],
        on_piece: Callable[[], None],
        held: ExitStack,
    ) -> None:
        """`read` reads so many bytes at an offset, in a thread: a pool may hang."""
        super().__init__(status=status, headers=headers)
        self.content_length = len(asked)
        self._read = read
        self._asked = asked
        self._on_piece = on_piece
        self._held = held

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send all of it; a second call, as at the end of the request, sends nothing more."""
        if self.prepared:
            return await super().prepare(request)
        with self._held:
            writer = await super().prepare(request)
            if request.method != hdrs.METH_HEAD:
                await self._send(request)
            await self.write_eof()
        return writer

    async def _send(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        try:
            for start in self._asked[::PIECE_BYTES]:
                await self._send_piece(transport, start)
                self._on_piece()
        except ConnectionError:
            raise
        except (OSError, TimeoutError, EOFError, PoolSilent) as error:
            log.warning("a download was cut off: %r", error)
            transport.abort()
            raise ConnectionAbortedError("the answer cannot be completed") from error

    async def _send_piece(self, transport: asyncio.Transport, start: int) -> None:
        if transport.is_closing():
            raise ConnectionResetError("the client is gone")
        count = min(PIECE_BYTES, self._asked.stop - start)
        piece = await self._read(count, start)
        async with asyncio.timeout(PIECE_S):
            await self.write(piece)
        if len(piece) < count:
            raise EOFError("the image has become shorter")
