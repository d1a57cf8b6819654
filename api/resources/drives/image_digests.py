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

from api.resources.drives.open_image import OpenImage
from ledger.domain.events import Fingerprint
from ledger.images.digests import digest_in_steps
from ledger.images.errors import NotRegular
from ledger.images.files import fingerprint_of
from ledger.images.regular_files import regular_file

WANTED_S = 60.0
"""How long a digest is worked on after anybody wanted it last."""
WANTED_MAX = 64
"""Digests that are made or wait; what more is wanted is not given."""

log = logging.getLogger(__name__)


class ImageDigests:
    """Makes digests, one at a time, each for as long as it is wanted."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task[bytes | None]] = {}
        self._wanted_until: dict[str, float] = {}
        self._turn = asyncio.Lock()

    async def find(self, image: OpenImage, *, wait_s: float) -> bytes | None:
        """Begin to make the digest of an image, or go on; return it if it is there in time."""
        tag = image.version.tag
        task = self._tasks.get(tag)
        if task is None:
            if len(self._tasks) >= WANTED_MAX:
                return None
            task = self._tasks[tag] = asyncio.create_task(
                self._make(tag, image.path, fingerprint_of(image.state))
            )
            task.add_done_callback(lambda _: self._forget(tag))
        self.keep_wanted(tag)
        await asyncio.wait([task], timeout=wait_s)
        return task.result() if task.done() and not task.cancelled() else None

    def is_making(self, tag: str) -> bool:
        """Return whether the digest will be there some time, if it stays wanted."""
        return tag in self._tasks

    def keep_wanted(self, tag: str) -> None:
        """Note that a client still waits for this digest, if it is being made."""
        if tag in self._tasks:
            self._wanted_until[tag] = asyncio.get_running_loop().time() + WANTED_S

    async def close(self) -> None:
        """End what is under way."""
        for task in (tasks := [*self._tasks.values()]):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, tag: str) -> None:
        self._tasks.pop(tag, None)
        self._wanted_until.pop(tag, None)

    async def _make(self, tag: str, path: Path, expected: Fingerprint) -> bytes | None:
        try:
            async with self._turn:
                with regular_file(path, os.O_RDONLY) as fd:
                    if fingerprint_of(os.fstat(fd)) != expected:
                        return None
                    return await self._made(tag, digest_in_steps(fd))
        except (OSError, NotRegular) as error:
            log.warning("no digest of %s: %s", path, error)
            return None

    async def _made(self, tag: str, steps: Generator[None, None, bytes | None]) -> bytes | None:
        loop = asyncio.get_running_loop()
        while loop.time() < self._wanted_until[tag]:
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
