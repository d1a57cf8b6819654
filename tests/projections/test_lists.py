"""Lists of any length are read in batches whose size is bounded in bytes, not in objects."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.commands.drives import CreateDrives, NewDrive
from ledger.domain.commands.jobs import CreateJob
from ledger.domain.commands.tags import CreateTags, NewTag
from projections.tables import TABLES
from projections.views import lists
from projections.views.filters import Condition
from projections.views.jobs import LongTree
from projections.views.lists import Sized, cut
from projections.views.walks import Walked
from tests.support.opened import Opened
from tests.support.world import ME, SOMEBODY_ELSE, disk

SIZE = 100


def bytes_read(batch: Iterable[Sized]) -> int:
    """What several objects need is read once for them."""
    return sum({each.read: each.size for each in batch}.values())


families = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 150), min_size=1)


@given(families, st.data())
def test_a_batch_is_as_long_as_it_may_be_and_no_longer(
    sizes: dict[str, int], data: st.DataObject
) -> None:
    """Nothing is left out or moved; only one object that is too long by itself exceeds the size."""
    read = data.draw(st.lists(st.sampled_from(sorted(sizes)), max_size=40))
    objects = [Sized(str(number), each, sizes[each]) for number, each in enumerate(read)]
    by_uuid = {each.uuid: each for each in objects}
    batches = [[by_uuid[uuid] for uuid in batch] for batch in cut(objects, SIZE)]
    assert [each for batch in batches for each in batch] == objects
    for batch, following in zip_longest(batches, batches[1:]):
        needed = {each.read for each in batch if each.size}
        assert bytes_read(batch) <= SIZE or len(needed) == 1
        if following is not None:
            assert bytes_read([*batch, following[0]]) > SIZE


def test_a_batch_has_so_many_objects_at_the_most() -> None:
    """However small they are."""
    objects = [Sized(str(number), "a", 1) for number in range(2 * lists.STREAM_ROWS + 1)]
    lengths = [len(batch) for batch in cut(objects, SIZE)]
    assert lengths == [lists.STREAM_ROWS, lists.STREAM_ROWS, 1]


@pytest.mark.parametrize("kind", ["drives", "tags"])
def test_long_objects_come_a_few_at_a_time(opened: Opened, kind: Walked) -> None:
    """Those of other accounts, and those that are gone, come not at all."""
    meta = {"note": "x" * 10_000}
    for owner, names in ((ME, "abcde"), (SOMEBODY_ELSE, "z")):
        for name in names:
            command = {
                "drives": CreateDrives(owner, (NewDrive(name, disk(meta=meta)),), "blank"),
                "tags": CreateTags(owner, (NewTag(name, name, meta),)),
            }[kind]
            opened.do(command)
    with opened.views.long_snapshot() as snapshot:
        listed = list(snapshot.listed(kind, ME, limit=-1))
        assert listed == list("abcde")
        assert list(snapshot.listed(kind, ME, limit=2, offset=1)) == ["b", "c"]
        batches = list(snapshot.batches(kind, [*listed, "gone"], 25_000))
    assert batches == [["a", "b"], ["c", "d"], ["e"]]


@pytest.mark.parametrize("kind", get_args(Walked))
def test_no_list_reads_a_whole_table(told: Opened, kind: Walked) -> None:
    """What others have costs an account nothing, whether it lists its own or asks for one thing."""
    statements: list[str] = []
    with told.snapshot() as snapshot:
        uuids = [*snapshot.listed(kind, ME, limit=-1)]
        assert uuids
        snapshot._connection.set_trace_callback(statements.append)
        assert [*snapshot.listed(kind, ME, limit=2)] == uuids[:2]
        assert [*chain.from_iterable(snapshot.batches(kind, uuids, SIZE))] == uuids
        among: Callable[[Sequence[str], str], Sequence[object]]
        among = getattr(snapshot, f"{kind}_among")
        assert len(among(uuids, ME)) == len(uuids)
        assert snapshot.walk(kind, ME, limit=2).uuids
        if kind != "jobs":
            one = [Condition("uuid", (uuids[0],))]
            assert snapshot.walk(kind, ME, one, limit=2).uuids == uuids[:1]
        snapshot._connection.set_trace_callback(None)
        plans = [
            (detail, statement)
            for statement in statements
            for *_, detail in snapshot._connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    tables = [f"{table.name}_g1" for table in TABLES] + ["looked_at", "this"]
    assert not [
        plan for plan in plans if plan[0].startswith(tuple(f"SCAN {table}" for table in tables))
    ]


def test_what_names_an_object_makes_it_longer(opened: Opened) -> None:
    """A tag on many drives is a long object."""
    drives = tuple(NewDrive(f"d{number}", disk()) for number in range(40))
    borne = tuple(drive.drive for drive in drives)
    opened.do(
        CreateDrives(ME, drives, "blank"),
        CreateTags(ME, (NewTag("few", "few"), NewTag("many", "many", {}, borne))),
        CreateTags(ME, (NewTag("fewer", "fewer"),)),
    )
    with opened.views.long_snapshot() as snapshot:
        batches = list(snapshot.batches("tags", ["few", "fewer", "many"], 4_000))
    assert batches == [["few", "fewer"], ["many"]]


def test_a_tree_of_jobs_is_read_once_for_those_that_have_sub_jobs(opened: Opened) -> None:
    """However long it is, they are in one batch; a sub-job without sub-jobs is read by itself."""
    opened.do(CreateJob(ME, "p", "x"), CreateJob(ME, "q", "x"), CreateJob(ME, "r", "x"))
    opened.do(CreateJob(ME, "pp", "x", parent="p"))
    children = [f"c{number}" for number in range(30)]
    opened.do(*(CreateJob(ME, child, "x", parent="pp") for child in children))
    with opened.views.long_snapshot() as snapshot:
        batches = list(snapshot.batches("jobs", ["q", "r", *children, "p", "pp"], 4_000))
        trees = [snapshot.jobs_among(batch, ME) for batch in batches]
    assert batches[0] == ["q", "r", *children[:4]]
    assert batches[-1] == ["p", "pp"]
    assert [[tree.uuid for tree in some] for some in trees] == batches


def test_what_is_too_long_together_does_not_fit(opened: Opened) -> None:
    """Also a single object; what is read once counts once, and what is gone not at all."""
    opened.do(CreateJob(ME, "p", "x"), CreateJob(ME, "q", "x"))
    children = [f"c{number}" for number in range(9)]
    opened.do(*(CreateJob(ME, child, "x", parent="p") for child in children))
    with opened.views.long_snapshot() as snapshot:
        assert snapshot.fitting("jobs", ["p"], 5_999) is None
        assert snapshot.fitting("jobs", ["p", "gone"], 6_000) == ["p"]
        assert snapshot.fitting("jobs", ["p", "q"], 6_000) is None
        assert snapshot.fitting("jobs", [*children, "q"], 6_000) == [*children, "q"]


def test_a_long_tree_is_not_read(opened: Opened) -> None:
    """Whichever of its jobs is asked for; nor is it told to others that it is long."""
    opened.do(CreateJob(ME, "p", "x"), CreateJob(ME, "c", "x", parent="p"))
    with opened.views.long_snapshot() as snapshot:
        for job in ("p", "c"):
            assert snapshot.family(job, ME, 2) == snapshot.family(job, ME)
            with pytest.raises(LongTree):
                snapshot.family(job, ME, 1)
            assert not snapshot.family(job, SOMEBODY_ELSE, 1).jobs
