"""Creating, changing and deleting tags, and tagging drives and servers."""

import sys

import pytest
from immutables import Map

from ledger.domain.aggregates.relations import changed_by, relations_of
from ledger.domain.aggregates.tag import Tag, evolve
from ledger.domain.commands import Command
from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    EditDrive,
    NewDrive,
    ResizeDrive,
)
from ledger.domain.commands.servers import (
    CloneServer,
    CreateServers,
    DeleteServers,
    EditServer,
    NewServer,
    ServerEdit,
)
from ledger.domain.commands.tags import CreateTags, DeleteTag, EditTag, NewTag
from ledger.domain.context import DropVncPassword, Fact
from ledger.domain.errors import AlreadyExists
from ledger.domain.errors.tags import ResourceNotFound, TagNotFound, UnknownTag
from ledger.domain.events import Event, Recorded
from ledger.domain.events.drives import DriveDeleted
from ledger.domain.events.servers import ServerDeleted
from ledger.domain.events.tags import (
    ResourceTagged,
    ResourceUntagged,
    TagChanged,
    TagCreated,
    TagDeleted,
)
from ledger.domain.events.values import ResourceKind
from ledger.store.unit_of_work import NO_STREAM
from tests.support.deciding import Outcome, given
from tests.support.world import (
    GIB,
    ME,
    SOMEBODY_ELSE,
    START,
    disk,
    machine,
    mount,
    ready_drive,
    server_created,
)

THINGS = (
    ready_drive("d"),
    ready_drive("e"),
    server_created("s", mount("d")),
    ready_drive("theirs", owner=SOMEBODY_ELSE),
    server_created("their-server", owner=SOMEBODY_ELSE),
)
TAGGED = (
    THINGS,
    CreateTags(ME, (NewTag("t", "fleet", {"k": "v"}, ("d", "s")), NewTag("u", "other"))),
    CreateTags(SOMEBODY_ELSE, (NewTag("their-tag", "fleet"),)),
)


def tag_drive(*tags: str) -> EditDrive:
    return EditDrive(ME, "d", tags=tags)


def tag_server(*tags: str) -> EditServer:
    return EditServer(ME, "s", ServerEdit(), tags=tags)


def borne(outcome: Outcome, uuid: str) -> frozenset[str]:
    return outcome.world.relations(uuid).tags


# Tags themselves


def test_tags_are_created_with_their_resources() -> None:
    """Drives and servers, each once, in the order given; which of both, the ledger knows."""
    outcome = given(THINGS).when(
        CreateTags(ME, (NewTag("t", "fleet", {"k": "v"}, ("s", "d", "s")), NewTag("u", "fleet")))
    )
    outcome.then(
        Fact("tag-t", TagCreated(ME, "fleet", {"k": "v"})),
        Fact("tag-t", ResourceTagged("servers", "s")),
        Fact("tag-t", ResourceTagged("drives", "d")),
        Fact("tag-u", TagCreated(ME, "fleet", {})),
    )
    assert borne(outcome, "d") == borne(outcome, "s") == {"t"}


@pytest.mark.parametrize("uuid", ["nothing", "theirs", "their-server", "gone", "t"])
def test_only_own_drives_and_servers_can_be_tagged(uuid: str) -> None:
    """And then none of the tags is made or changed."""
    world = given(TAGGED, ready_drive("gone"), DeleteDrives(ME, ("gone",)))
    made = world.when(CreateTags(ME, (NewTag("v", "x"), NewTag("w", "x", {}, ("d", uuid)))))
    made.then_refused(ResourceNotFound, uuid, point="resources")
    assert made.world.cached_stream("tag-v") == NO_STREAM
    world.when(EditTag(ME, "t", "new name", resources=(uuid,))).then_refused(
        ResourceNotFound, uuid, point="resources"
    )


def test_a_tag_cannot_be_made_twice() -> None:
    """A uuid that is taken, be it by a deleted tag, is refused; a name is not."""
    world = given(TAGGED, DeleteTag(ME, "u"))
    for uuid in ("t", "u"):
        world.when(CreateTags(ME, (NewTag(uuid, "x"),))).then_refused(AlreadyExists, uuid)


