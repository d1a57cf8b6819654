"""What jobs, servers and tags say about drives, servers and keypairs.

A drive's status depends on others: a running job that copies it, the servers that mount it. Those
facts are relations, kept beside the drive and never in it, so that many clones of one drive write
no common row. Each is a pure function of the job, server or tag that it comes from.

The addresses that running servers use are relations of their account, which no two of them share.
"""

from collections.abc import Iterable, Mapping
from typing import assert_never

from msgspec import Struct

from ledger.domain.aggregates import Aggregate
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.events import Event
from ledger.domain.events.tags import ResourceTagged, ResourceUntagged
from ledger.domain.events.values import ResourceKind


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
    """The drive or server, as its kind says, has the tag."""

    resource: str
    tag: str
    kind: ResourceKind


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
            bearers = state.resources.items()
            return frozenset(TaggedBy(uuid, state.uuid, kind) for uuid, kind in bearers)
        case _:
            return frozenset()


def changed_by(
    event: Event, before: Aggregate | None, after: Aggregate | None
) -> tuple[frozenset[Relation], frozenset[Relation]]:
    """Return the relations that the event has ended, and those that it has begun.

    A tag may say thousands of things, of which an event changes one: they are not compared.
    """
    match event, before:
        case ResourceTagged(kind=kind, uuid=uuid), Tag():
            return _NONE, frozenset({TaggedBy(uuid, before.uuid, kind)} - _tagged(before, uuid))
        case ResourceUntagged(uuid=uuid), Tag():
            return frozenset(_tagged(before, uuid)), _NONE
        case _:
            old, new = relations_of(before), relations_of(after)
            return old - new, new - old


_NONE: frozenset[Relation] = frozenset()


def _tagged(tag: Tag, uuid: str) -> set[TaggedBy]:
    kind = tag.resources.get(uuid)
    return set() if kind is None else {TaggedBy(uuid, tag.uuid, kind)}


def subject_of(relation: Relation) -> str:
    """Return the uuid of the drive, server, keypair or account that the relation is about."""
    return relation.account if isinstance(relation, AddressUsed) else relation.resource


def change_relations(
    relations: Relations, gone: Iterable[Relation], new: Iterable[Relation]
) -> Relations:
    """Return the relations without some and with others: all at once, since all are copied."""
    servers, tags = set(relations.servers), set(relations.tags)
    running_jobs, addresses = relations.running_jobs, dict(relations.addresses)
    for relation, n in (*((each, -1) for each in gone), *((each, 1) for each in new)):
        match relation:
            case AttachedTo(server=server):
                _put(servers, server, n)
            case AddressUsed(ip=ip):
                addresses[ip] = addresses.get(ip, 0) + n
            case NeededBy():
                running_jobs += n
            case TaggedBy(tag=tag):
                _put(tags, tag, n)
            case _:
                assert_never(relation)
    used = {ip: number for ip, number in addresses.items() if number > 0}
    return Relations(frozenset(servers), running_jobs, frozenset(tags), used)


def _put(among: set[str], uuid: str, n: int) -> None:
    """Add it if there is one more, remove it if there is one fewer."""
    if n > 0:
        among.add(uuid)
    else:
        among.discard(uuid)
