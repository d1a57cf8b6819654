"""The admin socket's place in the file system.

Socket paths are limited to about 100 bytes; bound and connected through `/proc/self/fd/N/`, the
path of the data directory does not count.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET_FILE = "admin.sock"


@contextmanager
def short_path(data: Path) -> Iterator[str | None]:
    """A short path to the directory; None if there is no such directory."""
    try:
        fd = os.open(data, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def bound_socket(data: Path) -> socket.socket:
    """The admin socket in the place of a stale one; only whoever has the lock may call this."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(data) as folder, contextlib.ExitStack() as undo:
        undo.callback(bound.close)
        (data / SOCKET_FILE).unlink(missing_ok=True)
        os.fchmod(bound.fileno(), 0o600)  # before it has a name, so there is no moment without
        bound.bind(f"{folder}/{SOCKET_FILE}")
        undo.pop_all()
    return bound


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
