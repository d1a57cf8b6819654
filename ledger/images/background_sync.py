"""Make written data durable while the next data are written."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything of the source below `offset` is durable in the part file.

    `bytes_done` and `bytes_total` count data; holes count for nothing. `bytes_verified` is how much
    of the data was compared with the source; None if it will not be.
    """

    offset: int
    bytes_done: int
    bytes_total: int
    bytes_verified: int | None = None


class PipelinedSync:
    """fdatasync of one file in a second thread, never more than one at a time.

    A checkpoint is yielded only after an fdatasync that began after everything it names was
    written. What fdatasync raises is raised when the checkpoint is collected.
    """

    def __init__(self, fd: int, thread: ThreadPoolExecutor) -> None:
        self._fd = fd
        self._thread = thread
        self._outstanding: tuple[Checkpoint, Future[None]] | None = None

    def begin(self, checkpoint: Checkpoint) -> None:
        """Start making `checkpoint` durable; the one before must have been collected."""
        assert self._outstanding is None
        self._outstanding = checkpoint, self._thread.submit(os.fdatasync, self._fd)

    def finished(self) -> Iterator[Checkpoint]:
        """Yield the outstanding checkpoint if it is durable by now."""
        if self._outstanding is not None and self._outstanding[1].done():
            yield from self.waited()

    def waited(self) -> Iterator[Checkpoint]:
        """Yield the outstanding checkpoint, if there is one, as soon as it is durable."""
        if self._outstanding is not None:
            checkpoint, synced = self._outstanding
            self._outstanding = None
            synced.result()
            yield checkpoint


@contextmanager
def pipelined_sync(fd: int) -> Iterator[PipelinedSync]:
    """Sync `fd` in a pipeline; no fdatasync runs any more when the block is left."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="image-sync") as thread:
        yield PipelinedSync(fd, thread)
