"""A pool as this process knows it, without touching it."""

import math
import time
from collections.abc import Callable, Sequence

from ledger.domain.context import PoolSpace
from ledger.images.errors import ImageError
from ledger.images.extents import data_bytes
from ledger.images.pool_thread import PASSED_OVER_S, Owed, PoolThread
from ledger.images.pools import Pool

SPACE_S = 1.0
FILES_FEW = 10_000
"""How many drives may be made before the next measurement, and many more."""


class WatchedPool:
    """Any thread may call its methods. None blocks."""

    def __init__(self, pool: Pool, elapsed_s: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._elapsed_s = elapsed_s
        self._thread = PoolThread(pool.name, elapsed_s)
        self._measured_at = -math.inf
        self._space = PoolSpace(pool.name, pool.storage_type, 0, silent=True)
        self._renewal: Owed | None = None

    @property
    def space(self) -> PoolSpace:
        """The pool as it was last measured; silent before that, and while it does not answer."""
        silent = self._thread.silent_s > PASSED_OVER_S or self._measured_at == -math.inf
        return self._space._replace(silent=silent)

    @property
    def hangs(self) -> bool:
        return self._thread.hangs

    @property
    def is_old(self) -> bool:
        """Whether the measurement is: nothing is refused because a pool *was* full.

        Nor are a few files given away twice.
        """
        space = self._space
        old = self._elapsed_s() - self._measured_at > SPACE_S
        return old or space.full or space.free_files < FILES_FEW

    def renew(self, *, needed: bool = False) -> Owed:
        """Begin to measure the pool, or share a measurement that has not begun."""
        renewal = self._renewal
        if needed or renewal is None or renewal.has_begun:
            renewal = self._thread.ask(self._measure, needed=needed)
            self._renewal = None if needed else renewal
        return renewal

    def measure(
        self, drives: Sequence[str], found: dict[str, int | None], *, needed: bool = True
    ) -> Owed:
        """Begin to find how much data the drives' images have: None if one cannot be read."""

        def measure() -> None:
            for drive in drives:
                try:
                    found[drive] = data_bytes(self._pool.image(drive))
                except (ImageError, OSError):
                    found[drive] = None

        return self._thread.ask(measure, needed=needed)

    def close(self) -> None:
        self._thread.close()

    def _measure(self) -> None:
        self._space = _space_of(self._pool)
        self._measured_at = self._elapsed_s()


def _space_of(pool: Pool) -> PoolSpace:
    """Measure a pool; one that cannot be read has 0 bytes free, so that placement picks it last."""
    try:
        room = pool.room()
    except OSError:
        return PoolSpace(pool.name, pool.storage_type, free_bytes=0)
    return PoolSpace(
        *(pool.name, pool.storage_type, room.free_bytes),
        full=room.is_full,
        free_files=room.free_files,
    )
