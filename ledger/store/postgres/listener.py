"""A thread that listens to a channel of a PostgreSQL database, and polls as well."""

import logging
import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress

import psycopg

from ledger.domain.errors.store import StoreFailed
from ledger.store.patience import OutageLog
from ledger.store.postgres.cursor import PgConnection

RECONNECT_S = 0.2
CLOSE_S = 5.0
"""How long `close` waits for a look that is under way."""

log = logging.getLogger(__name__)


class ChannelListener:
    """Looks at the start, at each notification, and after `poll_s` at the latest.

    So nothing is missed for longer than that, even if a notification is lost. A lost connection is
    replaced, however long that takes.
    """

    def __init__(
        self,
        connect: Callable[[], PgConnection],
        channel: str,
        look: Callable[[PgConnection], float],
        *,
        poll_s: float,
    ) -> None:
        """`look` is called in the listener's thread, with its connection in autocommit mode.

        It returns for how many seconds it need not be called again.
        """
        self._connect = connect
        self._channel = channel
        self._look = look
        self._poll_s = poll_s
        self._woken, self._wake = os.pipe()
        self._closing = threading.Event()
        self._outage = OutageLog(
            log, f"nothing is heard on channel {channel}", expected=(StoreFailed, psycopg.Error)
        )
        self._thread = threading.Thread(target=self._run, name=f"listening-{channel}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        os.write(self._wake, b"x")
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            os.close(self._wake)
            os.close(self._woken)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - it is logged, and tried again
                self._outage.failed(error)
            self._closing.wait(RECONNECT_S)

    def _listen(self) -> None:
        """Look until the connection is lost."""
        connection = self._connect()
        try:
            connection.execute(f"SET application_name = 'job-ledger, listening to {self._channel}'")
            connection.execute(f"LISTEN {self._channel}")
            while not self._closing.is_set():
                pause_s = self._look(connection)
                self._outage.works()
                self._closing.wait(pause_s)
                self._wait(connection)
        finally:
            with suppress(psycopg.Error):
                connection.close()

    def _wait(self, connection: PgConnection) -> None:
        """Wait for a notification, or until the next poll."""
        if not _take_notifications(connection):
            waiting = select.poll()  # select(2) knows no descriptors above 1023
            waiting.register(connection.raw.fileno(), select.POLLIN)
            waiting.register(self._woken, select.POLLIN)
            waiting.poll(self._poll_s * 1000)
            _take_notifications(connection)


def _take_notifications(connection: PgConnection) -> bool:
    """Take all notifications; return whether there were any."""
    return len(list(connection.raw.notifies(timeout=0))) > 0
