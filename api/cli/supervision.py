"""Telling systemd, or another service manager, that a process is ready and alive.

The protocol is that of sd_notify(3): a datagram to the socket that the environment names, if any. A
process that hangs stops sending signs of life, so that it is restarted.
"""

import logging
import mmap
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Protocol

from api.background.loop import repeat
from ledger.application import Ledger

HANG_S = 90.0
"""How long the writer may be busy with one thing; no lock or request waits that long."""
READY_PAUSE_S = 0.1

DOUBLE_BYTES = 8

log = logging.getLogger(__name__)


class Supervisor(Protocol):
    """Receives the signs."""

    pause_s: float | None
    """How often it expects a sign of life; None: never."""

    def ready(self, status: str) -> None:
        """Tell that requests are answered, or that work is done, from now on."""

    def alive(self) -> None: ...

    def stopping(self) -> None: ...


class ServiceManager:
    """The one that the environment names, if any."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        microseconds = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wanted = self._address and ours and microseconds.isdecimal() and int(microseconds) > 0
        self.pause_s = int(microseconds) / 1e6 / 2 if wanted else None

    def ready(self, status: str) -> None:
        self._tell(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, text: str) -> None:
        """Send a datagram without waiting: a manager that reads none must not stop the service."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)  # noqa: FBT003 - the socket's own
                sender.sendto(text.encode(), self._address)
        except OSError as error:
            log.warning(
                "the service manager could not be told %s: %s", text.partition("\n")[0], error
            )


class Pulses:
    """The last signs of life of several processes, in memory that they share."""

    def __init__(self, processes: int, pause_s: float | None) -> None:
        self.pause_s = pause_s
        self._beats = memoryview(mmap.mmap(-1, processes * DOUBLE_BYTES)).cast("d")

    def of(self, number: int) -> "_Pulse":
        """Return the supervisor of one of them."""
        return _Pulse(self, number)

    def beat(self, number: int) -> None:
        self._beats[number] = time.monotonic()

    def have_begun(self) -> bool:
        """Return whether each process has given a sign of life."""
        return min(self._beats) > 0

    def are_alive(self) -> bool:
        """Return whether signs of life are expected, and each process has given one lately."""
        return self.pause_s is not None and time.monotonic() - min(self._beats) < 2 * self.pause_s

    def pass_on(self, manager: ServiceManager, status: str, end: threading.Event) -> None:
        """Tell the manager what holds for all of them, until `end` is set."""
        while not self.have_begun():
            if end.wait(READY_PAUSE_S):
                return
        manager.ready(status)
        while self.pause_s is not None and not end.wait(self.pause_s):
            if self.are_alive():
                manager.alive()


class _Pulse:
    def __init__(self, pulses: Pulses, number: int) -> None:
        self._pulses = pulses
        self._number = number
        self.pause_s = pulses.pause_s

    def ready(self, status: str) -> None:
        self.alive()

    def alive(self) -> None:
        self._pulses.beat(self._number)

    def stopping(self) -> None:
        """Say nothing: the parent knows."""


@asynccontextmanager
async def supervised(supervisor: Supervisor, ledger: Ledger, status: str) -> AsyncIterator[None]:
    """Report that the process is ready, and then that it is alive, until the block is left.

    The event loop does so, and only while the ledger's writer makes progress.
    """

    async def tell_if_alive() -> None:
        stuck_s = ledger.stuck_s
        if stuck_s < HANG_S:
            supervisor.alive()
        else:
            log.critical("the ledger's writer has been busy with one thing for %.0f s", stuck_s)

    supervisor.ready(status)
    pause_s = supervisor.pause_s
    signs = repeat(tell_if_alive, pause_s, failure="no sign of life") if pause_s else nullcontext()
    try:
        async with signs:
            yield
    finally:
        supervisor.stopping()
