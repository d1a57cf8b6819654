"""A TCP proxy between a client and a service, which can be cut, or let nothing through."""

import asyncio
import contextlib
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK = 64 * 1024


class Between:
    """Forwards connections until it is cut; then it ends them and refuses others.

    Or it swallows what comes, both up and down: connections stay as they are, and others are made.

    It has a thread of its own: what drives the browser has the event loop of this one.
    """

    def __init__(
        self, port: int, *, up_most: float = math.inf, down_most: float = math.inf
    ) -> None:
        """Cut it once more bytes than these have gone up, or come down."""
        self._port = port
        self._left = {"up": up_most, "down": down_most}
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self._listens = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = self._is_swallowing = False
        self.refused = 0
        """How many connections it has refused since it was first cut."""
        self.address = ""

    @contextmanager
    def running(self) -> Iterator["Between"]:
        thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        thread.start()
        self._listens.wait()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join()

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._cut)

    def mend(self) -> None:
        """Forward what comes; connections of which something was swallowed are ended."""
        self._is_cut = False
        if self._is_swallowing:
            self._loop.call_soon_threadsafe(self._spit_out)

    def swallow(self) -> None:
        """Let nothing through from now on, without a word to anybody."""
        self._is_swallowing = True

    def _spit_out(self) -> None:
        self._is_swallowing = False
        for writer in self._writers:
            writer.transport.abort()

    def _cut(self, but: asyncio.StreamWriter | None = None) -> None:
        self._is_cut = True
        for writer in self._writers - {but}:
            writer.transport.abort()

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._listens.set()
        await self._stopping.wait()
        server.close()
        self._cut()
        while self._writers:  # noqa: ASYNC110 - they end on their own now
            await asyncio.sleep(0.01)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            self.refused += 1
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._copy("up", reader, back), self._copy("down", there, writer))
        back.transport.abort()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self._writers -= {writer, back}

    async def _copy(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Forward until one side ends, without waiting for the other."""
        while chunk := await reader.read(CHUNK):
            if self._is_swallowing:
                continue
            self._left[way] -= len(chunk)
            if self._left[way] < 0:
                # What came down before is read yet: a reset would take it from a slow reader.
                self._cut(but=writer if way == "down" else None)
                break
            writer.write(chunk)
            await writer.drain()
        raise ConnectionError("one side has closed")
