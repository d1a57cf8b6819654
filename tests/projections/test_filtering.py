"""Lists that are filtered: always what a model of plain lists would leave of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.commands.drives import CreateDrives, NewDrive
from ledger.domain.commands.servers import CreateServers, NewServer
from ledger.domain.commands.tags import CreateTags, NewTag
from projections.tables import fold_case
from projections.views.filters import Condition, NamedLookup
from tests.support.opened import Opened
from tests.support.read_models import drives_of, servers_of, tags_of
from tests.support.world import ME, SOMEBODY_ELSE, disk, machine

NAMES = ("web", "Web", "web-1", "db%", "d_b", "", "zoë", "two words", "a'b")
TAG_NAMES = ("fleet", "old", "fleet")


class Thing(NamedTuple):
    """A drive or server of the model, and the tags it bears by their numbers."""

    uuid: str
    name: str
    tags: frozenset[int]


def things(kind: str) -> list[Thing]:
    """Two of each name, with every combination of the tags among them."""
    return [
        Thing(f"{kind}{nth}", name, frozenset(tag for tag in range(3) if nth >> tag & 1))
        for nth, name in enumerate(NAMES * 2)
    ]


def tag_uuid(tag: int) -> str:
    return f"tag{tag}"


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """All of the things and the tags; and somebody else's of the same names."""
    file: Path = tmp_path_factory.mktemp("filtering") / "ledger.sqlite"
    with Opened(file) as opened:
        for owner, prefix in ((ME, ""), (SOMEBODY_ELSE, "their-")):
            opened.do(
                *(
                    CreateDrives(owner, (NewDrive(prefix + drive.uuid, disk(drive.name)),), "blank")
                    for drive in things("d")
                ),
                *(
                    CreateServers(
                        owner, (NewServer(prefix + s.uuid, machine(s.name), (), (), "hush"),)
                    )
                    for s in things("s")
                ),
                *(
                    CreateTags(
                        owner,
                        (NewTag(prefix + tag_uuid(tag), name, {}, bearers(tag, prefix)),),
                    )
                    for tag, name in enumerate(TAG_NAMES)
                ),
            )
        yield opened


def bearers(tag: int, prefix: str) -> tuple[str, ...]:
    return tuple(prefix + thing.uuid for thing in things("d") + things("s") if tag in thing.tags)


def holds(condition: Condition, thing: Thing) -> bool:
    """What the condition says of a thing, told again."""
    wanted = condition.alternatives
    match condition.lookup:
        case "uuid":
            return thing.uuid in wanted
        case "name":
            return thing.name in wanted
        case "name_contains":
            return any(part.casefold() in thing.name.casefold() for part in wanted)
        case "tag":
            return any(tag_uuid(tag) in wanted for tag in thing.tags)
        case "tag_name":
            return any(TAG_NAMES[tag] in wanted for tag in thing.tags)


LOOKED_UP: dict[NamedLookup, tuple[str, ...]] = {
    "uuid": (*(f"{kind}{nth}" for kind in "ds" for nth in range(20)), "their-d0"),
    "name": (*NAMES, "WEB", "nothing"),
    "name_contains": (*NAMES, "w", "W", "%", "_", "-", "ë", "o", "nothing"),
    "tag": ("tag0", "tag1", "tag2", "their-tag0", "nothing"),
    "tag_name": (*TAG_NAMES, "FLEET", "nothing"),
}


def of(lookup: NamedLookup) -> st.SearchStrategy[Condition]:
    texts = st.lists(st.sampled_from(LOOKED_UP[lookup]), min_size=1, max_size=4)
    if lookup == "name_contains":
        texts = texts.map(lambda parts: list(map(fold_case, parts)))
    return st.builds(Condition, st.just(lookup), texts.map(tuple))


CONDITIONS = st.lists(st.sampled_from([*LOOKED_UP]).flatmap(of), max_size=3)


@given(conditions=CONDITIONS, limit=st.integers(-1, 5), offset=st.integers(0, 5))
def test_a_filtered_list_has_what_meets_every_condition(
    listed: Opened, conditions: list[Condition], limit: int, offset: int
) -> None:
    """One alternative of each; exact texts; in the order of the whole list, page by page.

    Searched or not: only which is quicker depends on the conditions.
    """
    with listed.snapshot() as snapshot:
        drives = drives_of(snapshot, ME, conditions, limit=limit, offset=offset)
        servers = servers_of(snapshot, ME, conditions, limit=limit, offset=offset)
        counts = snapshot.count("drives", ME, conditions), snapshot.count("servers", ME, conditions)
        found = [
            snapshot.search(kind, ME, conditions, limit=limit, offset=offset)
            for kind in ("drives", "servers")
        ]
    for nth, (shown, kind) in enumerate(((drives, "d"), (servers, "s"))):
        left = [t.uuid for t in things(kind) if all(holds(c, t) for c in conditions)]
        page = left[offset:] if limit < 0 else left[offset : offset + limit]
        assert (counts[nth], [view.uuid for view in shown]) == (len(left), page)
        assert found[nth] == (len(left), page)


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        (Condition("name", ("fleet",)), ["tag0", "tag2"]),
        (Condition("name_contains", ("l",)), ["tag0", "tag1", "tag2"]),
        (Condition("uuid", ("tag1", "their-tag0")), ["tag1"]),
    ],
)
def test_tags_are_filtered_likewise(listed: Opened, condition: Condition, left: list[str]) -> None:
    """By uuid and name."""
    with listed.snapshot() as snapshot:
        assert [tag.uuid for tag in tags_of(snapshot, ME, (condition,))] == left
        assert snapshot.count("tags", ME, (condition,)) == len(left)


def test_every_lookup_is_tested_here() -> None:
    """A new one must be given to these tests too."""
    assert LOOKED_UP.keys() == set(get_args(NamedLookup))


def test_conditions_of_one_kind_must_hold_together(listed: Opened) -> None:
    """Two tags as two conditions: both are borne; as alternatives: one of them is."""
    both = [Condition("tag", ("tag0",)), Condition("tag", ("tag1",))]
    either = [Condition("tag", ("tag0", "tag1"))]
    with listed.snapshot() as snapshot:
        assert snapshot.count("drives", ME, both) == sum({0, 1} <= t.tags for t in things("d"))
        assert snapshot.count("drives", ME, either) == sum(
            bool({0, 1} & t.tags) for t in things("d")
        )