EDITS: list[tuple[EditTag, tuple[Fact, ...]]] = [
    (EditTag(ME, "t", "new"), (Fact("tag-t", TagChanged("new", {"k": "v"})),)),
    (EditTag(ME, "t", meta={}), (Fact("tag-t", TagChanged("fleet", {})),)),
    (
        EditTag(ME, "t", resources=("e", "s", "e")),
        (
            Fact("tag-t", ResourceUntagged("d")),
            Fact("tag-t", ResourceTagged("drives", "e")),
        ),
    ),
    (
        EditTag(ME, "t", "new", resources=()),
        (
            Fact("tag-t", TagChanged("new", {"k": "v"})),
            Fact("tag-t", ResourceUntagged("d")),
            Fact("tag-t", ResourceUntagged("s")),
        ),
    ),
    (EditTag(ME, "t"), ()),
    (EditTag(ME, "t", "fleet", {"k": "v"}, ("s", "d")), ()),
]


@pytest.mark.parametrize(("command", "facts"), EDITS, ids=repr)
def test_an_edit_changes_only_the_given_fields_of_a_tag(
    command: EditTag, facts: tuple[Fact, ...]
) -> None:
    """Meta and resources are replaced as a whole; what holds already is not told again."""
    given(TAGGED).when(command).then(*facts)


def test_a_deleted_tag_is_removed_from_its_resources() -> None:
    """One event: its bearers need not be told."""
    outcome = given(TAGGED).when(DeleteTag(ME, "t"))
    outcome.then(Fact("tag-t", TagDeleted()))
    assert borne(outcome, "d") == borne(outcome, "s") == frozenset()
    assert outcome.world.tag("t") is None


@pytest.mark.parametrize("uuid", ["nothing", "their-tag", "gone"])
def test_only_own_tags_are_found(uuid: str) -> None:
    """What never was, another's and a deleted one alike; `tags` is at fault where it names it."""
    world = given(TAGGED, CreateTags(ME, (NewTag("gone", "x"),)), DeleteTag(ME, "gone"))
    for command in (EditTag(ME, uuid, "x"), DeleteTag(ME, uuid)):
        world.when(command).then_refused(TagNotFound, uuid)
    for naming in (
        tag_drive("t", uuid),
        tag_server(uuid),
        CreateDrives(ME, (NewDrive("new", disk(), tags=("t", uuid)),), "blank"),
        CreateServers(ME, (NewServer("new", machine(), (), (), "secret", tags=("t", uuid)),)),
        CloneDrive(ME, "d", "new", "j", tags=("t", uuid)),
        CloneServer(ME, "s", "new", "j", tags=("t", uuid)),
        ResizeDrive(ME, "d", 2 * GIB, tags=("t", uuid)),
    ):
        world.when(naming).then_refused(UnknownTag, uuid, point="tags")


def test_what_is_made_with_tags_has_them_at_once() -> None:
    """In the same transaction, each tag once."""
    world = given(TAGGED)
    new = world.when(CreateDrives(ME, (NewDrive("new", disk(), tags=("t", "u", "t")),), "blank"))
    assert new.changes[1:] == [
        Fact("tag-t", ResourceTagged("drives", "new")),
        Fact("tag-u", ResourceTagged("drives", "new")),
    ]
    made = world.when(CreateServers(ME, (NewServer("new", machine(), (), (), "x", ("u",)),)))
    assert made.events_of("tag-u") == [ResourceTagged("servers", "new")]
    copied = world.when(CloneDrive(ME, "d", "new", "j", tags=("u",)))
    assert copied.events_of("tag-u") == [ResourceTagged("drives", "new")]
    assert world.when(CloneDrive(ME, "d", "new", "j")).events_of("tag-t") == []


