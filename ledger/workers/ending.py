"""The end of threads that work on pools: a pool that hangs may hold its own for ever."""

import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

ENDS_S = 10.0
"""How long to wait for what is under way, before it is left to the next start."""

log = logging.getLogger(__name__)


def end_threads(executors: Iterable[ThreadPoolExecutor], *, cancel: bool = False) -> None:
    """Finish what these threads do; with `cancel`, nothing that they have not begun.

    Threads that a pool still holds after a while are left, and end with the process.
    """
    endings = [
        threading.Thread(target=partial(executor.shutdown, cancel_futures=cancel), daemon=True)
        for executor in executors
    ]
    for ending in endings:
        ending.start()
    until = time.monotonic() + ENDS_S
    for ending in endings:
        ending.join(max(0.0, until - time.monotonic()))
    if any(ending.is_alive() for ending in endings):
        log.warning("a pool does not answer: what it holds up is left to the next start")
