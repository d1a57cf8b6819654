"""Generations of the read models: creates, writes, switches and drops their tables."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import LiteralString

from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.relations import Relation, Relations
from ledger.domain.errors.store import StoreUnfit
from ledger.domain.events import Event, Recorded
from ledger.domain.quotas import EVERYBODY, Kind
from ledger.store.parameters import among
from ledger.store.postgres.cursor import PgCursor
from ledger.store.seam import Cursor, Row, RowKey, Rows
from projections import audit_log, rows
from projections.tables import (
    BY_NAME,
    INDEXES,
    SCHEMA_VERSION,
    TABLES,
    Table,
    create,
    delete,
    upsert,
)

DELETED_ROWS = 256
"""Rows of a superseded generation that are deleted in one statement."""

_table_of = itemgetter(0)


class InlineProjection:
    """The read models, as the writer's `Projection`."""

    LIVE: LiteralString = "SELECT generation FROM projection_head"

    def rows(self, state: Aggregate | None) -> Rows:
        """See `projections.rows`."""
        return rows.own_rows(state)

    def relation_rows(self, relations: Iterable[Relation]) -> Rows:
        """See `projections.rows`."""
        return rows.relation_rows(relations)

    def entries(self, stream: str, version: int, recorded: Recorded[Event], owner: str) -> Rows:
        """See `projections.audit_log`."""
        return audit_log.entries(stream, version, recorded, owner)

    def create(self, cursor: Cursor) -> None:
        """Create the pointer and the first generation; refuse rows of a later schema version.

        Rows of an earlier version stay, and must be rebuilt first (`is_outdated`).
        """
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS projection_head"
            " (generation INTEGER NOT NULL, shape INTEGER NOT NULL)"
        )
        cursor.execute("SELECT generation, shape FROM projection_head")
        head = cursor.fetchone()
        if head is None:
            cursor.execute("INSERT INTO projection_head VALUES (1, ?)", (SCHEMA_VERSION,))
            create_generation(cursor, 1)
        elif head[1] > SCHEMA_VERSION:
            raise StoreUnfit(
                f"the read models have version {head[1]}; this code knows {SCHEMA_VERSION}"
            )

    def look_again(self, cursor: Cursor) -> None:
        """Do nothing: this projection remembers nothing."""

    def write(self, cursor: Cursor, puts: Rows, drops: Iterable[RowKey]) -> None:
        """Put and drop rows of the live generation, sorted by table and key."""
        generation = live_generation(cursor)
        drop_rows(cursor, generation, drops)
        put_rows(cursor, generation, puts)

    def parents(self, cursor: Cursor, jobs: Sequence[str]) -> set[str]:
        sql = f"SELECT DISTINCT parent FROM jobs_g{live_generation(cursor)} WHERE uuid IN (...)"
        return {parent for (parent,) in among(cursor, sql, jobs) if parent is not None}

    def relations(self, cursor: Cursor, uuid: str) -> Relations:
        """Return what the live rows say about this drive, server, keypair or account."""
        g = live_generation(cursor)
        cursor.execute(
            f"SELECT (SELECT group_concat(server) FROM attachments_g{g} WHERE resource = ?1),"
            f" (SELECT count(*) FROM job_resources_g{g} WHERE resource = ?1 AND running = 1),"
            f" (SELECT group_concat(tag) FROM tag_resources_g{g} WHERE resource = ?1),"
            f" (SELECT group_concat(uuid) FROM ips_g{g} WHERE owner = ?1)",
            (uuid,),
        )
        servers, running_jobs, tags, ips = cursor.fetchone()
        return Relations(
            frozenset(_split(servers)), running_jobs, frozenset(_split(tags)), Counter(_split(ips))
        )

    def count(self, cursor: Cursor, *, owner: str, kind: Kind) -> int:
        """Count by the indexes that begin with the owner."""
        g = live_generation(cursor)
        if owner == EVERYBODY:
            assert kind == "unfinished-uploads", f"nobody limits the {kind} of all accounts"
            cursor.execute(f"SELECT count(*) {_UNFINISHED}".format(g=g))
        else:
            cursor.execute(f"SELECT count(*) {_COUNTED[kind]}".format(g=g), (owner,))
        return int(cursor.fetchone()[0])


_UNFINISHED = (
    "FROM drives_g{g} WHERE (ready = 0 OR resizing IS NOT NULL) AND ready = 0"
    " AND origin = 'chunked'"
)
_COUNTED: Mapping[Kind, str] = {
    "drives": "FROM drives_g{g} WHERE owner = ?",
    "servers": "FROM servers_g{g} WHERE owner = ?",
    "addresses": "FROM ips_g{g} WHERE owner = ?",
    "tags": "FROM tags_g{g} WHERE owner = ?",
    "keypairs": "FROM keypairs_g{g} WHERE owner = ?",
    "unfinished-uploads": f"{_UNFINISHED} AND owner || '' = ?",
    "jobs-running": "FROM jobs_g{g} WHERE owner = ? AND state = 'started'",
    "jobs-kept": "FROM jobs_g{g} WHERE owner = ?",
}
"""How the things of an account are counted; uploads by the index of unready drives."""


