"""The signals of processes that run until they are stopped, and their end if the store fails."""

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
ANSWERING_S = 0.2

log = logging.getLogger(__name__)


def stop_event() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def show_stacks_on_signal() -> None:
    """Make SIGUSR1 write the stacks of all threads to standard error, also in forks."""
    signal.signal(signal.SIGUSR1, _write_stacks)


def _write_stacks(number: int, frame: FrameType | None) -> None:
    """Write the stacks from Python: `faulthandler` crashes if frames change while it reads them.

    This runs in the main thread, between two steps of Python; it does not interrupt a hang in C.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stacks = [
        f"Thread {names.get(ident, ident)} (most recent call last):\n"
        + "".join(traceback.format_stack(current))
        for ident, current in sys._current_frames().items()  # noqa: SLF001 - the only way
    ]
    os.write(sys.stderr.fileno(), "\n".join(stacks).encode())


def end_without_threads() -> None:
    """End the process now if threads are left, which only a pool that hangs can hold.

    At its usual end Python would wait for them.
    """
    left = [
        thread.name
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread()
    ]
    if not left:
        return
    log.warning("the process ends, though a pool still holds %s", ", ".join(sorted(left)))
    sys.stdout.flush()
    logging.shutdown()
    os._exit(0)


async def end_with_store(failed: asyncio.Event) -> NoReturn:
    """End the process without cleaning up: nothing that it writes can be trusted any more.

    Requests that have failed with the store are answered first: what they say is known by now.
    """
    await failed.wait()
    await asyncio.sleep(ANSWERING_S)
    log.critical("the store failed; the process ends, the next start recovers")
    sys.stdout.flush()
    logging.shutdown()
    os._exit(STORE_FAILED)
