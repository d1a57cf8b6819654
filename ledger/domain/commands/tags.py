"""Commands about tags."""

from msgspec import Struct


class NewTag(Struct, frozen=True, gc=False):
    """`resources` are uuids of drives and servers."""

    tag: str
    name: str
    meta: dict[str, str] = {}
    resources: tuple[str, ...] = ()


class CreateTags(Struct, frozen=True, gc=False):
    """Create tags, all or none."""

    owner: str
    tags: tuple[NewTag, ...]


class EditTag(Struct, frozen=True, gc=False):
    """Change a tag; what is None stays. `resources` replaces all of them."""

    owner: str
    tag: str
    name: str | None = None
    meta: dict[str, str] | None = None
    resources: tuple[str, ...] | None = None


class DeleteTag(Struct, frozen=True, gc=False):
    """Delete a tag, and remove it from everything that has it."""

    owner: str
    tag: str


TagCommand = CreateTags | EditTag | DeleteTag
