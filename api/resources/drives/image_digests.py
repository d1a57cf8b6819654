"""Digests of images that clients ask for.

Reading a whole image takes long, and an answer cannot wait for it. So the first request that wants
a digest begins to make it, mostly beside the download itself, and a later one finds it.
"""

import asyncio
import logging
import os
from asyncio import Task
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

from api.resources.drives.open_image import OpenImage
from ledger.domain.events.jobs import Fingerprint
from ledger.images.digests import digest_in_steps
from ledger.images.errors import NotRegular
from ledger.images.files import fingerprint_of
from ledger.images.regular_files import regular_file

WANTED_S = 60.0
"""How long a digest is worked on after its account wanted it last."""
WANTED_MAX = 64
"""Digests that are made for an account or wait; what more it wants is not given."""

log = logging.getLogger(__name__)


class _Wanted(NamedTuple):
    """A digest that an account wants: of the image with this tag."""

    account: str
    tag: str


class ImageDigests:
    """Makes digests, each for as long as it is wanted: of each account one after the other.

    Accounts take turns, step by step. What two of them want is made for the one that comes to it
    first.
    """

    def __init__(self) -> None:
        self._tasks: dict[_Wanted, Task[bytes | None]] = {}
        self._wanted_until: dict[_Wanted, float] = {}
        self._making: dict[str, Task[bytes | None]] = {}
        """The task that makes a digest now, by its tag."""
        self._turn = asyncio.Lock()
        self._orders: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, image: OpenImage, account: str, *, wait_s: float) -> bytes | None:
        """Begin or continue to make the digest of an image; return it if it is there in time."""
        wanted = _Wanted(account, image.version.tag)
        task = self._tasks.get(wanted)
        if task is None:
            if sum(each.account == account for each in self._tasks) >= WANTED_MAX:
                return None
            task = self._tasks[wanted] = asyncio.create_task(
                self._make(wanted, image.path, fingerprint_of(image.state))
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

    async def _make(self, wanted: _Wanted, path: Path, expected: Fingerprint) -> bytes | None:
        order = self._orders.setdefault(wanted.account, asyncio.Lock())
        try:
            async with order:
                with regular_file(path, os.O_RDONLY) as fd:
                    if fingerprint_of(os.fstat(fd)) != expected:
                        return None
                    return await self._made(wanted, fd)
        except (OSError, NotRegular) as error:
            log.warning("no digest of %s: %s", path, error)
            return None

    async def _made(self, wanted: _Wanted, fd: int) -> bytes | None:
        """Make the digest, unless it is just being made for another account."""
        while wanted.tag in self._making:
            other = self._making[wanted.tag]
            await asyncio.wait([other])
            if not other.cancelled() and other.result() is not None:
                return other.result()
        self._making[wanted.tag] = self._tasks[wanted]
        try:
            return await self._made_in_steps(wanted, fd)
        finally:
            del self._making[wanted.tag]

    async def _made_in_steps(self, wanted: _Wanted, fd: int) -> bytes | None:
        steps, loop = digest_in_steps(fd), asyncio.get_running_loop()
        while loop.time() < self._wanted_until[wanted]:
            async with self._turn:
                over, digest = await _in_thread(steps)
            if over:
                return digest
        return None


async def _in_thread(steps: Generator[None, None, bytes | None]) -> tuple[bool, bytes | None]:
    """Take one step; return whether it was the last, and the digest. Not cut off in the middle."""
    step = asyncio.create_task(asyncio.to_thread(_step, steps))
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        await asyncio.wait([step])
        raise


def _step(steps: Generator[None, None, bytes | None]) -> tuple[bool, bytes | None]:
    try:
        next(steps)
    except StopIteration as end:
        return True, end.value
    return False, None
