"""A thread that listens to a channel of a PostgreSQL database, with a poll behind it."""

import logging
import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress

import psycopg

from ledger.domain.errors import StoreFailed
from ledger.store.postgres.cursor import PgConnection

RECONNECT_S = 0.2
PATIENCE_S = 5.0
"""How long whoever closes it waits for a look that is under way."""

log = logging.getLogger(__name__)


class Listening:
    """Looks at the start, whenever the channel is notified, and after `poll_s` anyway.

    So nothing is missed for longer than that, whatever became of a notification. A lost connection
    is made anew, for as long as it takes.
    """

    def __init__(
        self,
        connect: Callable[[], PgConnection],
        channel: str,
        look: Callable[[PgConnection], float],
        *,
        poll_s: float,
    ) -> None:
        """`look` is called in the thread of this, over its connection in autocommit mode.

        It returns for how many seconds it need not be called again, whatever comes.
        """
        self._connect = connect
        self._channel = channel
        self._look = look
        self._poll_s = poll_s
        self._woken, self._wake = os.pipe()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"listening-{channel}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """There are no more looks from now on."""
        self._closing.set()
        os.write(self._wake, b"x")
        self._thread.join(PATIENCE_S)
        if not self._thread.is_alive():
            os.close(self._wake)
            os.close(self._woken)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen()
            except (psycopg.Error, StoreFailed) as error:
                log.warning("the channel %s is listened to anew: %s", self._channel, error)
            except Exception:
                log.exception("the channel %s is listened to anew", self._channel)
            self._closing.wait(RECONNECT_S)

    def _listen(self) -> None:
        """Until the connection is lost."""
        connection = self._connect()
        try:
            connection.execute(f"SET application_name = 'job-ledger, listening to {self._channel}'")
            connection.execute(f"LISTEN {self._channel}")
            while not self._closing.is_set():
                self._closing.wait(self._look(connection))
                self._wait(connection)
        finally:
            with suppress(psycopg.Error):
                connection.close()

    def _wait(self, connection: PgConnection) -> None:
        """For a notification, whatever is in it, but no longer than until the next poll."""
        if not _notified(connection):
            waiting = select.poll()  # select(2) knows no descriptors above 1023
            waiting.register(connection.raw.fileno(), select.POLLIN)
            waiting.register(self._woken, select.POLLIN)
            waiting.poll(self._poll_s * 1000)
            _notified(connection)


def _notified(connection: PgConnection) -> bool:
    """Whether there were notifications; they are taken."""
    return len(list(connection.raw.notifies(timeout=0))) > 0
