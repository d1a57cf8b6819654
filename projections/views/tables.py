"""The tables of the read models. Each exists once for every generation: `jobs_g1`, `jobs_g2`, ...

A rebuild fills the next generation beside the live one and flips a pointer to it.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

SHAPE = 4
"""The version of these tables; rows of an earlier shape are rebuilt before all else."""


class Table(NamedTuple):
    """A table's name, its columns, and how many of them, from the first, are its key."""

    name: str
    columns: tuple[str, ...]
    key: int


TABLES = (
    Table("attachments", ("server", "place", "drive", "server_created"), 2),
    Table("audit_log", ("owner", "recorded_at", "stream", "version", "actor", "lines"), 4),
    Table("departed", ("stream", "at"), 1),
    Table(
        "drives",
        (
            "uuid",
            "owner",
            "name",
            "size",
            "pool",
            "origin",
            "ready",
            "resizing",
            "created",
            "definition",
        ),
        1,
    ),
    Table("job_resources", ("job", "place", "resource", "kind", "role", "created", "running"), 2),
    Table(
        "jobs",
        (
            "uuid",
            "owner",
            "root",
            "parent",
            "ordinal",
            "operation",
            "state",
            "created",
            "last_modified",
            "progress",
            "bytes_done",
            "bytes_total",
            "error",
            "worker_lost",
        ),
        1,
    ),
    Table("profiles", ("owner", "clone_naming"), 1),
    Table(
        "servers",
        (
            "uuid",
            "owner",
            "name",
            "created",
            "host",
            "active_since",
            "definition",
            "mounts",
            "nics",
        ),
        1,
    ),
    Table("tag_resources", ("tag", "resource", "kind"), 2),
    Table("tags", ("uuid", "owner", "name", "created", "meta"), 1),
)
"""In the order in which they are written, by name: every node takes row locks in the same order."""

BY_NAME = {table.name: table for table in TABLES}

SCHEMA = Path(__file__).with_name("sqlite.sql")


def upsert(table: Table, generation: int) -> str:
    """The statement that puts a whole row."""
    key = ", ".join(table.columns[: table.key])
    rest = table.columns[table.key :]
    changes = ", ".join(f"{column} = excluded.{column}" for column in rest)
    marks = ", ".join("?" * len(table.columns))
    return (
        f"INSERT INTO {table.name}_g{generation} VALUES ({marks})"
        f" ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )


def delete(table: Table, generation: int) -> str:
    """The statement that drops a row by its key."""
    where = " AND ".join(f"{column} = ?" for column in table.columns[: table.key])
    return f"DELETE FROM {table.name}_g{generation} WHERE {where}"


@lru_cache
def select_one(name: str, generation: int) -> str:
    """The statement that reads a row by its key."""
    table = BY_NAME[name]
    where = " AND ".join(f"{column} = ?" for column in table.columns[: table.key])
    return f"SELECT {', '.join(table.columns)} FROM {name}_g{generation} WHERE {where}"


def select_all(table: Table, generation: int) -> str:
    """The statement that reads every row, in the order of the key."""
    key = ", ".join(table.columns[: table.key])
    return f"SELECT {', '.join(table.columns)} FROM {table.name}_g{generation} ORDER BY {key}"
