"""A proxy before a PostgreSQL server that cuts a connection between two of its messages."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

Way = Literal["to the server", "to the client"]
LENGTH = 4


class Cutting:
    """Passes whole messages on, and counts them; cuts once after so many, if it is told to."""

    def __init__(self, server: Path) -> None:
        """`server` is the server's socket."""
        self._server = server
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._cut: tuple[Way, int] | None = None
        self.passed: dict[Way, int] = {"to the server": 0, "to the client": 0}
        self.port = self._listening.getsockname()[1]

    @contextmanager
    def running(self) -> Iterator["Cutting"]:
        self._start(self._accept)
        try:
            yield self
        finally:
            self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            with self._lock:
                self._close(*self._open)
            for thread in self._threads:
                thread.join()

    def cut_after(self, way: Way, messages: int) -> None:
        """Cut the connection over which the next message this way would pass, after so many."""
        with self._lock:
            self._cut = way, messages
            self.passed = dict.fromkeys(self.passed, 0)

    def count(self) -> None:
        """Count from now on, and cut nothing."""
        with self._lock:
            self._cut = None
            self.passed = dict.fromkeys(self.passed, 0)

    @property
    def has_cut(self) -> bool:
        return self._cut is None

    def _start(self, run: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=run, args=given)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            with self._lock:
                self._open |= {client, server}
            self._start(self._pass_on, client, server, "to the server")
            self._start(self._pass_on, server, client, "to the client")

    def _pass_on(self, here: socket.socket, there: socket.socket, way: Way) -> None:
        with ExitStack() as stack, suppress(OSError):
            stack.callback(self._end, here, there)
            source = stack.enter_context(here.makefile("rb"))
            if way == "to the server":
                there.sendall(_message(source.read(LENGTH), source))  # the first has no type
            while kind := source.read(1):
                message = kind + _message(source.read(LENGTH), source)
                with self._lock:
                    if self._cut == (way, self.passed[way]):
                        self._cut = None
                        return
                    self.passed[way] += 1
                there.sendall(message)

    def _end(self, *ends: socket.socket) -> None:
        with self._lock:
            self._close(*ends)

    def _close(self, *ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)


def _message(length: bytes, source: BinaryIO) -> bytes:
    """Return a message from its length on."""
    if len(length) < LENGTH:
        raise OSError("one side has closed")
    return length + source.read(int.from_bytes(length) - LENGTH)
