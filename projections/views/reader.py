"""What all reads share: one transaction, one generation, one cursor."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from ledger.store.log import Connection
from ledger.store.parameters import among, marks
from ledger.store.seam import Cursor
from projections.tables import select
from projections.views.filters import Conditions, condition_sql
from projections.views.generations import live_generation
from projections.views.read_models import JobReference

STREAM_ROWS = 200
"""Rows that are read at a time when a whole list is asked for."""
NO_LIMIT = 2**62


class Named(Protocol):
    """Anything with a uuid."""

    @property
    def uuid(self) -> str: ...


N = TypeVar("N", bound=Named)


class Reader:
    """Reads rows of the generation that is live when its transaction begins."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._g = live_generation(self._cursor)

    @property
    def cursor(self) -> Cursor:
        """The cursor, to read the events as of the same moment."""
        return self._cursor

    def _where(self, owner: str, conditions: Conditions) -> tuple[str, list[str]]:
        """Return the SQL for an account's rows that meet all these conditions."""
        clauses, parameters = ["owner = ?"], [owner]
        for condition in conditions:
            clauses.append(condition_sql(condition, self._g))
            parameters += condition.alternatives
        return " AND ".join(clauses), parameters

    def _owned(self, table: str, uuids: Sequence[str], owner: str) -> list[Any]:
        """Return those of these rows that belong to this account."""
        # The `||` makes this go by the uuids, and not by all that the account has.
        return self._all(
            f"{select(table, self._g)} WHERE uuid IN ({marks(uuids)}) AND owner || '' = ?",
            (*uuids, owner),
        )

    def _existing(self, table: str, uuids: Sequence[str]) -> set[str]:
        """Return those of these uuids that are in the table."""
        rows = self._among(f"SELECT uuid FROM {table}_g{self._g} WHERE uuid IN (...)", uuids)
        return {uuid for (uuid,) in rows}

    def _tags_of(self, uuids: list[str]) -> Iterator[tuple[str, str]]:
        """Yield the tags that these drives or servers bear."""
        yield from self._among(
            f"SELECT resource, tag FROM tag_resources_g{self._g} WHERE resource IN (...)"
            " ORDER BY tag",
            uuids,
        )

    def _references(self, uuids: list[str]) -> Iterator[tuple[str, JobReference]]:
        for resource, job, role, running, operation in self._among(
            f"SELECT resource, job, role, running, operation FROM job_resources_g{self._g}"
            " WHERE resource IN (...) ORDER BY created, job",
            uuids,
        ):
            yield resource, JobReference(job, role, bool(running), operation)

    def _among(self, sql: str, uuids: Sequence[str]) -> list[Any]:
        return list(among(self._cursor, sql, uuids))

    def _all(self, sql: str, parameters: Sequence[str | int] = ()) -> list[Any]:
        self._cursor.execute(sql, parameters)
        return self._cursor.fetchall()

    def _count(self, of: str, parameters: Sequence[str | int]) -> int:
        return int(self._cursor.execute(f"SELECT count(*) FROM {of}", parameters).fetchone()[0])


def in_order(found: Iterable[N], uuids: Sequence[str]) -> list[N]:
    """Return what was found in the order of these uuids."""
    by_uuid = {each.uuid: each for each in found}
    return [by_uuid[uuid] for uuid in uuids if uuid in by_uuid]


def sql_limit(limit: int) -> int:
    """Return the limit for SQL; a negative one means no limit."""
    return limit if limit >= 0 else NO_LIMIT
