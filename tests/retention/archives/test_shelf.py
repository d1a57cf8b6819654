"""All archives together, against a model that has everything in lists."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ledger.archives.shelf
from ledger.archives import ArchivedTree, ArchiveMissing, BadArchive, Shelf, write_archive
from ledger.store.seam import LoggedEvent
from tests.retention.archives.making import FEW, history, logged, tree, trees_of

NAMES = ["a", "b", "c", "d"]
LAST = 60


@dataclass
class Model:
    """What each archive holds. Each event and job is in one of them, as the ledger has it."""

    events: dict[str, list[LoggedEvent]]
    trees: dict[str, list[ArchivedTree]]

    def all_events(self) -> list[LoggedEvent]:
        return sorted(e for events in self.events.values() for e in events)

    def all_trees(self) -> list[ArchivedTree]:
        return [tree for trees in self.trees.values() for tree in trees]


@st.composite
def shares(draw: st.DrawFn) -> list[tuple[list[LoggedEvent], list[ArchivedTree]]]:
    """What four archives hold between them: whole streams, whose events lie among each other's."""
    of_stream = draw(st.lists(st.integers(0, 3), min_size=8, max_size=8))
    streams = draw(st.lists(st.integers(0, 7), min_size=1, max_size=LAST - 10))
    events = [
        logged(position, f"job-{stream}", position, b"%d" % position)
        for position, stream in enumerate(streams, start=1)
    ]
    found = []
    for nth in range(len(NAMES)):
        mine = [e for e in events if of_stream[int(e.stream.removeprefix("job-"))] == nth]
        found.append((mine, trees_of(mine, draw(st.integers(LAST - 10, LAST)))))
    return found


def check_same(shelf: Shelf, model: Model) -> None:
    assert shelf.names() == sorted(model.events)
    for stream in [f"job-{nth}" for nth in range(9)]:
        expected = [e for e in model.all_events() if e.stream == stream]
        assert shelf.stream(stream) == (expected or None)
    for job in [f"{nth}" for nth in range(9)]:
        mine = [t for t in model.all_trees() if job in {one.uuid for one in t.jobs}]
        assert shelf.tree_of(job) == (mine[0] if mine else None)
    for owner in ["owner-0", "owner-1", "owner-2"]:
        for position in range(LAST + 1):
            expected_trees = [
                t
                for t in model.all_trees()
                if t.owner == owner and t.jobs[0].first <= position < t.discarded
            ]
            expected_trees.sort(key=lambda one: one.jobs[0].first)
            assert shelf.trees(owner, position) == expected_trees
    for first, last in [(0, LAST), (3, 9), (5, 5), (9, 3), (LAST, LAST + 5)]:
        assert shelf.leaves(first, last) == {
            e.leaf_index: e.leaf for e in model.all_events() if first <= e.leaf_index <= last
        }
    for after in [0, 1, 7, LAST]:
        assert list(shelf.events(after)) == [e for e in model.all_events() if e.position > after]


acts = st.lists(st.tuples(st.sampled_from(NAMES), st.none() | st.integers(0, 3)), max_size=6)


