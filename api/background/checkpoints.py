"""Keeping checkpoints: at the start, then every minute, or sooner after many events."""

import asyncio
import logging
import math
import time
from contextlib import AbstractAsyncContextManager

from api.background.loop import repeat
from ledger.application import Ledger
from ledger.proofs.checkpoints import Checkpoints
from ledger.proofs.tile_builder import TilingStopped

PAUSE_S = 60.0
MANY_EVENTS = 1_000
"""This many events end the pause early."""
LOOK_S = 1.0

log = logging.getLogger(__name__)


def keep_checkpoints(ledger: Ledger, checkpoints: Checkpoints) -> AbstractAsyncContextManager[None]:
    """Keep checkpoints of a growing ledger; leaving waits for the last one."""
    return repeat(
        _Keeper(ledger, checkpoints).keep_if_due,
        LOOK_S,
        failure="no checkpoint could be made",
        stop=checkpoints.stop,
    )


class _Keeper:
    def __init__(self, ledger: Ledger, checkpoints: Checkpoints) -> None:
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._position = 0
        self._due = -math.inf

    async def keep_if_due(self) -> None:
        many = self._ledger.position >= self._position + MANY_EVENTS
        if time.monotonic() < self._due and not many:
            return
        self._position = self._ledger.position
        try:
            await asyncio.to_thread(self._checkpoints.keep)
        except TilingStopped:
            log.info("the next start continues with the tiles")
        finally:
            self._due = time.monotonic() + PAUSE_S
