"""Copy an image into a part file so that what a checkpoint names survives a crash.

Order at each checkpoint: write, fdatasync the part, and only then report. The fdatasync of one
checkpoint runs while the data of the next are copied; a checkpoint therefore names only what was
written before its fdatasync began. Beside a ledger that is in use, data are synced in smaller steps
(`ledger.images.steps`), which the checkpoints do not rest on.

Limits: a source written to through a shared mapping may not show a new mtime before it is synced;
such a change is noticed late or not at all.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger.domain.events.jobs import Fingerprint
from ledger.images.background_sync import Checkpoint, PipelinedSync, pipelined_sync
from ledger.images.digests import inherit_digest
from ledger.images.errors import (
    CopyFailed,
    CopyStopped,
    SourceChanged,
    SourceVanished,
    describe_os_error,
    full_pool_errors,
)
from ledger.images.extents import data_extents
from ledger.images.files import (
    fingerprint,
    fingerprint_of,
    sync_directory,
)
from ledger.images.parts import own_part
from ledger.images.rate import RateLimit
from ledger.images.regular_files import open_regular
from ledger.images.steps import FREELY, STEP_BYTES, Steps
from ledger.images.transfer import move, reflink
from ledger.images.verification import verify_copy

CHUNK_BYTES = 8 * 1024 * 1024
CHECKPOINT_BYTES = 64 * 1024 * 1024
CHECKPOINT_S = 5.0
"""A slow disk takes longer for this many bytes."""
LIMITED_CHECKPOINT_S = 1.0
"""The same for a rate-limited copy: its disk has time to sync."""


def copy_image(
    *,
    source: Path,
    part: Path,
    size: int,
    resume: Checkpoint | None,
    on_checkpoint: Callable[[Checkpoint], None],
    on_moved: Callable[[int], None],
    rate: RateLimit | None,
    verify: bool,
    stop: threading.Event,
    expected: Fingerprint,
    steps: Steps = FREELY,
) -> None:
    """Copy the image `source` into the part file `part` and extend it with a hole to `size` bytes.

    On return the part and its name are durable, the part has the source's content, and the source
    was the file whose fingerprint is `expected`, both at the start and at the end. Only the return
    guarantees this: no checkpoint does.

    `on_checkpoint` is called in the calling thread, after every 64 MiB of data or five seconds,
    with a `rate` about once a second; then with the source's size as offset, repeatedly during the
    verification. What it raises ends the copy and passes unchanged. `on_moved` is called with the
    number of bytes of each piece that was copied.

    `resume` continues a part file: what it holds beyond the checkpoint is cut off first. Where the
    part is missing, or shorter than the checkpoint says, the copy starts from 0; the bytes_done
    reported may then be lower than before, and the caller keeps progress from going back.

    `rate` limits the data copied, not what the verification reads. `verify` reads the part back
    from the disk and compares it with the source, holes included; then the part has the source's
    digest, if that is known.

    `steps` hands out the steps, so that copies leave room for others.

    When `stop` is set, what was copied is synced and reported, then CopyStopped is raised. Other
    errors, after which nothing more is reported: SourceVanished, SourceChanged, PoolFull,
    VerificationFailed, PartTaken, NotRegular, CopyFailed (any other OSError). ValueError where
    `size` is less than the source's, or both paths are one file. The part stays as it is: the
    caller decides what becomes of it.
    """
    if size < expected.size:
        raise ValueError(f"the source has {expected.size} bytes, more than {size}")

    def checkpoints() -> Generator[Checkpoint]:
        with (
            _copy_errors(),
            _opened_source(source, expected) as source_fd,
            _opened_part(part, source_fd) as part_fd,
        ):
            start = _cut_to_checkpoint(part_fd, resume, expected.size)
            copy = _Copy(source_fd, part_fd, expected.size, start, on_moved, verify=verify)
            if not copy.reflink():
                with pipelined_sync(part_fd) as sync:
                    yield from _copy_extents(copy, sync, steps, rate, stop)
            os.ftruncate(part_fd, size)
            os.fsync(part_fd)
            _check_unchanged(source, expected)
            yield copy.completed()
            if verify:
                compared = verify_copy(
                    source_fd, part_fd, source_size=expected.size, size=size, stop=stop
                )
                for count in compared:
                    yield copy.verified(count)
                _check_unchanged(source, expected)
                inherit_digest(source_fd, part_fd)

    # A generator, so that errors raised by the caller's function are not taken for the copy's.
    with closing(checkpoints()) as reached:
        for checkpoint in reached:
            on_checkpoint(checkpoint)


@contextmanager
def _copy_errors() -> Iterator[None]:
    try:
        with full_pool_errors():
            yield
    except OSError as error:
        raise CopyFailed(describe_os_error(error)) from error


@contextmanager
def _opened_source(source: Path, expected: Fingerprint) -> Iterator[int]:
    with _vanished_source_errors(source):
        fd = open_regular(source, os.O_RDONLY)
    try:
        _compare(source, fingerprint_of(os.fstat(fd)), expected)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _opened_part(part: Path, source_fd: int) -> Iterator[int]:
    """Open the part file, or create it; its name is durable before anything is written to it."""
    with own_part(part) as fd:
        if os.path.samestat(os.fstat(fd), os.fstat(source_fd)):
            raise ValueError(f"the part is the source itself: {part}")
        sync_directory(part.parent)
        yield fd


@contextmanager
def _vanished_source_errors(source: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ESTALE}:  # ESTALE: gone from a network file system
            raise SourceVanished(f"the source is gone: {source}") from error
        raise


def _check_unchanged(source: Path, expected: Fingerprint) -> None:
    """Look by name and not by descriptor: a source that was replaced has changed too."""
    with _vanished_source_errors(source):
        found = fingerprint(source)
    _compare(source, found, expected)


def _compare(source: Path, found: Fingerprint, expected: Fingerprint) -> None:
    if found != expected:
        raise SourceChanged(f"{source}: {found}, expected {expected}")


def _cut_to_checkpoint(part_fd: int, resume: Checkpoint | None, source_size: int) -> int:
    """Cut off what no checkpoint promised; return the offset to resume from."""
    start = 0 if resume is None else resume.offset
    if start > min(source_size, os.fstat(part_fd).st_size):
        start = 0
    os.ftruncate(part_fd, start)
    return start


class _Copy:
    """A copy under way: how far it is, and the next step."""

    def __init__(
        self,
        source_fd: int,
        part_fd: int,
        end: int,
        start: int,
        on_moved: Callable[[int], None],
        *,
        verify: bool,
    ) -> None:
        self._source_fd = source_fd
        self._part_fd = part_fd
        self._end = end
        self._offset = start
        self._on_moved = on_moved
        self._dirty = 0
        self._verified = 0 if verify else None
        above = sum(length for _, length in self.extents())
        below = sum(length for _, length in data_extents(source_fd, 0, start))
        self._done = below
        self._total = below + above

    def extents(self) -> Iterator[tuple[int, int]]:
        """Return the source's extents from here on."""
        return data_extents(self._source_fd, self._offset, self._end)

    def reflink(self) -> bool:
        """Try to share all blocks at once; return whether that worked."""
        return reflink(self._source_fd, self._part_fd)

    def step(self, offset: int, length: int, *, durable: bool) -> None:
        """Copy these bytes; nothing but holes lies between the last step and this one.

        Some small steps that follow each other are made durable together.
        """
        move(self._source_fd, self._part_fd, offset, length)
        self._offset = offset + length
        self._done += length
        self._dirty += length
        self._on_moved(length)
        if durable and self._dirty >= STEP_BYTES:
            os.fdatasync(self._part_fd)
            self._dirty = 0

    def checkpoint(self) -> Checkpoint:
        """Return what a sync that begins now makes durable."""
        # The extents may have grown since they were summed up: a page read from preallocated space
        # counts as data from then on (seen on ext4).
        done = min(self._done, self._total)
        return Checkpoint(self._offset, done, self._total, self._verified)

    def completed(self) -> Checkpoint:
        """Return the last checkpoint of the data, once all of it is durable."""
        return Checkpoint(self._end, self._total, self._total, self._verified)

    def verified(self, count: int) -> Checkpoint:
        """Return the same after `count` bytes were compared, holes included."""
        return Checkpoint(self._end, self._total, self._total, min(count, self._total))


