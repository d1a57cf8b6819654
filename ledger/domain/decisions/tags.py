"""Tags: labels that an owner puts on drives and servers."""

from collections.abc import Callable, Iterator

from ledger.domain.aggregates.tag import Tag
from ledger.domain.commands import Command
from ledger.domain.commands.drives import CreateDrives, DeleteDrives, EditDrives
from ledger.domain.commands.servers import CreateServers, DeleteServers, EditServers
from ledger.domain.commands.tags import CreateTags, DeleteTag, EditTag
from ledger.domain.context import Change, Environment, Fact, State
from ledger.domain.errors.quotas import QuotaExceeded
from ledger.domain.errors.tags import ResourceNotFound, TagNotFound, UnknownTag
from ledger.domain.events.tags import (
    ResourceTagged,
    ResourceUntagged,
    TagChanged,
    TagCreated,
    TagDeleted,
    tag_stream,
)
from ledger.domain.events.values import ResourceKind
from ledger.domain.quotas import Quotas


def create_tags(command: CreateTags, state: State, environment: Environment) -> Iterator[Change]:
    """Create tags, all or none. Raise `ResourceNotFound`."""
    for new in command.tags:
        yield Fact(tag_stream(new.tag), TagCreated(command.owner, new.name, new.meta))
        for uuid in dict.fromkeys(new.resources):
            yield _tag_resource(state, new.tag, uuid, command.owner)


def edit_tag(command: EditTag, state: State, environment: Environment) -> Iterator[Change]:
    """Change what is given. Raise `TagNotFound`, `ResourceNotFound`."""
    tag = _tag_to_change(state, command.tag, command.owner)
    name = tag.name if command.name is None else command.name
    meta = tag.meta if command.meta is None else command.meta
    if (name, meta) != (tag.name, tag.meta):
        yield Fact(tag_stream(tag.uuid), TagChanged(name, meta))
    if command.resources is None:
        return
    for uuid in sorted(set(tag.resources).difference(command.resources)):
        yield Fact(tag_stream(tag.uuid), ResourceUntagged(uuid))
    for uuid in dict.fromkeys(command.resources):
        if uuid not in tag.resources:
            yield _tag_resource(state, tag.uuid, uuid, command.owner)


def delete_tag(command: DeleteTag, state: State, environment: Environment) -> Iterator[Change]:
    """Delete the tag. Raise `TagNotFound`."""
    tag = _tag_to_change(state, command.tag, command.owner)
    yield Fact(tag_stream(tag.uuid), TagDeleted())


def set_tags(
    state: State, kind: ResourceKind, uuid: str, tags: tuple[str, ...] | None, owner: str
) -> Iterator[Change]:
    """Give a drive or server exactly these tags; None keeps its own. Raise `UnknownTag`."""
    if tags is None:
        return
    current = state.relations(uuid).tags
    for tag in sorted(current.difference(tags)):  # first, to make room for others
        yield Fact(tag_stream(tag), ResourceUntagged(uuid))
    for tag in dict.fromkeys(tags):
        if _own_tag(state, tag, owner) is None:
            raise UnknownTag(tag)
        if tag not in current:
            yield Fact(tag_stream(tag), ResourceTagged(kind, uuid))


def check_tagging(fact: Fact, state: State, quotas: Quotas) -> None:
    """Raise `QuotaExceeded` if the fact has put a tag on too many things, or too many on one."""
    if not isinstance(fact.event, ResourceTagged):
        return
    uuid = fact.event.uuid
    if 0 < quotas.tags_per_thing < len(state.relations(uuid).tags):
        raise QuotaExceeded("tags-per-thing", quotas.tags_per_thing)
    tag = state.tag(fact.stream.partition("-")[2])
    if tag is not None and 0 < quotas.things_per_tag < len(tag.resources):
        raise QuotaExceeded("things-per-tag", quotas.things_per_tag)


def changes_checked(command: Command, quotas: Quotas) -> Callable[[Fact], None]:
    """Return what raises `QuotaExceeded` once the facts of a command have changed too many tags.

    A thing can be deleted whatever its tags; of several, fewer can be named.
    """
    limit = 0 if _is_about_one(command) else quotas.tag_changes
    changes = 0

    def check(fact: Fact) -> None:
        nonlocal changes
        changes += isinstance(fact.event, ResourceTagged | ResourceUntagged)
        if 0 < limit < changes:
            raise QuotaExceeded("tag-changes", limit)

    return check


def _is_about_one(command: Command) -> bool:
    match command:
        case DeleteDrives(drives=things) | DeleteServers(servers=things):
            return len(things) == 1
        case CreateDrives() | EditDrives() | CreateServers() | EditServers():
            return False
        case CreateTags() | EditTag():
            return False
        case _:
            return True


def _tag_to_change(state: State, uuid: str, owner: str) -> Tag:
    tag = _own_tag(state, uuid, owner)
    if tag is None:
        raise TagNotFound(uuid)
    return tag


def _own_tag(state: State, uuid: str, owner: str) -> Tag | None:
    tag = state.tag(uuid)
    return tag if tag is not None and tag.owner == owner else None


def _tag_resource(state: State, tag: str, uuid: str, owner: str) -> Fact:
    """Tag a drive or server of the account; the uuid tells which of the two it is."""
    drive = state.drive(uuid)
    if drive is not None and drive.owner == owner:
        return Fact(tag_stream(tag), ResourceTagged("drives", uuid))
    server = state.server(uuid)
    if server is not None and server.owner == owner:
        return Fact(tag_stream(tag), ResourceTagged("servers", uuid))
    raise ResourceNotFound(uuid)
