"""The read models as of one moment: every answer is a few indexed reads.

A snapshot reads the pointer to the live generation and the rows in one transaction, so a rebuild
that flips it meanwhile changes nothing for a reader.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from ledger.drive import LIBRARY
from ledger.events import DriveDefinition, Mount, Nic, ServerDefinition
from ledger.store.log import Connection
from ledger.store.parameters import among, marks
from ledger.store.seam import Cursor
from projections.audit_log import Line
from projections.views.filtering import Conditions, condition_sql
from projections.views.job_keys import JobKey
from projections.views.records import (
    DriveView,
    JobReference,
    JobRow,
    JobTree,
    LogEntry,
    ProfileView,
    ServerView,
    TaggedView,
    TagView,
)
from projections.views.sqlite import drives_by_pool, live_generation

STREAM_ROWS = 200
"""Rows of a list that are read at a time when all of it is asked for."""
NO_LIMIT = 2**62


@lru_cache
def _job_columns(generation: int) -> str:
    """A job's columns, and last the URIs of the drives and servers it names that still exist.

    Each is looked up by its key: PostgreSQL would answer an EXISTS here by reading all drives.
    """
    return (
        "uuid, owner, root, parent, ordinal, operation, state, created, last_modified,"
        " progress, bytes_done, bytes_total, error, worker_lost,"
        " (SELECT group_concat('/api/2.0/' || kind || '/' || resource || '/')"
        f" FROM job_resources_g{generation} WHERE job = jobs_g{generation}.uuid AND CASE kind"
        f" WHEN 'drives' THEN (SELECT 1 FROM drives_g{generation} WHERE uuid = resource)"
        f" ELSE (SELECT 1 FROM servers_g{generation} WHERE uuid = resource) END = 1)"
    )


_drive_definition = msgspec.json.Decoder(DriveDefinition).decode
_server_definition = msgspec.json.Decoder(ServerDefinition).decode
_mounts = msgspec.json.Decoder(tuple[Mount, ...]).decode
_nics = msgspec.json.Decoder(tuple[Nic, ...]).decode
_meta = msgspec.json.Decoder(dict[str, str]).decode
_lines = msgspec.json.Decoder(tuple[Line, ...]).decode


class Snapshot:
    """The read models as of one moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._g = live_generation(self._cursor)
        self._job = _job_columns(self._g)

    @property
    def cursor(self) -> Cursor:
        """For reading the events as of the same moment."""
        return self._cursor

    # Jobs

    def job(self, uuid: str, owner: str) -> JobTree | None:
        """The job and all below it, if it is this account's."""
        rows = self._all(
            f"SELECT {self._job} FROM jobs_g{self._g} WHERE root ="
            f" (SELECT root FROM jobs_g{self._g} WHERE uuid = ? AND owner = ?) ORDER BY ordinal",
            (uuid, owner),
        )
        for tree in self._trees(rows):
            if tree.job.uuid == uuid:
                return tree
        return None

    def jobs_among(self, uuids: Sequence[str], owner: str) -> list[JobTree]:
        """Those of these jobs that are this account's, each with all below it."""
        rows = self._among(f"SELECT {self._job} FROM jobs_g{self._g} WHERE uuid IN (...)", uuids)
        return self._listed([row for row in rows if row[1] == owner])

    def leaves_among(self, uuids: Sequence[str], owner: str) -> list[JobTree]:
        """The same of jobs that have no sub-jobs and get none: nothing of their families is read.

        A job that a worker has begun is one.
        """
        rows = self._among(f"SELECT {self._job} FROM jobs_g{self._g} WHERE uuid IN (...)", uuids)
        return [_tree(row) for row in rows if row[1] == owner]

    def count_jobs(
        self, owner: str, states: Sequence[str] | None, conditions: Conditions = ()
    ) -> int:
        """How many jobs the account has, in these states; None: in any."""
        where, parameters = self._jobs_where(owner, states, conditions)
        return self._count(f"jobs_g{self._g} WHERE {where}", parameters)

    def jobs(
        self,
        owner: str,
        states: Sequence[str] | None,
        conditions: Conditions = (),
        *,
        limit: int,
        offset: int = 0,
    ) -> list[JobTree]:
        """A page of the account's jobs, the newest change first; sub-jobs are listed too."""
        where, parameters = self._jobs_where(owner, states, conditions)
        rows = self._all(
            f"SELECT {self._job} FROM jobs_g{self._g} WHERE {where}"
            " ORDER BY last_modified DESC, uuid LIMIT ? OFFSET ?",
            (*parameters, _bounded(limit), offset),
        )
        return self._listed(rows)

    def jobs_after(
        self,
        owner: str,
        states: Sequence[str] | None,
        conditions: Conditions = (),
        *,
        key: JobKey | None,
        limit: int,
    ) -> list[JobTree]:
        """A page of the same list that goes on behind a job's place in it; None: its beginning.

        However far into the list that is, it costs no more than its beginning.
        """
        where, parameters = self._jobs_where(owner, states, conditions)
        if key is not None:
            where += " AND last_modified <= ? AND (last_modified < ? OR uuid > ?)"
            parameters += [key.last_modified, key.last_modified, key.uuid]
        rows = self._all(
            f"SELECT {self._job} FROM jobs_g{self._g} WHERE {where}"
            " ORDER BY last_modified DESC, uuid LIMIT ?",
            (*parameters, limit),
        )
        return self._listed(rows)

    def all_jobs(
        self, owner: str, states: Sequence[str] | None, conditions: Conditions = ()
    ) -> Iterator[list[JobTree]]:
        """All of them, some at a time."""
        where, parameters = self._jobs_where(owner, states, conditions)
        cursor = self._connection.execute(
            f"SELECT {self._job} FROM jobs_g{self._g} WHERE {where}"
            " ORDER BY last_modified DESC, uuid",
            tuple(parameters),
        )
        while rows := cursor.fetchmany(STREAM_ROWS):
            yield self._listed(rows)

    def _jobs_where(
        self, owner: str, states: Sequence[str] | None, conditions: Conditions
    ) -> tuple[str, list[str]]:
        """The jobs of an account in these states for which all of these conditions hold."""
        clauses, parameters = self._where(owner, conditions)
        if any(condition.lookup == "resource" for condition in conditions):
            # A thing has few jobs: they are looked up, and not all of the account's gone through.
            clauses = clauses.replace("owner = ?", "owner || '' = ?", 1)
        where, within = _in_states(states)
        return clauses + where, [*parameters, *within]

    def running_leaves(self) -> list[str]:
        """Every account's jobs that a worker should be doing, oldest first."""
        rows = self._all(
            f"SELECT uuid FROM jobs_g{self._g} AS job WHERE state = 'started' AND NOT EXISTS"
            f" (SELECT 1 FROM jobs_g{self._g} AS child WHERE child.root = job.root"
            "  AND child.parent = job.uuid) ORDER BY created, uuid",
        )
        return [uuid for (uuid,) in rows]

    def _listed(self, rows: list[Any]) -> list[JobTree]:
        """The trees below these jobs, in the same order."""
        roots = list({row[2]: None for row in rows})
        family = self._among(
            f"SELECT {self._job} FROM jobs_g{self._g} WHERE root IN (...) ORDER BY ordinal", roots
        )
        by_uuid = {tree.job.uuid: tree for tree in self._trees(family)}
        return [by_uuid[row[0]] for row in rows]

    def _trees(self, rows: list[Any]) -> list[JobTree]:
        """Every job of these whole families, each with what is below it."""
        trees = {row[0]: _tree(row) for row in rows}
        for tree in trees.values():
            if tree.job.parent is not None:
                trees[tree.job.parent].children.append(tree)
        return list(trees.values())

    # Drives and servers

    def drive(self, uuid: str, owner: str) -> DriveView | None:
        """The drive, if it is this account's or the library's."""
        found = self._drives("uuid = ? AND owner IN (?, ?)", (uuid, owner, LIBRARY))
        return found[0] if found else None

    def drives_among(self, uuids: Sequence[str], owner: str) -> list[DriveView]:
        """Those of these drives that the account may see, in the order asked for."""
        found = self._drives(
            f"uuid IN ({marks(uuids)}) AND owner IN (?, ?)", (*uuids, owner, LIBRARY)
        )
        return sorted(found, key=lambda drive: uuids.index(drive.uuid))

    def drives(
        self, owner: str, conditions: Conditions = (), *, limit: int, offset: int = 0
    ) -> list[DriveView]:
        """A page of the account's drives, oldest first; a negative limit is no limit."""
        where, parameters = self._where(owner, conditions)
        return self._drives(
            f"{where} ORDER BY created, uuid LIMIT ? OFFSET ?",
            (*parameters, _bounded(limit), offset),
        )

    def count_drives(self, owner: str, conditions: Conditions = ()) -> int:
        where, parameters = self._where(owner, conditions)
        return self._count(f"drives_g{self._g} WHERE {where}", parameters)

    def pools(self, owner: str) -> list[tuple[str, str]]:
        """Each of the account's drives and the pool it lies in, oldest first."""
        return self._all(
            f"SELECT uuid, pool FROM drives_g{self._g} WHERE owner = ? ORDER BY created, uuid",
            (owner,),
        )

    def hosts(self, owner: str) -> list[tuple[str, str]]:
        """Each of the account's running servers and the host it is on, oldest first."""
        return self._all(
            f"SELECT uuid, host FROM servers_g{self._g} WHERE owner = ? AND host IS NOT NULL"
            " ORDER BY created, uuid",
            (owner,),
        )

    def count_by_pool(self) -> dict[str, int]:
        """How many drives of all accounts lie in each pool."""
        return drives_by_pool(self._cursor)

    def unfinished_drives(self) -> list[str]:
        """Every account's drives that wait for an image that is no clone, or grow; oldest first."""
        rows = self._all(
            f"SELECT uuid FROM drives_g{self._g} WHERE (ready = 0 OR resizing IS NOT NULL)"
            " AND (origin <> 'clone' OR ready = 1) ORDER BY created, uuid"
        )
        return [uuid for (uuid,) in rows]

    def server(self, uuid: str, owner: str) -> ServerView | None:
        """The server, if it is this account's."""
        found = self._servers("uuid = ? AND owner = ?", (uuid, owner))
        return found[0] if found else None

    def servers_among(self, uuids: Sequence[str], owner: str) -> list[ServerView]:
        """Those of these servers that are this account's, in the order asked for."""
        found = self._servers(f"uuid IN ({marks(uuids)}) AND owner = ?", (*uuids, owner))
        return sorted(found, key=lambda server: uuids.index(server.uuid))

    def servers(
        self, owner: str, conditions: Conditions = (), *, limit: int, offset: int = 0
    ) -> list[ServerView]:
        """A page of the account's servers, oldest first; a negative limit is no limit."""
        where, parameters = self._where(owner, conditions)
        return self._servers(
            f"{where} ORDER BY created, uuid LIMIT ? OFFSET ?",
            (*parameters, _bounded(limit), offset),
        )

    def count_servers(self, owner: str, conditions: Conditions = ()) -> int:
        where, parameters = self._where(owner, conditions)
        return self._count(f"servers_g{self._g} WHERE {where}", parameters)

    def _where(self, owner: str, conditions: Conditions) -> tuple[str, list[str]]:
        """The rows of an account for which all of these conditions hold."""
        clauses, parameters = ["owner = ?"], [owner]
        for condition in conditions:
            clauses.append(condition_sql(condition, self._g))
            parameters += condition.alternatives
        return " AND ".join(clauses), parameters

    # Tags, profiles and the audit log

    def tags_among(self, uuids: Sequence[str], owner: str) -> list[TagView]:
        """Those of these tags that are this account's, in the order asked for."""
        found = self._tags(f"uuid IN ({marks(uuids)}) AND owner = ?", (*uuids, owner))
        return sorted(found, key=lambda tag: uuids.index(tag.uuid))

    def tags(
        self, owner: str, conditions: Conditions = (), *, limit: int, offset: int = 0
    ) -> list[TagView]:
        """A page of the account's tags, oldest first; a negative limit is no limit."""
        where, parameters = self._where(owner, conditions)
        return self._tags(
            f"{where} ORDER BY created, uuid LIMIT ? OFFSET ?",
            (*parameters, _bounded(limit), offset),
        )

    def count_tags(self, owner: str, conditions: Conditions = ()) -> int:
        where, parameters = self._where(owner, conditions)
        return self._count(f"tags_g{self._g} WHERE {where}", parameters)

    def _tags(self, where: str, parameters: Sequence[str | int]) -> list[TagView]:
        rows = self._all(
            f"SELECT uuid, owner, name, meta FROM tags_g{self._g} WHERE {where}", parameters
        )
        found = {
            uuid: TagView(uuid, owner, name, _meta(meta), []) for uuid, owner, name, meta in rows
        }
        for tag, resource, kind in self._among(
            f"SELECT tag, resource, kind FROM tag_resources_g{self._g} WHERE tag IN (...)"
            " ORDER BY resource",
            list(found),
        ):
            found[tag].resources.append(TaggedView(resource, kind))
        return list(found.values())

    def profile(self, account: str) -> ProfileView | None:
        """The profile of an account, which has one from its beginning."""
        found = self._all(
            "SELECT email, created, coalesce((SELECT clone_naming"
            f" FROM profiles_g{self._g} WHERE owner = uuid), 'NONE') FROM accounts WHERE uuid = ?",
            (account,),
        )
        fields = self._all("SELECT field, value FROM personal_fields WHERE account = ?", (account,))
        if not found:
            return None
        email, created, clone_naming = found[0]
        return ProfileView(account, email, created, clone_naming, dict(fields))

    def log_entries(self, owner: str) -> Iterator[LogEntry]:
        """An account's audit log, the newest first."""
        cursor = self._connection.execute(
            f"SELECT recorded_at, actor, lines FROM audit_log_g{self._g} WHERE owner = ?"
            " ORDER BY recorded_at DESC, stream DESC, version DESC",
            (owner,),
        )
        while rows := cursor.fetchmany(STREAM_ROWS):
            for recorded_at, actor, lines in rows:
                for line in reversed(_lines(lines)):
                    yield LogEntry(recorded_at, actor, line)

    def count_log_entries(self, owner: str) -> int:
        found = self._all(
            f"SELECT coalesce(sum(json_array_length(lines)), 0) FROM audit_log_g{self._g}"
            " WHERE owner = ?",
            (owner,),
        )
        return int(found[0][0])

    def _drives(self, where: str, parameters: Sequence[str | int]) -> list[DriveView]:
        rows = self._all(
            "SELECT uuid, owner, pool, origin, ready, resizing IS NOT NULL, definition"
            f" FROM drives_g{self._g} WHERE {where}",
            parameters,
        )
        found = {
            uuid: DriveView(
                uuid,
                owner,
                pool,
                origin,
                bool(ready),
                bool(resizing),
                _drive_definition(definition),
                [],
                [],
                [],
            )
            for uuid, owner, pool, origin, ready, resizing, definition in rows
        }
        told = [drive.uuid for drive in found.values() if drive.owner != LIBRARY]
        for drive, server in self._among(
            f"SELECT drive, server FROM attachments_g{self._g} WHERE drive IN (...)"
            " GROUP BY drive, server ORDER BY min(server_created), server",
            told,
        ):
            found[drive].mounted_on.append(server)
        for resource, reference in self._references(told):
            found[resource].jobs.append(reference)
        for resource, tag in self._borne(told):
            found[resource].tags.append(tag)
        return list(found.values())

    def _servers(self, where: str, parameters: Sequence[str | int]) -> list[ServerView]:
        rows = self._all(
            "SELECT uuid, owner, definition, mounts, nics, host, active_since,"
            " coalesce((SELECT vnc_password FROM server_secrets WHERE server = uuid), '')"
            f" FROM servers_g{self._g}"
            f" WHERE {where}",
            parameters,
        )
        found = {
            uuid: ServerView(
                uuid,
                owner,
                _server_definition(definition),
                _mounts(mounts),
                _nics(nics),
                host,
                active_since,
                [],
                [],
                vnc_password,
            )
            for uuid, owner, definition, mounts, nics, host, active_since, vnc_password in rows
        }
        for resource, reference in self._references(list(found)):
            found[resource].jobs.append(reference)
        for resource, tag in self._borne(list(found)):
            found[resource].tags.append(tag)
        return list(found.values())

    def _borne(self, uuids: list[str]) -> Iterator[tuple[str, str]]:
        """The tags that these drives or servers bear."""
        yield from self._among(
            f"SELECT resource, tag FROM tag_resources_g{self._g} WHERE resource IN (...)"
            " ORDER BY tag",
            uuids,
        )

    def _references(self, uuids: list[str]) -> Iterator[tuple[str, JobReference]]:
        for resource, job, role, running in self._among(
            f"SELECT resource, job, role, running FROM job_resources_g{self._g}"
            " WHERE resource IN (...) ORDER BY created, job",
            uuids,
        ):
            yield resource, JobReference(job, role, bool(running))

    def select(self, sql: str, uuids: Sequence[str]) -> list[Any]:
        """The rows of a statement that is written elsewhere; `{g}` in it is the generation.

        `...` stands for the uuids, as many of them as fit into one statement.
        """
        return self._among(sql.replace("{g}", str(self._g)), uuids)

    def count_by(self, sql: str, parameters: Sequence[str]) -> list[tuple[str, str, int]]:
        """Numbers by two texts, of a statement that is written elsewhere, as in `select`."""
        found = self._all(sql.replace("{g}", str(self._g)), parameters)
        return [(what, which, int(number)) for what, which, number in found]

    def _among(self, sql: str, uuids: Sequence[str]) -> list[Any]:
        return list(among(self._cursor, sql, uuids))

    def _all(self, sql: str, parameters: Sequence[str | int] = ()) -> list[Any]:
        self._cursor.execute(sql, parameters)
        return self._cursor.fetchall()

    def _count(self, of: str, parameters: Sequence[str | int]) -> int:
        return int(self._cursor.execute(f"SELECT count(*) FROM {of}", parameters).fetchone()[0])


def _bounded(limit: int) -> int:
    """A negative limit is none."""
    return limit if limit >= 0 else NO_LIMIT


def _tree(row: Any) -> JobTree:
    """A job without what is below it."""
    *columns, resources = row
    return JobTree(JobRow._make(columns), sorted(resources.split(",")) if resources else [], [])


def _in_states(states: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    """A condition that an index serves: one state by its own, several by the list of all."""
    if states is None:
        return "", ()
    if not states:
        return " AND 1 = 0", ()
    if len(states) == 1:
        return " AND state = ?", states
    return f" AND state || '' IN ({marks(states)})", states
