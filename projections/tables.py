"""The tables of the read models: a struct for each row, from which all SQL about it is made.

Each table exists once for every generation: `jobs_g1`, `jobs_g2`, ... A rebuild fills the next
generation beside the live one and flips a pointer to it. Times are texts as the API shows them,
which sort as time does; flags are 0 or 1; what is nested is JSON.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, get_type_hints

from msgspec import Struct
from msgspec.structs import astuple

from ledger.store.seam import Row, RowKey, Rows

SCHEMA_VERSION = 12
"""The version of these tables; rows of an earlier version are rebuilt before anything else."""

INDEXES = Path(__file__).with_name("indexes.sql")

_SQL_TYPES = {
    str: "TEXT NOT NULL",
    int: "INTEGER NOT NULL",
    bytes: "BLOB NOT NULL",
    str | None: "TEXT",
    int | None: "INTEGER",
}


def fold_case(text: str) -> str:
    """Return the text as it is compared where case does not matter.

    Unicode's folding, and nothing else: accents that are written in two ways differ.
    """
    return text.casefold()


class AttachmentRow(Struct, frozen=True, gc=False):
    """A server mounts a drive, or has a keypair."""

    server: str
    place: int
    resource: str
    server_created: str


class AuditLogRow(Struct, frozen=True, gc=False):
    """An event in its account's log; `lines` are `projections.audit_log.Line`s."""

    owner: str
    recorded_at: str
    stream: str
    version: int
    actor: str
    lines: bytes


class DepartedRow(Struct, frozen=True, gc=False):
    """A deleted drive, server, tag or keypair whose stream is still in the ledger."""

    stream: str
    at: str


class DriveRow(Struct, frozen=True, gc=False):
    """A drive; `failed`: its image could not be made, `resizing`: the size that it is to have."""

    uuid: str
    owner: str
    name: str
    folded_name: str
    size: int
    pool: str
    origin: str
    ready: int
    failed: int
    resizing: int | None
    created: str
    definition: bytes


class IpRow(Struct, frozen=True, gc=False):
    """An address that a running server uses: its `uuid` is the address itself.

    `network` is what it was drawn from, `created` when the server was created.
    """

    uuid: str
    server: str
    owner: str
    created: str
    network: str | None


class JobResourceRow(Struct, frozen=True, gc=False):
    """A job names a drive or server; `running` and `operation` are the job's."""

    job: str
    place: int
    resource: str
    kind: str
    role: str
    created: str
    running: int
    operation: str


class JobRow(Struct, frozen=True, gc=False):
    """A job; its figures are its own, not its children's.

    `ended` is when it ended, whatever has changed since. From `began` on they are those of the
    current attempt: see `ledger.domain.aggregates.job`. `source` is the producer's, and `outcome`
    how its job ended; None for a job of ours. `cancellable`, `unattended`: see
    `ledger.domain.producers.stops`.
    """

    uuid: str
    owner: str
    root: str
    parent: str | None
    ordinal: int
    operation: str
    state: str
    created: str
    last_modified: str
    ended: str | None
    progress: int
    weight: int | None
    bytes_done: int
    bytes_total: int | None
    bytes_verified: int | None
    error: str | None
    worker_lost: int
    began: str | None
    bytes_before: int
    copied: str | None
    reported: str | None
    source: str | None
    cancellable: int
    unattended: int
    outcome: str | None


class KeypairRow(Struct, frozen=True, gc=False):
    uuid: str
    owner: str
    name: str
    folded_name: str
    created: str
    public_key: str
    meta: bytes


class LabelRow(Struct, frozen=True, gc=False):
    """A label of a job or, with a key that no label has, something else to find the job by.

    Jobs are found in the order of their creation. See `projections.facets`.
    """

    owner: str
    key: str
    value: str
    created: str
    uuid: str


class ProducedRow(Struct, frozen=True, gc=False):
    """How a producer's job stands, as JSON; from `overdue` on it takes longer than was said."""

    uuid: str
    overdue: str | None
    standing: bytes


class ProfileRow(Struct, frozen=True, gc=False):
    """The part of an account's profile on which decisions depend."""

    owner: str
    clone_naming: str


class RegistrationRow(Struct, frozen=True, gc=False):
    """What was said of a producer's job at its registration, which never changes, as JSON."""

    uuid: str
    registered: bytes


class RunRow(Struct, frozen=True, gc=False):
    """A producer's job of a series that has ended; `succeeded` also if that was said late.

    `took_ms` is how long its last attempt, or the group, took by what was said of it.
    """

    uuid: str
    owner: str
    series: str
    ended: str
    is_root: int
    succeeded: int
    took_ms: int


