"""What jobs, servers and tags say about drives and servers.

A drive's status depends on others: a running job that copies it, the servers that mount it. Those
facts are relations, kept beside the drive and never in it, so that many clones of one drive write
no common row. Each is a pure function of the job, server or tag that it comes from.
"""

from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag


class MountedBy(Struct, frozen=True, gc=False):
    """The server mounts the drive."""

    drive: str
    server: str


class NeededBy(Struct, frozen=True, gc=False):
    """The running job needs the drive or server."""

    resource: str
    job: str


class TaggedBy(Struct, frozen=True, gc=False):
    """The drive or server has the tag."""

    resource: str
    tag: str


Relation = MountedBy | NeededBy | TaggedBy


class Relations(Struct, frozen=True, gc=False):
    """Everything that others say about one drive or server.

    Jobs are counted, not named: thousands may clone a template at once.
    """

    servers: frozenset[str] = frozenset()
    running_jobs: int = 0
    tags: frozenset[str] = frozenset()


def relations_of(state: Aggregate | None) -> frozenset[Relation]:
    """Return what this aggregate says about others."""
    match state:
        case Job(state="started"):
            return frozenset(NeededBy(named.uuid, state.uuid) for named in state.resources)
        case Server():
            return frozenset(MountedBy(mount.drive, state.uuid) for mount in state.mounts)
        case Tag():
            return frozenset(TaggedBy(uuid, state.uuid) for uuid in state.resources)
        case _:
            return frozenset()


def subject_of(relation: Relation) -> str:
    """Return the uuid of the drive or server that the relation is about."""
    return relation.drive if isinstance(relation, MountedBy) else relation.resource


def add_relation(relations: Relations, relation: Relation) -> Relations:
    """Return the relations with one more."""
    match relation:
        case MountedBy(server=server):
            return replace(relations, servers=relations.servers | {server})
        case NeededBy():
            return replace(relations, running_jobs=relations.running_jobs + 1)
        case TaggedBy(tag=tag):
            return replace(relations, tags=relations.tags | {tag})
        case _:
            assert_never(relation)


def remove_relation(relations: Relations, relation: Relation) -> Relations:
    """Return the relations with one fewer."""
    match relation:
        case MountedBy(server=server):
            return replace(relations, servers=relations.servers - {server})
        case NeededBy():
            return replace(relations, running_jobs=relations.running_jobs - 1)
        case TaggedBy(tag=tag):
            return replace(relations, tags=relations.tags - {tag})
        case _:
            assert_never(relation)
