"""What jobs, servers and tags say about drives, servers and keypairs.

A drive's status depends on others: a running job that copies it, the servers that mount it. Those
facts are relations, kept beside the drive and never in it, so that many clones of one drive write
no common row. Each is a pure function of the job, server or tag that it comes from.

The addresses that running servers use are relations of their account, which no two of them share.
"""

from collections.abc import Mapping
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag


class AttachedTo(Struct, frozen=True, gc=False):
    """The server mounts the drive, or has the keypair."""

    resource: str
    server: str


class AddressUsed(Struct, frozen=True, gc=False):
    """The running server of the account uses the address."""

    account: str
    ip: str
    server: str


class NeededBy(Struct, frozen=True, gc=False):
    """The running job needs the drive or server."""

    resource: str
    job: str


class TaggedBy(Struct, frozen=True, gc=False):
    """The drive or server has the tag."""

    resource: str
    tag: str


Relation = AttachedTo | AddressUsed | NeededBy | TaggedBy


class Relations(Struct, frozen=True, gc=False):
    """Everything that others say about one drive, server, keypair or account.

    Jobs are counted, not named: thousands may clone a template at once. `addresses` counts the
    servers that use each of them: before they were recorded, there could be several.
    """

    servers: frozenset[str] = frozenset()
    running_jobs: int = 0
    tags: frozenset[str] = frozenset()
    addresses: Mapping[str, int] = {}


def relations_of(state: Aggregate | None) -> frozenset[Relation]:
    """Return what this aggregate says about others."""
    match state:
        case Job(state="started"):
            return frozenset(NeededBy(named.uuid, state.uuid) for named in state.resources)
        case Server():
            attached = {AttachedTo(resource, state.uuid) for resource in state.attached()}
            used = {AddressUsed(state.owner, ip, state.uuid) for ip in state.ips()}
            return frozenset(attached | used)
        case Tag():
            return frozenset(TaggedBy(uuid, state.uuid) for uuid in state.resources)
        case _:
            return frozenset()


def subject_of(relation: Relation) -> str:
    """Return the uuid of the drive, server, keypair or account that the relation is about."""
    return relation.account if isinstance(relation, AddressUsed) else relation.resource


def add_relation(relations: Relations, relation: Relation) -> Relations:
    """Return the relations with one more."""
    match relation:
        case AttachedTo(server=server):
            return replace(relations, servers=relations.servers | {server})
        case AddressUsed(ip=ip):
            return _count_address(relations, ip, 1)
        case NeededBy():
            return replace(relations, running_jobs=relations.running_jobs + 1)
        case TaggedBy(tag=tag):
            return replace(relations, tags=relations.tags | {tag})
        case _:
            assert_never(relation)


def remove_relation(relations: Relations, relation: Relation) -> Relations:
    """Return the relations with one fewer."""
    match relation:
        case AttachedTo(server=server):
            return replace(relations, servers=relations.servers - {server})
        case AddressUsed(ip=ip):
            return _count_address(relations, ip, -1)
        case NeededBy():
            return replace(relations, running_jobs=relations.running_jobs - 1)
        case TaggedBy(tag=tag):
            return replace(relations, tags=relations.tags - {tag})
        case _:
            assert_never(relation)


def _count_address(relations: Relations, ip: str, more: int) -> Relations:
    users = relations.addresses.get(ip, 0) + more
    others = {other: count for other, count in relations.addresses.items() if other != ip}
    return replace(relations, addresses={**others, ip: users} if users else others)
