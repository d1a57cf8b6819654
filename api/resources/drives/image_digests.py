"""Digests of images that clients ask for.

Reading a whole image takes long, and an answer cannot wait for it. So the first request that wants
a digest begins to make it, mostly beside the download itself, and a later one finds it.
"""

import asyncio
import logging
import os
from asyncio import Task
from collections import defaultdict
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from io import FileIO
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

from api.resources.drives.open_image import OpenImage
from ledger.domain.errors.pools import PoolSilent
from ledger.domain.events.jobs import Fingerprint
from ledger.images.digests import digest_in_steps
from ledger.images.errors import NotRegular
from ledger.images.files import fingerprint_of
from ledger.images.regular_files import open_regular
from ledger.workers.transfer_threads import TransferThreads

WANTED_S = 60.0
"""How long a digest is worked on after its account wanted it last."""
WANTED_MAX = 64
"""Digests that are made for an account or wait; what more it wants is not given."""

log = logging.getLogger(__name__)


_Step = tuple[bool, bytes | None]


class _Wanted(NamedTuple):
    """A digest that an account wants: of the image with this tag."""

    account: str
    tag: str


class ImageDigests:
    """Makes digests, each for as long as it is wanted: of each account one after the other.

    Accounts take turns, step by step. What two of them want is made for the one that comes to it
    first.
    """

    def __init__(self, threads: TransferThreads) -> None:
        self._threads = threads
        self._tasks: dict[_Wanted, Task[bytes | None]] = {}
        self._wanted_until: dict[_Wanted, float] = {}
        self._making: dict[str, Task[bytes | None]] = {}
        """The task that makes a digest now, by its tag."""
        self._turns = defaultdict[str, asyncio.Lock](asyncio.Lock)
        """Of each pool: one that hangs must not hold up the others."""
        self._orders: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(
        self, image: OpenImage, account: str, pool: str, *, wait_s: float
    ) -> bytes | None:
        """Begin or continue to make the digest of an image; return it if it is there in time."""
        wanted = _Wanted(account, image.version.tag)
        task = self._tasks.get(wanted)
        if task is None:
            if sum(each.account == account for each in self._tasks) >= WANTED_MAX:
                return None
            task = self._tasks[wanted] = asyncio.create_task(
                self._make(wanted, pool, image.path, fingerprint_of(image.state))
            )
            task.add_done_callback(lambda _: self._forget(wanted))
        self.keep_wanted(account, wanted.tag)
        await asyncio.wait([task], timeout=wait_s)
        return task.result() if task.done() and not task.cancelled() else None

    def is_making(self, account: str, tag: str) -> bool:
        """Return whether the digest will be there some time, if it stays wanted."""
        return _Wanted(account, tag) in self._tasks

    def keep_wanted(self, account: str, tag: str) -> None:
        """Note that the account still waits for this digest, if it is being made."""
        wanted = _Wanted(account, tag)
        if wanted in self._tasks:
            self._wanted_until[wanted] = asyncio.get_running_loop().time() + WANTED_S

    async def close(self) -> None:
        """End what is under way."""
        for task in (tasks := [*self._tasks.values()]):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, wanted: _Wanted) -> None:
        self._tasks.pop(wanted, None)
        self._wanted_until.pop(wanted, None)

    async def _make(
        self, wanted: _Wanted, pool: str, path: Path, expected: Fingerprint
    ) -> bytes | None:
        order = self._orders.setdefault(wanted.account, asyncio.Lock())
        try:
            async with order:
                open_it = partial(_opened, path, expected)
                file = await self._threads.run(pool, open_it, undo=_close)
                if file is None:
                    return None
                with self._closing(pool, file):
                    return await self._made(wanted, pool, file)
        except (OSError, NotRegular, PoolSilent) as error:
            log.warning("no digest of %s: %s", path, error)
            return None

    @contextmanager
    def _closing(self, pool: str, file: FileIO) -> Iterator[None]:
        """Close the file, unless a pool that hangs has it still: then that is done afterwards."""
        try:
            yield
        except PoolSilent:
            raise
        except BaseException:
            self._threads.begin(pool, file.close)
            raise
        self._threads.begin(pool, file.close)

    async def _made(self, wanted: _Wanted, pool: str, file: FileIO) -> bytes | None:
        """Make the digest, unless it is just being made for another account."""
        while wanted.tag in self._making:
            other = self._making[wanted.tag]
            await asyncio.wait([other])
            if not other.cancelled() and other.result() is not None:
                return other.result()
        self._making[wanted.tag] = self._tasks[wanted]
        try:
            return await self._made_in_steps(wanted, pool, file)
        finally:
            del self._making[wanted.tag]

    async def _made_in_steps(self, wanted: _Wanted, pool: str, file: FileIO) -> bytes | None:
        steps, loop = digest_in_steps(file.fileno()), asyncio.get_running_loop()

        def take_step() -> _Step:
            return _step(steps)

        while loop.time() < self._wanted_until[wanted]:
            async with self._turns[pool]:
                over, digest = await _uncut(
                    self._threads.run(pool, take_step, undo=lambda _: file.close())
                )
            if over:
                return digest
        return None


def _opened(path: Path, expected: Fingerprint) -> FileIO | None:
    """Open the image, if it is the expected one still."""
    file = FileIO(open_regular(path, os.O_RDONLY))
    if fingerprint_of(os.fstat(file.fileno())) == expected:
        return file
    file.close()
    return None


def _close(file: FileIO | None) -> None:
    if file is not None:
        file.close()


async def _uncut(step: Coroutine[None, None, _Step]) -> _Step:
    """Wait for a step to its end, even if cancelled."""
    task = asyncio.create_task(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _step(steps: Generator[None, None, bytes | None]) -> _Step:
    """Take one step; return whether it was the last, and the digest."""
    try:
        next(steps)
    except StopIteration as end:
        return True, end.value
    return False, None
