"""Searches for a part of a name, which read every name of the account: for threads only.

They read them from the index of names, which has all that finds and orders what matches. Rows,
which are many times as long, are read for the page that is shown.
"""

from typing import NamedTuple

from projections.views.filters import Conditions, check_sql
from projections.views.reader import Reader, sql_limit


class Found(NamedTuple):
    """How many match, and a page of them."""

    total: int
    uuids: list[str]


def is_search(conditions: Conditions) -> bool:
    return any(condition.lookup == "name_contains" for condition in conditions)


def matches_sql(
    kind: str, owner: str, conditions: Conditions, generation: int
) -> tuple[str, list[str]]:
    """Return the WITH clause that makes `matches` of (created, uuid), and its parameters.

    `MATERIALIZED` keeps the order that is asked for out of the search: the index in that order has
    no names, so all rows would be read.
    """
    checks = "".join(f" AND {check_sql(condition, generation)}" for condition in conditions)
    sql = (
        f"WITH matches AS MATERIALIZED (SELECT created, uuid FROM {kind}_g{generation} AS this"
        f" WHERE owner = ?{checks})"
    )
    return sql, [owner, *(text for condition in conditions for text in condition.alternatives)]


class Searches(Reader):
    def search(
        self, kind: str, owner: str, conditions: Conditions, *, limit: int, offset: int = 0
    ) -> Found:
        """Return a page of an account's drives, servers or tags, oldest first.

        A negative limit is no limit.
        """
        matches, parameters = matches_sql(kind, owner, conditions, self._g)
        rows = self._all(
            f"{matches} SELECT (SELECT count(*) FROM matches), page.uuid"
            " FROM (SELECT 1) AS always LEFT JOIN"
            " (SELECT created, uuid FROM matches ORDER BY created, uuid LIMIT ? OFFSET ?) AS page"
            " ON true ORDER BY page.created, page.uuid",
            (*parameters, sql_limit(limit), offset),
        )
        return Found(rows[0][0], [uuid for _, uuid in rows if uuid is not None])
