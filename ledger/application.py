"""The ledger's front door: commands in, committed events out."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TypeVar

from ledger.aggregate import Aggregate, fold
from ledger.codec import decode
from ledger.commands import Command
from ledger.errors import StoreFailed
from ledger.store.seam import Cursor, Log, Projection, Store
from ledger.store.writer import Caller, Listener, Writer
from ledger.world import Circumstances

T = TypeVar("T")


class Ledger:
    """The only door for writers. Thread-safe; what it returns from is durable."""

    def __init__(
        self,
        store: Store,
        projection: Projection,
        circumstances: Circumstances,
        *,
        now: Callable[[], datetime],
        on_failure: Callable[[StoreFailed], None],
    ) -> None:
        self._store = store
        self.maintenance = threading.Lock()
        """Held by what must not run beside its like: a rebuild, a compaction, a restore."""
        self._writer = Writer(store, projection, circumstances, now=now, on_failure=on_failure)

    async def execute(self, command: Command, by: Caller) -> int:
        """Records what comes of the command; returns the ledger's position once it is on disk.

        Raises the command's `Refusal` and then nothing was recorded, or `StoreFailed`.
        """
        return await self._writer.execute(command, by)

    def execute_blocking(self, command: Command, by: Caller) -> int:
        """`execute`, for worker threads."""
        return self._writer.execute_blocking(command, by)

    def listen(self, listener: Listener) -> None:
        """Tells `listener` of every commit, in order and in the writer's thread."""
        self._writer.listen(listener)

    def exclusive(
        self, work: Callable[[Cursor], T], *, afterwards: Callable[[], None] | None = None
    ) -> "Future[T]":
        """Runs `work` in a writing transaction of its own, between two batches of commands.

        `afterwards` is called when it is committed, before anything else is.
        """
        return self._writer.exclusive(work, afterwards)

    @property
    def commits(self) -> int:
        """How often this process has committed; raised before anybody is told of a commit."""
        return self._writer.commits

    @property
    def position(self) -> int:
        """The position of the newest event that this process has committed, or found at its start.

        Raised before anybody is told of a commit.
        """
        return self._writer.position

    def forget(self) -> None:
        """Makes the writer read its state anew. In the writer's thread only."""
        self._writer.forget()

    def busy(self) -> bool:
        """Whether commands wait. Exclusive work that can be cut short looks here."""
        return self._writer.busy()

    def current(self, stream: str) -> Aggregate | None:
        """The aggregate of a stream as of the last commit, folded from its events; any thread."""
        with self.now() as current:
            return current(stream)

    @contextmanager
    def now(self) -> Iterator[Callable[[str], Aggregate | None]]:
        """`current` of many streams, all as of the same moment."""
        with self._store.log() as log:
            yield lambda stream: fold(
                stream, (decode(topic, stored) for _, topic, stored in log.stream(stream))
            )

    def log(self) -> AbstractContextManager[Log]:
        """The events as of now, to read from in any thread."""
        return self._store.log()

    def close(self) -> None:
        """Finishes the commands that wait, then closes the store."""
        self._writer.stop()
        self._store.close()