@pytest.mark.parametrize("event", [ResourceTagged("drives", "new"), ResourceUntagged("d7")])
def test_an_event_of_a_tag_costs_the_same_however_many_bear_it(event: Event) -> None:
    """It copies only a few of them: a fold of thousands would else take as long as of millions."""
    things = [f"d{number}" for number in range(5_000)]
    before = Tag("t", ME, "oak", {}, START, Map(dict.fromkeys(things, "drives")))
    held = list(map(sys.getrefcount, things))
    after = evolve(before, "t", Recorded(START, ME, "", event))
    copied = sum(now > then for now, then in zip(map(sys.getrefcount, things), held, strict=True))
    assert abs(len(after.resources) - len(before.resources)) == 1
    assert copied < 100


# Tagging by a change of what bears the tag


@pytest.mark.parametrize(
    ("command", "kind", "uuid"),
    [(tag_drive("u", "u"), "drives", "d"), (tag_server("u", "u"), "servers", "s")],
    ids=["drive", "server"],
)
def test_a_drive_or_server_gets_the_given_tags(command: Command, kind: str, uuid: str) -> None:
    """The list is replaced as a whole: the old one is taken off, and the new one put on, once."""
    outcome = given(TAGGED).when(command)
    outcome.then(
        Fact("tag-t", ResourceUntagged(uuid)),
        Fact("tag-u", ResourceTagged(kind, uuid)),  # type: ignore[arg-type]
    )
    assert borne(outcome, uuid) == {"u"}


@pytest.mark.parametrize("command", [tag_drive("t"), tag_server("t")], ids=["drive", "server"])
def test_giving_the_same_tags_again_changes_nothing(command: Command) -> None:
    """No event."""
    given(TAGGED).when(command).then()


def test_a_refused_tag_refuses_the_whole_edit() -> None:
    """Not even the name changes."""
    outcome = given(TAGGED).when(EditDrive(ME, "d", name="x", tags=("u", "nothing")))
    outcome.then_refused(UnknownTag, point="tags")
    drive = outcome.world.drive("d")
    assert drive is not None
    assert drive.definition == disk()


# What becomes of tags


def test_a_deleted_drive_or_server_loses_its_tags() -> None:
    """They stay with the others."""
    outcome = given(TAGGED).when(DeleteServers(ME, ("s",), "disks"))
    outcome.then(
        Fact("tag-t", ResourceUntagged("s")),
        Fact("server-s", ServerDeleted()),
        DropVncPassword("s"),
        Fact("tag-t", ResourceUntagged("d")),
        Fact("drive-d", DriveDeleted()),
    )
    tag = outcome.world.tag("t")
    assert isinstance(tag, Tag)
    assert not tag.resources


def test_a_cloned_server_has_the_tags_of_its_source_and_its_drives_have_none() -> None:
    """As on the public API."""
    outcome = given(TAGGED, EditServer(ME, "s", ServerEdit(), tags=("t", "u"))).when(
        CloneServer(ME, "s", "copy", "j")
    )
    assert borne(outcome, "copy") == {"t", "u"}
    assert borne(outcome, "new-1") == frozenset()
    assert outcome.events_of("tag-t") == [ResourceTagged("servers", "copy")]


def test_a_cloned_drive_has_no_tags() -> None:
    """Though its source does."""
    outcome = given(TAGGED).when(CloneDrive(ME, "d", "copy", "j"))
    assert borne(outcome, "copy") == frozenset()
    assert outcome.events_of("tag-t") == []


@pytest.mark.parametrize("event", [ResourceTagged("drives", "a"), ResourceUntagged("a")])
@pytest.mark.parametrize("had", [{}, {"a": "drives"}, {"a": "drives", "b": "servers"}])
def test_an_event_changes_one_thing_of_the_thousands_that_a_tag_may_have(
    event: ResourceTagged | ResourceUntagged,
    had: dict[str, ResourceKind],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others are not looked at: each event of a tag would take as long as it has things."""
    before = Tag("t", ME, "oak", {}, START, Map(had))
    after = evolve(before, "t", Recorded(START, ME, "", event))
    old, new = relations_of(before), relations_of(after)
    monkeypatch.delattr("ledger.domain.aggregates.relations.relations_of")
    assert changed_by(event, before, after) == (old - new, new - old)
