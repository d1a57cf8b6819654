"""Walks: whole lists page by page, newest first, in an order that never changes.

A page begins after the last row that the page before looked at. Nothing moves while somebody walks,
because neither part of a key ever changes: what exists and matches throughout comes exactly once,
and nothing comes twice.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any, Literal, NamedTuple

from ledger.store.log import streamed
from projections.views.filters import (
    Condition,
    Conditions,
    Lookup,
    check_sql,
    condition_sql,
    jobs_of_resource_sql,
)
from projections.views.reader import Reader
from projections.views.searches import is_search, matches_sql

Walked = Literal["drives", "ips", "jobs", "keypairs", "servers", "tags"]
"""What can be walked."""

LOOKED_AT_MAX = 20_000
"""Rows that one page looks at, however few of them match; a search reads all names before."""

_INDEXED: Mapping[Walked, tuple[Lookup, ...]] = {
    "drives": ("uuid", "name"),
    "ips": ("uuid",),
    "jobs": ("resource", "state"),
    "keypairs": ("uuid", "name"),
    "servers": ("uuid", "name"),
    "tags": ("uuid", "name"),
}
"""The lookups that an index serves in the order of keys, the one that finds the fewest first."""


class Key(NamedTuple):
    """A place in a walk; nothing needs to be at it any more."""

    created: str
    uuid: str


class Step(NamedTuple):
    """A page of a walk, which may be empty. The walk ends where `next` is None."""

    uuids: list[str]
    next: Key | None


class _Path(NamedTuple):
    """The rows that a walk looks at, in the order of keys, and what else a match must meet."""

    source: str
    uuid: str
    where: str
    parameters: list[str]
    checks: list[str]
    checked: list[str]


def is_short(kind: Walked, conditions: Conditions) -> bool:
    """Return whether a page looks at no more rows than it shows."""
    if is_search(conditions):
        return False
    led_by = _narrowest(kind, conditions)
    return not _others(conditions, led_by) and (led_by is None or led_by.lookup != "resource")


class Walks(Reader):
    def walk(
        self,
        kind: Walked,
        owner: str,
        conditions: Conditions = (),
        *,
        key: Key | None = None,
        limit: int,
    ) -> Step:
        """Return the page that follows the key, of an account's things of one kind.

        None is the key before the first page.
        """
        if not all(condition.alternatives for condition in conditions):
            return Step([], None)
        path = self._path(kind, owner, conditions)
        sql, parameters = self._looking(kind, path, key)
        if not path.checks:
            return step_of(self._all(sql, [*parameters, limit + 1]), key, limit)
        cursor = self._connection.cursor()
        with closing(streamed(cursor, sql, [*parameters, LOOKED_AT_MAX])) as rows:
            return step_of(rows, key, limit)

    def _looking(self, kind: Walked, path: _Path, key: Key | None) -> tuple[str, list[str]]:
        """Return the statement that reads (created, uuid, whether it matches) along the path."""
        matches, after, place = "1", "", list[str]()
        if path.checks:
            checks = " AND ".join(path.checks)
            matches = (
                f"EXISTS (SELECT 1 FROM {kind}_g{self._g} AS this"
                f" WHERE this.uuid = looked_at.{path.uuid} AND {checks})"
            )
        if key is not None:
            after, place = f" AND (created, {path.uuid}) < (?, ?)", [*key]
        sql = (
            f"SELECT created, {path.uuid}, {matches} FROM {path.source} AS looked_at"
            f" WHERE {path.where}{after} ORDER BY created DESC, {path.uuid} DESC LIMIT ?"
        )
        return sql, [*path.checked, *path.parameters, *place]

    def _path(self, kind: Walked, owner: str, conditions: Conditions) -> _Path:
        if is_search(conditions):
            matches, parameters = matches_sql(kind, owner, conditions, self._g)
            found = f"({matches} SELECT created, uuid FROM matches)"
            return _Path(found, "uuid", "true", parameters, [], [])
        led_by = _narrowest(kind, conditions)
        source = f"{kind}_g{self._g}"
        checks, checked = list[str](), list[str]()
        for condition in _others(conditions, led_by):
            checks.append(check_sql(condition, self._g))
            checked += condition.alternatives
        if led_by is None:
            return _Path(source, "uuid", "owner = ?", [owner], checks, checked)
        if led_by.lookup == "resource":
            (resource,) = led_by.alternatives
            source, wanted = jobs_of_resource_sql(resource, owner, self._g)
            checks, checked = ["owner = ?", *checks], [owner, *checked]
            return _Path(source, "job", "true", [*wanted], checks, checked)
        # The `||` makes uuids be looked up: they are fewer than what the account has.
        owned = "owner || '' = ?" if led_by.lookup == "uuid" else "owner = ?"
        sql, given = condition_sql(led_by, owner, self._g)
        return _Path(source, "uuid", f"{owned} AND {sql}", [owner, *given], checks, checked)


def _narrowest(kind: Walked, conditions: Conditions) -> Condition | None:
    """Return the condition whose index leads the walk; None if that of the account does."""
    by_lookup = {each.lookup: each for each in conditions if _can_lead(each)}
    return next((by_lookup[each] for each in _INDEXED[kind] if each in by_lookup), None)


def _can_lead(condition: Condition) -> bool:
    """Return whether what it finds is in the order of keys, or is little."""
    return condition.lookup == "uuid" or len(condition.alternatives) == 1


def _others(conditions: Conditions, led_by: Condition | None) -> list[Condition]:
    return [condition for condition in conditions if condition is not led_by]


def step_of(rows: Iterable[Any], key: Key | None, limit: int) -> Step:
    """Read until one more than the page matches, or the rows end."""
    uuids: list[str] = []
    at, looked_at = key, 0
    for created, uuid, matches in rows:
        looked_at += 1
        if matches and (created, uuid) != at:  # a job may name a drive twice
            if len(uuids) == limit:
                return Step(uuids, at)
            uuids.append(uuid)
        at = Key(created, uuid)
    return Step(uuids, at if looked_at == LOOKED_AT_MAX else None)