def _split(concatenated: str | None) -> list[str]:
    return concatenated.split(",") if concatenated else []


def is_outdated(cursor: Cursor) -> bool:
    """Return whether the live rows have an earlier schema version; then nothing may use them."""
    return shape_of(cursor) < SCHEMA_VERSION


def shape_of(cursor: Cursor) -> int:
    """Return the schema version of the live rows."""
    cursor.execute("SELECT shape FROM projection_head")
    return int(cursor.fetchone()[0])


def live_generation(cursor: Cursor) -> int:
    """Return the generation that the pointer names in the transaction of this cursor."""
    cursor.execute(InlineProjection.LIVE)
    return int(cursor.fetchone()[0])


def create_generation(cursor: Cursor, generation: int) -> None:
    """Create the tables of a generation and their indexes."""
    indexes = INDEXES.read_text(encoding="utf-8").replace("{g}", str(generation))
    for table in TABLES:
        cursor.execute(create(table, generation))
    for statement in indexes.split(";\n"):
        cursor.execute(statement)


def put_rows(cursor: Cursor, generation: int, puts: Rows) -> None:
    """Put rows in order: unsorted upserts of two nodes can deadlock in PostgreSQL."""
    for name, items in groupby(sorted(puts.items(), key=_by_key), _table_of_item):
        cursor.executemany(_upsert(name, generation), [row for _, row in items])


def drop_rows(cursor: Cursor, generation: int, drops: Iterable[RowKey]) -> None:
    """Drop rows by their keys, in order too."""
    for name, keys in groupby(sorted(drops), _table_of):
        cursor.executemany(_delete(name, generation), [key for _, key in keys])


def count_values(cursor: Cursor, table: Table, generation: int) -> None:
    """Let PostgreSQL analyze a table: until it does, it reads all of it to find a few rows."""
    if isinstance(cursor, PgCursor):
        cursor.execute(f"ANALYZE {table.name}_g{generation}")


def flip(cursor: Cursor, generation: int) -> None:
    """Make a generation the live one."""
    cursor.execute(
        "UPDATE projection_head SET generation = ?, shape = ?", (generation, SCHEMA_VERSION)
    )


def superseded_generations(cursor: Cursor) -> list[int]:
    """Return the generations whose tables exist, except the live one."""
    tables = _named(cursor, "table", r"jobs_g[0-9]+")
    found = {int(name.removeprefix("jobs_g")) for name in tables}
    return sorted(found - {live_generation(cursor)})


def drop_indexes(cursor: Cursor, generation: int) -> None:
    """Drop the indexes of a generation: without them its rows are deleted in key order."""
    for name in _named(cursor, "index", rf".+_g{generation}_(?!pkey).+"):
        cursor.execute(f"DROP INDEX {name}")


def delete_rows(cursor: Cursor, table: Table, generation: int) -> int:
    """Delete some rows of a table of a generation; return how many."""
    name = f"{table.name}_g{generation}"
    key = ", ".join(table.keys)
    cursor.execute(
        f"DELETE FROM {name} WHERE ({key}) IN (SELECT {key} FROM {name} LIMIT {DELETED_ROWS})"
    )
    return int(cursor.rowcount)


def drop_generation(cursor: Cursor, generation: int) -> None:
    """Drop the tables of a generation; quick once they are empty."""
    for name in tables_of(cursor, generation):
        cursor.execute(f"DROP TABLE {name}_g{generation}")


def tables_of(cursor: Cursor, generation: int) -> list[str]:
    """Return the tables of a generation; one of an earlier schema version may lack some."""
    tables = _named(cursor, "table", rf".+_g{generation}")
    return [name.removesuffix(f"_g{generation}") for name in tables]


def _named(cursor: Cursor, kind: str, pattern: str) -> list[str]:
    """Return the tables or indexes whose whole names match."""
    cursor.execute("SELECT name FROM sqlite_master WHERE type = ?", (kind,))
    return [name for (name,) in cursor.fetchall() if re.fullmatch(pattern, name)]


def _by_key(item: tuple[RowKey, Row]) -> RowKey:
    return item[0]


def _table_of_item(item: tuple[RowKey, Row]) -> str:
    return item[0][0]


@lru_cache
def _upsert(name: str, generation: int) -> str:
    return upsert(BY_NAME[name], generation)


@lru_cache
def _delete(name: str, generation: int) -> str:
    return delete(BY_NAME[name], generation)