@given(shares(), acts)
def test_a_shelf_is_its_archives(
    shares: list[tuple[list[LoggedEvent], list[ArchivedTree]]], acts: list[tuple[str, int | None]]
) -> None:
    """Every look-up finds what the archives hold, as they are added, replaced and removed."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger.archives.shelf, "CACHED_INDEXES_MAX", 2)
        patch.setattr(ledger.archives.writer, "FRAME_EVENTS", 3)
        path, shelf = Path(directory), Shelf(Path(directory))
        held: dict[str, int] = {}
        for name, share in acts:
            for other in [other for other in held if other == name or held[other] == share]:
                del held[other]
                if other != name or share is None:
                    (path / f"{other}.jsonl.zst").unlink()
            if share is not None:
                held[name] = share
                write_archive(path, name, *shares[share])
            model = Model(
                {name: shares[share][0] for name, share in held.items()},
                {name: shares[share][1] for name, share in held.items()},
            )
            check_same(shelf, model)


def test_no_directory(tmp_path: Path) -> None:
    """Before the first compaction there is nothing, and no directory either."""
    check_same(Shelf(tmp_path / "archive"), Model({}, {}))


def test_a_directory_that_cannot_be_read(tmp_path: Path) -> None:
    """Where one cannot look, it is not said that there is nothing."""
    (tmp_path / "archive").touch()
    with pytest.raises(BadArchive, match="Not a directory"):
        Shelf(tmp_path / "archive").stream("job-1")


def test_only_archives_are_looked_at(tmp_path: Path) -> None:
    """Parts, other files and names that no archive has are not taken for archives."""
    for name in ["a.jsonl.zst.part", "b.jsonl", ".c.jsonl.zst", ".jsonl.zst", "d e.jsonl.zst"]:
        (tmp_path / name).write_bytes(b"something else")
    shelf = Shelf(tmp_path)
    assert shelf.names() == []
    assert shelf.stream("job-1") is None
    for name in ["../a", "", "b"]:
        with pytest.raises(ArchiveMissing):
            shelf.get(name)


def test_trees_of_several_jobs(tmp_path: Path) -> None:
    """A tree is found by any of its jobs, from its first event until it was discarded."""
    whole = tree("owner", 50, ("0", 4, 16), ("1", 5, 9), ("2", 6, 14))
    events = [event for event in history(range(4, 17)) if event.stream != "job-3"]
    write_archive(tmp_path, "a", events, [whole])
    shelf = Shelf(tmp_path)
    assert [shelf.tree_of(job) for job in "0123"] == [whole, whole, whole, None]
    assert [shelf.trees("owner", at) for at in (3, 4, 49, 50)] == [[], [whole], [whole], []]
    assert shelf.trees("somebody", 20) == []


def test_the_newest_archive_is_believed(tmp_path: Path) -> None:
    """A stream, or job, that two archives have (as none should) is that of the newer one."""
    for name, positions in [("x", range(1, 5)), ("z", range(41, 45)), ("y", range(81, 85))]:
        events = [logged(position, "job-1", state=name.encode()) for position in positions]
        write_archive(tmp_path, name, events, trees_of(events, 99))
    shelf = Shelf(tmp_path)
    assert [event.position for event in shelf.stream("job-1") or []] == [81, 82, 83, 84]
    found = shelf.tree_of("1")
    assert found is not None
    assert found.first == 81


def test_archives_are_opened_when_they_are_reached(tmp_path: Path) -> None:
    """What is wrong with a later archive is met where it begins, not before."""
    early, late = history(range(1, 20)), history(range(20, 40))
    write_archive(tmp_path, "early", early, [])
    write_archive(tmp_path, "late", late, [])
    events = Shelf(tmp_path).events()
    assert next(events) == early[0]
    (tmp_path / "late.jsonl.zst").unlink()
    assert [next(events) for _ in early[1:]] == early[1:]
    with pytest.raises(ArchiveMissing):
        next(events)


def test_a_bad_archive_is_named(tmp_path: Path) -> None:
    """An archive that cannot be read is not passed over: what is sought may be in it."""
    write_archive(tmp_path, "good", history(range(1, 20)), [])
    (tmp_path / "bad.jsonl.zst").write_bytes(b"something else")
    shelf = Shelf(tmp_path)
    assert shelf.names() == ["bad", "good"]
    with pytest.raises(BadArchive, match=r"bad\.jsonl\.zst"):
        shelf.stream("job-9")
    with pytest.raises(BadArchive, match=r"bad\.jsonl\.zst"):
        list(shelf.events())
    assert list(shelf.get("good").events()) == history(range(1, 20))


def test_few_indexes_are_kept(tmp_path: Path) -> None:
    """The last ones that were used are not read again, unless the file is another one."""
    names = [f"a-{nth}" for nth in range(ledger.archives.shelf.CACHED_INDEXES_MAX + 1)]
    for nth, name in enumerate(names):
        write_archive(tmp_path, name, history(range(1 + nth * FEW, 1 + (nth + 1) * FEW)), [])
    shelf = Shelf(tmp_path)
    first = shelf.get(names[0])
    assert shelf.get(names[0]) is first
    for name in names[1:-1]:
        shelf.get(name)
    assert shelf.get(names[0]) is first
    kept = shelf.get(names[-1])  # for which the one is dropped that was used longest ago
    assert shelf.get(names[0]) is first
    second = shelf.get(names[1])
    assert shelf.get(names[1]) is second
    assert shelf.get(names[-1]) is kept

    write_archive(tmp_path, names[0], history(range(100, 110)), [])
    assert shelf.get(names[0]) is not first
    assert next(shelf.get(names[0]).events()).position == 100
    (tmp_path / f"{names[0]}.jsonl.zst").unlink()
    with pytest.raises(ArchiveMissing):
        shelf.get(names[0])
