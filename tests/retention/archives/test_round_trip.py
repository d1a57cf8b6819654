"""What is archived is read back as it was, to the byte."""

import hashlib
import io
import json
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ledger.archives import Archive, ArchivedTree, write_archive
from ledger.archives.streams import StreamIndex, StreamIndexBuilder
from ledger.store.seam import LoggedEvent
from tests.retention.archives.making import FEW, history, logged, moment, tree

GOLDEN = Path(__file__).parents[2] / "ledger" / "golden_events.jsonl"

positions = st.integers(1, 2**63 - 1)
names = st.sampled_from(["job-1", "job-2", "drive-1"]) | st.text(max_size=8)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
states = (
    st.binary(max_size=64)
    | jsons.map(lambda value: json.dumps(value).encode())
    | jsons.map(lambda value: json.dumps(value, separators=(",", ":")).encode())
    | jsons.map(lambda value: json.dumps(value, indent=1, ensure_ascii=False).encode())
)


@st.composite
def histories(draw: st.DrawFn) -> list[LoggedEvent]:
    """Events with any stream, topic and bytes, whose leaf indexes may lie in any order."""
    return [
        logged(
            position,
            draw(names),
            draw(st.integers(-(2**63), 2**63 - 1)),
            draw(states),
            leaf_index=draw(positions),
            topic=draw(st.text(max_size=8)),
        )
        for position in sorted(draw(st.sets(positions, max_size=4 * FEW)))
    ]


@given(histories(), st.data())
def test_all_that_is_written_is_read(events: list[LoggedEvent], data: st.DataObject) -> None:
    """Whatever the events are, they come back in order, after a position, by stream and by leaf."""
    after, first, last = (data.draw(positions) for _ in range(3))
    with tempfile.TemporaryDirectory() as directory:
        written = write_archive(Path(directory), "a", events, [])
        archive = Archive.open(Path(directory, "a.jsonl.zst"))
        archive.check(written.digest)
        assert list(archive.events()) == events
        assert list(archive.events(after)) == [e for e in events if e.position > after]
        for stream in {"job-1", *(event.stream for event in events)}:
            assert archive.stream(stream) == [e for e in events if e.stream == stream]
        assert list(archive.leaves(first, last)) == [
            (e.leaf_index, e.leaf) for e in events if first <= e.leaf_index <= last
        ]
        assert archive.count == written.events == len(events)
        assert archive.first == written.first == (events[0].position if events else 0)
        assert archive.last == written.last == (events[-1].position if events else 0)


def test_what_is_written_is_told(tmp_path: Path) -> None:
    """The digest and the size are those of the file, which nobody else may read."""
    written = write_archive(tmp_path, "name", history(range(1, 20)), [])
    file = tmp_path / "name.jsonl.zst"
    assert written.name == Archive.open(file).name == "name"
    assert written.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert written.bytes == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_trees(tmp_path: Path) -> None:
    """Trees are read as they were given, and found by each of their jobs."""
    given = [
        tree("owner", 90, (f"root-{nth}", nth, nth + 3), (f"child-{nth}", nth + 1, nth + 2))
        for nth in range(1, 3 * FEW)
    ]
    write_archive(tmp_path, "a", history(range(1, 20)), given)
    archive = Archive.open(tmp_path / "a.jsonl.zst")
    archive.check()
    assert archive.trees == tuple(given)
    assert isinstance(archive.trees[0], ArchivedTree)
    assert archive.trees[4].jobs[1].last_modified == moment(7)
    assert archive.tree_of("root-3") == archive.tree_of("child-3") == given[2]
    assert archive.tree_of("child-") is None


def test_stored_events_are_lines_that_can_be_read(tmp_path: Path) -> None:
    """Any zstd prints all lines; what the ledger writes stands there as it is, not as base64."""
    golden = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
    events = [
        logged(nth, one["stream"], one["version"], one["state"].encode(), topic=one["topic"])
        for nth, one in enumerate(golden, start=1)
    ]
    write_archive(tmp_path, "a", events, [])
    file = tmp_path / "a.jsonl.zst"
    leaves = [event.leaf.hex() for event in Archive.open(file).events()]
    assert leaves == [one["leaf"] for one in golden]

    packed = io.BytesIO(file.read_bytes())
    reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    lines = [json.loads(line) for line in reader.read().splitlines()]
    assert [line["event"] for line in lines] == [json.loads(one["state"]) for one in golden]
    assert lines[7].keys() == {"position", "leaf_index", "stream", "version", "topic", "event"}


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"\n",
        b"\x00",
        b"\xff",
        b'"\xff"',
        b'"\r"',
        b'"\\ud800"',
        b'{"a":1}\n',
        b' {"a":1}',
        b'{"a": 1}',
        b'{"a":1',
        b'{"a":1}{',
        b'{"a":1,"a":1}',
        b'{"a":"\\u0061"}',
        b"1e400",
        b"NaN",
        b"[" * 100_000,
    ],
)
def test_damaged_events(tmp_path: Path, state: bytes) -> None:
    """An event that is no JSON, or not as the ledger writes it, is archived to the byte."""
    event = logged(1, state=state)
    write_archive(tmp_path, "a", [event], [])
    assert list(Archive.open(tmp_path / "a.jsonl.zst").events()) == [event]


def test_deep_events_are_read_from_deep_code(tmp_path: Path) -> None:
    """However deep an event is, it is read where less of the stack is left than was at writing."""
    events = [
        logged(position, state=b"[" * depth + b"]" * depth)
        for position, depth in enumerate(range(0, 1_200, 7), start=1)
    ]
    write_archive(tmp_path, "a", events, [])
    archive = Archive.open(tmp_path / "a.jsonl.zst")

    def read(deeper: int) -> list[LoggedEvent]:
        return read(deeper - 1) if deeper else list(archive.events())

    assert read(150) == events


def test_a_stream_named_within_anothers_event(tmp_path: Path) -> None:
    """A stream's events are those of its name, not those that speak of it."""
    mine, other = logged(1, "job-1"), logged(2, "job-2", state=b'{"stream":"job-1","version":1}')
    write_archive(tmp_path, "a", [mine, other], [])
    assert Archive.open(tmp_path / "a.jsonl.zst").stream("job-1") == [mine]


def test_many_short_streams(tmp_path: Path) -> None:
    """An index of many streams of one event takes a small part of the file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.archives.writer.FRAME_EVENTS", 2_000)
        names = [
            f"job-{hashlib.sha256(bytes([n % 256, n // 256])).hexdigest()}" for n in range(20_000)
        ]
        events = [logged(nth, name) for nth, name in enumerate(names, start=1)]
        written = write_archive(tmp_path, "a", events, [])
    contents = Archive.open(tmp_path / "a.jsonl.zst").contents
    assert contents.streams.length < written.bytes / 4
    assert contents.streams.length < 12 * len(events)


@given(st.lists(st.lists(st.sampled_from([f"s-{n}" for n in range(12)])), max_size=8))
def test_streams_are_looked_for_where_they_are(frames: list[list[str]]) -> None:
    """The frames of a stream are those from its first to its last; of another there are none."""
    seen = StreamIndexBuilder()
    for nth, streams in enumerate(frames):
        seen.note(nth, streams)
    index = StreamIndex(seen.packed())
    for stream in {name for frame in frames for name in frame}:
        where = [nth for nth, frame in enumerate(frames) if stream in frame]
        assert index.frames(stream) == range(where[0], where[-1] + 1)
    assert not index.frames("s-none")
