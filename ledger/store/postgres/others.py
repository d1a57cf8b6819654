"""The other processes that use a ledger in PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import LiteralString

import psycopg

from ledger.domain.errors.store import StoreUnreachable
from ledger.domain.stamps import moment_of
from ledger.store.errors import store_errors
from ledger.store.lease import Lease
from ledger.store.postgres import locks as pg_locks
from ledger.store.postgres import session as pg_session
from ledger.store.postgres.commit_tail import CommitTail
from ledger.store.postgres.connections import connect, transaction
from ledger.store.postgres.cursor import PgConnection
from ledger.store.postgres.server_clock import CLOCK, ServerClock
from ledger.store.postgres.session import WritingSession
from ledger.store.seam import Answer, Cursor, News, SharedCommitFeed

NEWS_MAX = 10_000
"""Beyond this many events of others, forgetting everything is faster than reading them."""

_TIME = f"SELECT {CLOCK}, latest FROM leaf_count"  # noqa: S608 - constants


def _news_query(live: LiteralString) -> str:
    """Return the statement that asks for all that may be new; `live` as in `Projection`."""
    return f"""
WITH asked (clock, latest) AS MATERIALIZED ({_TIME}), news AS (
    SELECT position, originator_id, topic FROM stored_events
    WHERE position > ? AND NOT (position > ? AND position <= ?) ORDER BY position LIMIT ?
)
SELECT clock, latest, ({live}), position, originator_id, topic
FROM asked LEFT JOIN news ON true ORDER BY position
"""  # noqa: S608 - constants


class PgOthers:
    """The `ledger.store.seam.Others` of a store, over its writing session."""

    def __init__(
        self,
        url: str,
        session: WritingSession,
        read: Callable[[Callable[[Cursor], tuple[int, int]]], tuple[int, int]],
        clock: ServerClock,
        live: LiteralString,
    ) -> None:
        """`read` reads in any thread, and `live` is as in `Projection`. Asks for the time."""
        self._url = url
        self._read = read
        self.clock = clock
        self.offset = clock.offset
        self.clock_parameter = clock.parameter
        self._session = session
        self._opened = session.position
        self._seen = session.position
        """Up to here, all events of others have been returned as news."""
        self._own = (0, 0)
        """The positions of the last batch: after the first, up to the second."""
        self._pausing: PgConnection | None = None
        self._news_query = _news_query(live)
        self._live: int | None = None
        """Which rows were live when others' events were asked for last."""
        self.ask()

    @property
    def away(self) -> bool:
        return self._session.away

    def stop_waiting(self) -> None:
        self._session.stop_waiting()

    def news(self) -> Answer:
        """Ask by one statement, which mostly finds no news."""
        return self._session.repeat(self._news)

    def ask(self) -> datetime:
        asked_s = self.clock.begin()
        clock, latest = self._read(_time)
        self.clock.note(clock, asked_s)
        return moment_of(latest)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Lose the pause with the connection: what was to be done in it then fails.

        Appending processes queue up behind this lock, so it does not wait long for a node that was
        suspended during a batch.
        """
        connection = self._session.connection
        with store_errors(), transaction(connection) as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', ?, true), pg_advisory_lock(?)",
                (f"{pg_session.TRANSACTION_S}s", pg_locks.APPENDING),
            )
        self._pausing = connection
        try:
            yield
        finally:
            self._pausing = None
            with suppress(psycopg.OperationalError):
                self._session.connection.execute(
                    "SELECT pg_advisory_unlock(?)", (pg_locks.APPENDING,)
                )

    def lease(self, name: str) -> Lease:
        return pg_locks.PgLease(lambda: connect(self._url), name)

    def commit_tail(self) -> SharedCommitFeed:
        return CommitTail(lambda: connect(self._url), self._opened)

    def check_pause(self) -> None:
        """Raise `StoreUnreachable` if a pause was lost with its connection."""
        if self.pause_is_lost():
            raise StoreUnreachable("others may have appended meanwhile")

    def pause_is_lost(self) -> bool:
        """Return whether a pause was lost with its connection: others may have appended since."""
        return self._pausing not in (None, self._session.connection)

    def note_own(self, position: int, events: int) -> None:
        """Note our own events, which are not news; others' events may lie before them."""
        if position - events == self._seen:
            self._seen = position
        self._own = position - events, position

    def _news(self) -> Answer:
        connection = self._session.connection
        asked_s = self.clock.begin()
        asked = (self._seen, *self._own, NEWS_MAX + 1)
        rows = connection.execute(self._news_query, asked).fetchall()
        clock, latest, live, *_ = rows[0]
        self.clock.note(clock, asked_s)
        news = [News(*found) for _, _, _, *found in rows if found[0] is not None]
        is_rebuilt, self._live = self._live not in (None, live), live
        if len(news) > NEWS_MAX or is_rebuilt:
            self._seen = connection.execute("SELECT position FROM leaf_count").fetchone()[0]
            return Answer(moment_of(latest), None)
        if news:
            self._seen = max(news[-1].position, self._own[1])
        return Answer(moment_of(latest), news)


def _time(cursor: Cursor) -> tuple[int, int]:
    """Return the server's clock and the newest stamp."""
    cursor.execute(_TIME)
    clock, latest = cursor.fetchone()
    return clock, latest