class ServerRow(Struct, frozen=True, gc=False):
    """A server; `host`, `active_since` and `addresses` while it runs."""

    uuid: str
    owner: str
    name: str
    folded_name: str
    created: str
    host: str | None
    active_since: str | None
    definition: bytes
    mounts: bytes
    nics: bytes
    addresses: bytes


class StopRow(Struct, frozen=True, gc=False):
    """A job makes others stop, or is to stop: see `ledger.domain.producers.stops`."""

    job: str
    at: str
    by: str | None
    grace_s: int
    itself: int
    below: int


class TagResourceRow(Struct, frozen=True, gc=False):
    """A drive or server bears a tag."""

    tag: str
    resource: str
    kind: str


class TagRow(Struct, frozen=True, gc=False):
    uuid: str
    owner: str
    name: str
    folded_name: str
    created: str
    meta: bytes


TableRow = (
    AttachmentRow
    | AuditLogRow
    | DepartedRow
    | DriveRow
    | IpRow
    | JobResourceRow
    | JobRow
    | KeypairRow
    | LabelRow
    | ProducedRow
    | ProfileRow
    | RegistrationRow
    | RunRow
    | ServerRow
    | StopRow
    | TagResourceRow
    | TagRow
)


class Table(NamedTuple):
    """A table: its name, its rows, and how many of their columns, from the first, are its key."""

    name: str
    row: type[TableRow]
    key: int

    @property
    def columns(self) -> tuple[str, ...]:
        return self.row.__struct_fields__

    @property
    def keys(self) -> tuple[str, ...]:
        return self.columns[: self.key]

    @property
    def types(self) -> tuple[str, ...]:
        """The SQL type of each column."""
        return tuple(_SQL_TYPES[hint] for hint in get_type_hints(self.row).values())


TABLES = (
    Table("attachments", AttachmentRow, 2),
    Table("audit_log", AuditLogRow, 4),
    Table("departed", DepartedRow, 1),
    Table("drives", DriveRow, 1),
    Table("ips", IpRow, 2),
    Table("job_resources", JobResourceRow, 2),
    Table("jobs", JobRow, 1),
    Table("keypairs", KeypairRow, 1),
    Table("labels", LabelRow, 5),
    Table("produced", ProducedRow, 1),
    Table("profiles", ProfileRow, 1),
    Table("registrations", RegistrationRow, 1),
    Table("runs", RunRow, 1),
    Table("servers", ServerRow, 1),
    Table("stops", StopRow, 1),
    Table("tag_resources", TagResourceRow, 2),
    Table("tags", TagRow, 1),
)
"""In the order in which they are written, by name: every node takes row locks in the same order."""

BY_NAME = {table.name: table for table in TABLES}
_BY_ROW = {table.row: table for table in TABLES}


def keyed(*rows: TableRow) -> Rows:
    """Return the rows by table and primary key, as the store takes them."""
    shown: dict[RowKey, Row] = {}
    for row in rows:
        table = _BY_ROW[type(row)]
        values = astuple(row)
        shown[table.name, values[: table.key]] = values
    return shown


def create(table: Table, generation: int) -> str:
    """Return the statement that creates a table."""
    columns = [f"{name} {kind}" for name, kind in zip(table.columns, table.types, strict=True)]
    columns.append(f"PRIMARY KEY ({', '.join(table.keys)})")
    return (
        f"CREATE TABLE IF NOT EXISTS {table.name}_g{generation} ({', '.join(columns)})"
        " WITHOUT ROWID"
    )


def upsert(table: Table, generation: int) -> str:
    """Return the statement that puts a whole row."""
    rest = table.columns[table.key :]
    changes = ", ".join(f"{column} = excluded.{column}" for column in rest)
    marks = ", ".join("?" * len(table.columns))
    return (
        f"INSERT INTO {table.name}_g{generation} VALUES ({marks})"
        f" ON CONFLICT ({', '.join(table.keys)})"
        f" {f'DO UPDATE SET {changes}' if changes else 'DO NOTHING'}"
    )


def delete(table: Table, generation: int) -> str:
    """Return the statement that drops a row by its key."""
    return f"DELETE FROM {table.name}_g{generation} WHERE {_where_key(table)}"


@lru_cache
def select_one(name: str, generation: int) -> str:
    """Return the statement that reads a row by its key."""
    return f"{select(name, generation)} WHERE {_where_key(BY_NAME[name])}"


def select_all(table: Table, generation: int) -> str:
    """Return the statement that reads every row, in the order of the key."""
    return f"{select(table.name, generation)} ORDER BY {', '.join(table.keys)}"


def select(name: str, generation: int) -> str:
    """Return the beginning of a statement that reads rows, up to its WHERE."""
    return f"SELECT {', '.join(BY_NAME[name].columns)} FROM {name}_g{generation}"


def _where_key(table: Table) -> str:
    return " AND ".join(f"{column} = ?" for column in table.keys)