def _copy_extents(
    copy: _Copy,
    sync: PipelinedSync,
    steps: Steps,
    rate: RateLimit | None,
    stop: threading.Event,
) -> Iterator[Checkpoint]:
    """Copy all extents; yield checkpoints as they become durable. The last data may have none."""
    due = _CheckpointDue(CHECKPOINT_S if rate is None else LIMITED_CHECKPOINT_S)
    for offset, length in _chunks(copy, rate):
        if stop.is_set() or (rate is not None and not rate.take(length, stop)):
            yield from _stop_copy(copy, sync)
        with steps.step() as durable:
            copy.step(offset, length, durable=durable)
        if due.after(length):
            yield from sync.waited()
            sync.begin(copy.checkpoint())
        else:
            yield from sync.finished()
    yield from sync.waited()


def _stop_copy(copy: _Copy, sync: PipelinedSync) -> Iterator[Checkpoint]:
    yield from sync.waited()
    sync.begin(copy.checkpoint())
    yield from sync.waited()
    raise CopyStopped("asked to stop")


def _chunks(copy: _Copy, rate: RateLimit | None) -> Iterator[tuple[int, int]]:
    largest = CHUNK_BYTES if rate is None else min(CHUNK_BYTES, rate.share_bytes)
    for offset, length in copy.extents():
        end = offset + length
        for at in range(offset, end, largest):
            yield at, min(largest, end - at)


@dataclass
class _CheckpointDue:
    """Decides when the next checkpoint is due."""

    every_s: float
    copied_bytes: int = 0
    begun_at: float = 0.0

    def __post_init__(self) -> None:
        self.begun_at = time.monotonic()

    def after(self, length: int) -> bool:
        self.copied_bytes += length
        waited_s = time.monotonic() - self.begun_at
        if self.copied_bytes < CHECKPOINT_BYTES and waited_s < self.every_s:
            return False
        self.copied_bytes = 0
        self.begun_at = time.monotonic()
        return True
