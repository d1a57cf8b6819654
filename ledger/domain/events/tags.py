"""What happens to a tag."""

from ledger.domain.events.values import Closed, ResourceKind


class TagCreated(Closed, frozen=True):
    owner: str
    name: str
    meta: dict[str, str] = {}


class TagChanged(Closed, frozen=True):
    name: str
    meta: dict[str, str]


class ResourceTagged(Closed, frozen=True):
    kind: ResourceKind
    uuid: str


class ResourceUntagged(Closed, frozen=True):
    uuid: str


class TagDeleted(Closed, frozen=True):
    pass


TagEvent = TagCreated | TagChanged | ResourceTagged | ResourceUntagged | TagDeleted


def tag_stream(uuid: str) -> str:
    return f"tag-{uuid}"
