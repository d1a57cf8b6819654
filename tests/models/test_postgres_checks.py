"""PostgreSQL checks as the models assume: what a statement sees that has waited."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from tests.support.wait import wait_for

TABLES = """
CREATE TABLE head (position int); INSERT INTO head VALUES (1);
CREATE TABLE spent (id text);
CREATE TABLE leases (job text, due int, lost bool); INSERT INTO leases VALUES ('one', 5, false)
"""
IS_SPENT = "SELECT EXISTS (SELECT FROM spent WHERE id = 'one')"
TAKE_HEAD = "UPDATE head SET position = position + 1"
RENEW = "UPDATE leases SET due = 50 WHERE job = 'one' RETURNING lost"
LOSE = "UPDATE leases SET lost = true WHERE job = 'one' AND NOT lost AND due <= 10 RETURNING job"


class Two:
    """Two transactions; the second waits for the first."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.first, self.second, self._watcher = (
            stack.enter_context(psycopg.connect(url, autocommit=True)) for _ in range(3)
        )
        self._thread = stack.enter_context(ThreadPoolExecutor(1))
        self.first.execute(TABLES)
        self.first.execute("BEGIN")
        self.second.execute("BEGIN")

    def second_waits_with(self, statement: str) -> Future[list[Any]]:
        found = self._thread.submit(lambda: self.second.execute(statement).fetchall())
        pid = self.second.info.backend_pid
        blockers = f"SELECT cardinality(pg_blocking_pids({pid})) > 0"
        wait_for("the second to wait", lambda: self._watcher.execute(blockers).fetchone()[0])
        return found


@pytest.fixture
def two(database: str) -> Iterator[Two]:
    with ExitStack() as stack:
        yield Two(database, stack)


def test_a_renewed_row_is_not_lost_by_a_statement_that_waited(two: Two) -> None:
    two.first.execute(RENEW)
    lost = two.second_waits_with(LOSE)
    two.first.execute("COMMIT")
    assert lost.result() == []


def test_a_renewal_that_waited_says_that_the_row_is_lost(two: Two) -> None:
    two.first.execute(LOSE)
    renewed = two.second_waits_with(RENEW)
    two.first.execute("COMMIT")
    assert renewed.result() == [(True,)]


def test_what_is_not_there_is_asked_after_the_head_is_taken(two: Two) -> None:
    """The statement that waits for the head does not see what it waited for; the next one does."""
    two.first.execute(TAKE_HEAD)
    two.first.execute("INSERT INTO spent VALUES ('one')")
    asked = two.second_waits_with(f"WITH head AS ({TAKE_HEAD} RETURNING 1) {IS_SPENT} FROM head")
    two.first.execute("COMMIT")
    assert asked.result() == [(False,)]
    assert two.second.execute(IS_SPENT).fetchall() == [(True,)]
