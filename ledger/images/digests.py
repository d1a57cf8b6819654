"""The SHA-256 of an image: made in steps, and kept with the file until that changes.

It is kept in an extended attribute, beside the time and size that the file had. So it outlives the
process, other nodes that have the pool find it, and it ends with the image. Where the file system
has no attributes, it is computed each time.
"""

import hashlib
import os
import re
from collections.abc import Generator, Iterator
from contextlib import suppress

from ledger.images.extents import data_extents

READ_BYTES = 1024**2
STEP_BYTES = 64 * READ_BYTES
ATTRIBUTE = "user.job-ledger.sha256"
_KEPT = re.compile(rb"([0-9]+\.[0-9]+) ([0-9a-f]{64})")
_ZEROS = bytes(READ_BYTES)


def blocks(fd: int, start: int, end: int) -> Iterator[bytes]:
    """Yield the content of a file between two offsets without reading its holes.

    It is short where the file was cut meanwhile. Moves the descriptor's file offset.
    """
    at = start
    for offset, length in data_extents(fd, start, end):
        yield from _zeros(offset - at)
        for at in range(offset, offset + length, READ_BYTES):
            yield os.pread(fd, min(READ_BYTES, offset + length - at), at)
        at = offset + length
    yield from _zeros(end - at)


def _zeros(length: int) -> Iterator[bytes]:
    for at in range(0, length, READ_BYTES):
        yield _ZEROS[: min(READ_BYTES, length - at)]


def sha256(fd: int, start: int, end: int) -> bytes:
    """Return the digest of a file between two offsets."""
    digest = hashlib.sha256()
    for block in blocks(fd, start, end):
        digest.update(block)
    return digest.digest()


def digest_in_steps(fd: int) -> Generator[None, None, bytes | None]:
    """Make the digest of a whole file and keep it; yield after each `STEP_BYTES`.

    Return None if the file changes meanwhile. OSErrors pass.
    """
    before = os.fstat(fd)
    digest = hashlib.sha256()
    since = 0
    for block in blocks(fd, 0, before.st_size):
        digest.update(block)
        since += len(block)
        if since >= STEP_BYTES:
            since = 0
            yield
    if _stamp(os.fstat(fd)) != _stamp(before):
        return None
    _keep(fd, before, digest.digest())
    return digest.digest()


def kept_digest(fd: int) -> bytes | None:
    """Return the digest that is kept with a file, unless the file has changed since."""
    try:
        kept = _KEPT.fullmatch(os.getxattr(fd, ATTRIBUTE))
    except OSError:
        return None
    if kept is None or kept[1] != _stamp(os.fstat(fd)):
        return None
    return bytes.fromhex(kept[2].decode())


def inherit_digest(source_fd: int, copy_fd: int) -> None:
    """Keep the source's digest, if it is known, with a copy that was compared and is as long."""
    digest = kept_digest(source_fd)
    state = os.fstat(copy_fd)
    if digest is not None and os.fstat(source_fd).st_size == state.st_size:
        _keep(copy_fd, state, digest)


def _keep(fd: int, state: os.stat_result, digest: bytes) -> None:
    with suppress(OSError):
        os.setxattr(fd, ATTRIBUTE, _stamp(state) + b" " + digest.hex().encode())


def _stamp(state: os.stat_result) -> bytes:
    return b"%d.%d" % (state.st_mtime_ns, state.st_size)
