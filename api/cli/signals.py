"""The signals of processes that run until they are stopped, and how these end."""

import asyncio
import logging
import os
import signal
import sys
import threading
import traceback
from types import FrameType
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
    signal.signal(signal.SIGUSR1, _write_stacks)


def _write_stacks(number: int, frame: FrameType | None) -> None:
    """Write them as Python sees them: `faulthandler` reads frames that change meanwhile, and dies.

    It runs in the main thread, between two steps of Python; one that hangs in C is not interrupted.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stacks = [
        f"Thread {names.get(ident, ident)} (most recent call last):\n"
        + "".join(traceback.format_stack(current))
        for ident, current in sys._current_frames().items()  # noqa: SLF001 - the only way
    ]
    os.write(sys.stderr.fileno(), "\n".join(stacks).encode())


async def end_with_store(failed: asyncio.Event) -> NoReturn:
    """Ends the process without any cleaning up: nothing it would write can be relied on."""
    await failed.wait()
    log.critical("the store failed; the process ends, the next start recovers")
    sys.stdout.flush()
    logging.shutdown()
    os._exit(STORE_FAILED)
