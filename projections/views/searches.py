"""Searches for a part of a name, and lists in an order of the client's: for threads only.

Both read every name of the account, from the index of names, which has all that finds and orders
what matches. Rows, which are many times as long, are read for the page that is shown.
"""

from collections.abc import Sequence
from typing import NamedTuple

from projections.views.filters import Conditions, Order, check_sql
from projections.views.reader import Reader, sql_limit


class Found(NamedTuple):
    """How many match, and a page of them."""

    total: int
    uuids: list[str]


def is_search(conditions: Conditions) -> bool:
    return any(condition.lookup == "name_contains" for condition in conditions)


def matches_sql(
    kind: str, owner: str, conditions: Conditions, generation: int, order: Sequence[Order] = ()
) -> tuple[str, list[str]]:
    """Return the WITH clause that makes `matches`, and its parameters.

    They have `created`, `uuid`, and what they are to be ordered by.

    `MATERIALIZED` keeps the order that is asked for out of the search: the index in that order has
    no names, so all rows would be read.
    """
    checks = "".join(f" AND {check_sql(condition, generation)}" for condition in conditions)
    columns = ", ".join(dict.fromkeys(("created", "uuid", *(by.field for by in order))))
    sql = (
        f"WITH matches AS MATERIALIZED (SELECT {columns}"
        f" FROM {kind}_g{generation} AS this WHERE owner = ?{checks})"
    )
    return sql, [owner, *(text for condition in conditions for text in condition.alternatives)]


class Searches(Reader):
    def search(
        self,
        kind: str,
        owner: str,
        conditions: Conditions,
        *,
        order: Sequence[Order] = (),
        limit: int,
        offset: int = 0,
    ) -> Found:
        """Return a page of an account's things of this kind; what is alike, oldest first.

        A negative limit is no limit.
        """
        matches, parameters = matches_sql(kind, owner, conditions, self._g, order)
        by = _order_sql(order)
        rows = self._all(
            f"{matches} SELECT (SELECT count(*) FROM matches), page.uuid"
            " FROM (SELECT 1) AS always LEFT JOIN"
            f" (SELECT * FROM matches ORDER BY {by} LIMIT ? OFFSET ?) AS page"
            f" ON true ORDER BY {by}",
            (*parameters, sql_limit(limit), offset),
        )
        return Found(rows[0][0], [uuid for _, uuid in rows if uuid is not None])


def _order_sql(order: Sequence[Order]) -> str:
    asked = [f"{by.field} DESC" if by.descending else by.field for by in order]
    return ", ".join([*asked, "created", "uuid"])
