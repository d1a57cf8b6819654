"""A file system that hangs, as one of an NFS server that is away: it answers nothing."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HEADER = struct.Struct("IIQQIIII")
_ANSWER = struct.Struct("IiQ")
_INIT = struct.Struct("IIIIHHIIHHI28x")
_VERSION = 7, 31
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def hanging_mount(path: Path) -> Iterator[None]:
    """Mount it at a directory. What hangs in it is let go at the end, with an error.

    Raise OSError where that is not allowed.
    """
    device = os.open("/dev/fuse", os.O_RDWR)
    try:
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
        _check(_libc.mount(b"hanging", bytes(path), b"fuse", 0, options.encode()))
        try:
            _begin(device)
            yield
        finally:
            os.close(device)  # ends the connection: all that waits fails
            device = -1
            _check(_libc.umount2(bytes(path), _MNT_DETACH))
    finally:
        if device >= 0:
            os.close(device)


def _begin(device: int) -> None:
    """Answer the one question without which no other is asked."""
    asked = _HEADER.unpack_from(os.read(device, 1 << 17))
    told = _INIT.pack(*_VERSION, 1 << 16, 0, 12, 9, 1 << 16, 1, 0, 0, 0)
    os.write(device, _ANSWER.pack(_ANSWER.size + len(told), 0, asked[2]) + told)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
