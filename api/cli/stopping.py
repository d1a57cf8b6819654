"""The signals of processes that run until they are stopped, and how these end."""

import asyncio
import faulthandler
import logging
import os
import signal
import sys
from typing import NoReturn

STORE_FAILED = 70
"""The exit code after a failure of the store (EX_SOFTWARE)."""

log = logging.getLogger(__name__)


def asked_to_stop() -> asyncio.Event:
    """Set by SIGTERM and SIGINT, from now on."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def show_stacks_when_asked() -> None:
    """Let SIGUSR1 write the stacks of all threads to standard error, from now on, also in forks."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)


async def end_with_store(failed: asyncio.Event) -> NoReturn:
    """Ends the process without any cleaning up: nothing it would write can be relied on."""
    await failed.wait()
    log.critical("the store failed; the process ends, the next start recovers")
    sys.stdout.flush()
    logging.shutdown()
    os._exit(STORE_FAILED)
