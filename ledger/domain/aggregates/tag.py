"""A tag: its state, and how events change it."""

from datetime import datetime
from typing import assert_never

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.events import Recorded
from ledger.domain.events.tags import (
    ResourceTagged,
    ResourceUntagged,
    TagChanged,
    TagCreated,
    TagDeleted,
    TagEvent,
)
from ledger.domain.events.values import ResourceKind


class Tag(Struct, frozen=True, gc=False):
    """A tag, folded from its stream; `resources` are the drives and servers that have it.

    Thousands may, so each event changes a persistent map instead of copying what is there.
    """

    uuid: str
    owner: str
    name: str
    meta: dict[str, str]
    created: datetime
    resources: Map[str, ResourceKind] = Map()
    deleted: datetime | None = None


def evolve(tag: Tag | None, uuid: str, recorded: Recorded[TagEvent]) -> Tag:
    """Return the tag after one more event of its stream."""
    event = recorded.event
    if tag is None:
        assert isinstance(event, TagCreated), f"a tag's stream begins with {event}"
        return Tag(uuid, event.owner, event.name, event.meta, recorded.recorded_at)
    match event:
        case TagChanged():
            return replace(tag, name=event.name, meta=event.meta)
        case ResourceTagged():
            return replace(tag, resources=tag.resources.set(event.uuid, event.kind))
        case ResourceUntagged():
            is_there = event.uuid in tag.resources
            left = tag.resources.delete(event.uuid) if is_there else tag.resources
            return replace(tag, resources=left)
        case TagDeleted():
            return replace(tag, resources=Map(), deleted=recorded.recorded_at)
        case TagCreated():
            raise AssertionError(f"tag {uuid} created twice")
        case _:
            assert_never(event)
