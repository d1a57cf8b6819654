"""The admin socket in the file system.

Socket paths are limited to about 100 bytes. Through `/proc/self/fd/N/` the length of the data
directory's own path does not count.
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
    """Yield a short path to the directory; None if there is no such directory."""
    try:
        fd = os.open(data, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def bind_socket(data: Path) -> socket.socket:
    """Bind the admin socket in place of a stale one; the caller holds the directory's lock."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(data) as folder, contextlib.ExitStack() as undo:
        undo.callback(bound.close)
        (data / SOCKET_FILE).unlink(missing_ok=True)
        os.fchmod(bound.fileno(), 0o600)  # before it has a name, so that others can never connect
        bound.bind(f"{folder}/{SOCKET_FILE}")
        undo.pop_all()
    return bound


def is_listening(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
