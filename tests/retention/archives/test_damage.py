"""Whatever was done to an archive is found, and named."""

import os
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import ledger.archives.layout
from ledger.archives import Archive, ArchiveMissing, BadArchive, Shelf, Written, write_archive
from ledger.archives.layout import (
    FRAME_BYTES_MOST,
    HEADER_BYTES,
    Contents,
    Frame,
    Packed,
    digest_of,
    index,
    pack,
)
from tests.retention.archives.making import FEW, history, small_frames, trees_of

EVENTS = history(range(1, 4 * FEW))
TREES = trees_of(EVENTS, 100)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return write_archive(tmp_path, "a", EVENTS, TREES)


@pytest.fixture
def file(tmp_path: Path, written: Written) -> Path:
    return tmp_path / "a.jsonl.zst"


def check_found(file: Path, reason: str | None = None) -> None:
    """It is found without knowing the digest, and names the file."""
    with pytest.raises(BadArchive, match=reason) as found:
        Archive.open(file).check()
    assert str(found.value).startswith(f"{file}: ")


def check_nothing_false(file: Path) -> None:
    """Each way to read it gives what was written, or fails."""
    reads: list[tuple[Callable[[Archive], object], object]] = [
        (lambda archive: list(archive.events()), EVENTS),
        (lambda archive: archive.stream("job-1"), [e for e in EVENTS if e.stream == "job-1"]),
        (lambda archive: archive.trees, tuple(TREES)),
        (lambda archive: archive.tree_of("1"), TREES[0]),
        (lambda archive: list(archive.leaves(3, 3)), [(3, EVENTS[3].leaf)]),
    ]
    for read, expected in reads:
        with suppress(BadArchive):
            assert read(Archive.open(file)) == expected


@pytest.mark.thorough
def test_every_edited_byte_is_found(file: Path) -> None:
    """Whichever byte is another, reading says so and gives nothing that was not written."""
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        check_found(file)
        check_nothing_false(file)
    file.write_bytes(whole)
    Archive.open(file).check()


def test_every_truncation_is_found(file: Path) -> None:
    """Wherever it is cut off, and whatever is behind its end."""
    whole = file.read_bytes()
    for length in range(len(whole)):
        os.truncate(file, length)
        with pytest.raises(BadArchive):
            Archive.open(file)
        file.write_bytes(whole)
    file.write_bytes(whole + b"\0")
    check_found(file, "does not end as an archive")
    file.write_bytes(whole + whole)
    check_found(file, "do not come to the size")


@given(st.data())
def test_any_edit_is_found(data: st.DataObject) -> None:
    """Parts replaced, removed and inserted, alone and together."""
    with tempfile.TemporaryDirectory() as directory, small_frames():
        path = Path(directory, "a.jsonl.zst")
        written = write_archive(path.parent, "a", EVENTS, TREES)
        whole = edited = path.read_bytes()
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(edited)))
            end = data.draw(st.integers(start, min(len(edited), start + 64)))
            edited = edited[:start] + data.draw(st.binary(max_size=64)) + edited[end:]
        if edited != whole:
            path.write_bytes(edited)
            check_found(path)
            with pytest.raises(BadArchive):
                Archive.open(path).check(written.digest)
            check_nothing_false(path)


@pytest.mark.parametrize("linked", [False, True], ids=["itself", "linked"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["fifo", "directory"])
def test_a_file_that_is_not_regular_is_reported(
    file: Path, make: Callable[[Path], None], *, linked: bool
) -> None:
    """Nothing waits for a FIFO that nobody writes to."""
    archive = Archive.open(file)
    file.unlink()
    make(file)
    if linked:
        file.rename(file.with_name("target"))
        file.symlink_to("target")
    check_found(file, "it is not a regular file")
    with pytest.raises(BadArchive, match="it is not a regular file"):
        archive.check("digest")
    for read in (Shelf(file.parent).get, Shelf(file.parent).size):
        with pytest.raises(BadArchive, match="it is not a regular file"):
            read("a")


# Frames


def frames_of(file: Path) -> tuple[list[bytes], bytes]:
    """The frames and the index, as they lie in the file."""
    whole, start, frames = file.read_bytes(), 0, []
    for frame in Archive.open(file).contents.frames:
        frames.append(whole[start : start + frame.length])
        start += frame.length
    return frames, whole[start:]


@pytest.mark.parametrize(
    "arranged",
    [(1, 0, 2, 3), (0, 1, 3, 2), (0, 2, 3), (0, 1, 2), (0, 0, 1, 2, 3), (0, 0, 2, 3), ()],
)
def test_rearranged_frames_are_found(file: Path, arranged: Sequence[int]) -> None:
    """Frames that are reordered, missing or there twice do not fit the index."""
    frames, end = frames_of(file)
    assert len(frames) == 4
    file.write_bytes(b"".join(frames[nth] for nth in arranged) + end)
    check_found(file)
    check_nothing_false(file)


def forge(file: Path, frames: Sequence[bytes], contents: Contents) -> None:
    """An archive whose digests are all right, with the streams and trees that it had."""
    archive = Archive.open(file)
    start = archive.contents.index_start + HEADER_BYTES
    parts = []
    for packed in (archive.contents.streams, *(some.packed for some in archive.contents.trees)):
        parts.append(file.read_bytes()[start : start + packed.length])
        start += packed.length
    streams, *trees = parts
    file.write_bytes(b"".join(frames) + index(contents, streams, trees))


def changed(contents: Contents, nth: int, **changes: object) -> Contents:
    frames = list(contents.frames)
    frames[nth] = msgspec.structs.replace(frames[nth], **changes)
    return msgspec.structs.replace(contents, frames=tuple(frames))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"events": FEW - 1}, "more or fewer events"),
        ({"events": 0}, "cannot be"),
        ({"first": 7}, "other events"),
        ({"last": 9}, "other events"),
        ({"first_leaf": 4}, "other events"),
        ({"last_leaf": 10}, "other events"),
        ({"first": 5}, "order of positions"),
        ({"last": 11}, "order of positions"),
        ({"first": 11}, "cannot be"),
        ({"size": 1}, "not 1"),
        ({"digest": bytes(32)}, "was changed"),
        ({"length": 1}, "size that it has"),
        ({"length": -1}, "cannot be"),
    ],
)
def test_an_index_that_does_not_match_its_frames(
    file: Path, change: dict[str, object], reason: str
) -> None:
    """Even if all digests fit: the index may tell of nothing that the frames have not."""
    frames, _ = frames_of(file)
    forge(file, frames, changed(Archive.open(file).contents, 1, **change))
    check_found(file, reason)


def test_an_index_of_other_streams(tmp_path: Path, file: Path) -> None:
    """The streams' index of another archive, with the right digest, is not that of these frames."""
    contents = Archive.open(file).contents
    frames, _ = frames_of(file)
    compressor = zstandard.ZstdCompressor()
    packed, streams = pack(b"", compressor)
    none = msgspec.structs.replace(contents, streams=packed, trees=())
    file.write_bytes(b"".join(frames) + index(none, streams, ()))
    check_found(file, "index of streams")
    packed, streams = pack(bytes(15), compressor)
    cut = msgspec.structs.replace(contents, streams=packed, trees=())
    file.write_bytes(b"".join(frames) + index(cut, streams, ()))
    with pytest.raises(BadArchive, match="index of streams is cut off"):
        Archive.open(file).stream("job-1")


def test_contents_that_tell_of_other_trees(file: Path) -> None:
    """What the trees are said to span is what they span."""
    contents = Archive.open(file).contents
    frames, _ = frames_of(file)
    (trees,) = contents.trees
    other = msgspec.structs.replace(trees.span, discarded=101)
    told = msgspec.structs.replace(trees, span=other)
    forge(file, frames, msgspec.structs.replace(contents, trees=(told,)))
    check_found(file, "other trees")


def test_events_out_of_order_within_a_frame(file: Path) -> None:
    """Lines that change places are found, although the frame spans what it is said to span."""
    frames, _ = frames_of(file)
    first, *middle, last = zstandard.decompress(frames[1]).splitlines(keepends=True)
    lines = b"".join([first, *reversed(middle), last])
    packed, frames[1] = pack(lines, zstandard.ZstdCompressor())
    as_said = {"length": packed.length, "digest": packed.digest}
    forge(file, frames, changed(Archive.open(file).contents, 1, **as_said))
    check_found(file, "its events are not in the order")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"", "more or fewer"),
        (b"{}\n" * FEW, "no event"),
        (b"[" * 100_000, "no event"),
        (b"\xff\n", "no event"),
        (b'{"position":1,"leaf_index":0,"stream":"s","version":1,"topic":"t"}\n', "not one event"),
    ],
)
def test_frames_of_something_else(file: Path, lines: bytes, reason: str) -> None:
    """A frame whose digest fits, but whose lines are no events, or not these."""
    frames, _ = frames_of(file)
    packed, frames[2] = pack(lines, zstandard.ZstdCompressor())
    as_said = {"length": packed.length, "size": packed.size, "digest": packed.digest}
    forge(file, frames, changed(Archive.open(file).contents, 2, **as_said))
    check_found(file, reason)


# Bombs


def bomb(size: int) -> bytes:
    """A zstd frame of a few bytes that says to come to so many."""
    head = struct.pack("<IBQ", zstandard.MAGIC_NUMBER, 0xE0, size)
    last_block_of_one_byte_repeated = (1 | 1 << 1 | 100_000 << 3).to_bytes(3, "little")
    return head + last_block_of_one_byte_repeated + b"0"


def test_a_frame_that_is_too_large(file: Path) -> None:
    """A frame that comes to more than any may is not unpacked, whatever the index says."""
    frames, _ = frames_of(file)
    content = bytes(FRAME_BYTES_MOST + 1)
    packed, frames[1] = pack(content, zstandard.ZstdCompressor(1))
    said = {"length": packed.length, "size": packed.size, "digest": packed.digest}
    forge(file, frames, changed(Archive.open(file).contents, 1, **said))
    check_found(file, "are the most")


@pytest.mark.parametrize("size", [2**40, 2**63, 2**64 - 1, 100_001, 99_999])
def test_a_frame_that_lies_about_its_size(file: Path, size: int) -> None:
    """What zstd itself says about the size is not believed either."""
    frames, _ = frames_of(file)
    frames[1] = bomb(size)
    said = {"length": len(frames[1]), "size": 100_000, "digest": digest_of(frames[1])}
    forge(file, frames, changed(Archive.open(file).contents, 1, **said))
    check_found(file)


def test_an_index_that_is_a_bomb(file: Path) -> None:
    """The same for parts of the index, and for the contents, whose size nothing tells."""
    frames, _ = frames_of(file)
    contents = Archive.open(file).contents
    packed = bomb(2**40)
    told = Packed(len(packed), 2**40, digest_of(packed))
    bombed = msgspec.structs.replace(contents, streams=told, trees=())
    file.write_bytes(b"".join(frames) + index(bombed, packed, ()))
    check_found(file, "are the most")

    length = len(packed) + ledger.archives.layout.FOOTER_BYTES
    end = struct.pack("<II", 0x184D2A50, length) + packed
    file.write_bytes(end + ledger.archives.layout._footer(length, len(packed), packed))
    check_found(file, "are the most")


# Other files


def sqlite_file() -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE a (b)")
        return connection.serialize()


FOREIGN = {
    "empty": b"",
    "zeros": bytes(10_000),
    "sqlite": sqlite_file(),
    "zstd": zstandard.compress(b'{"position":1}\n'),
    "end-alone": b"jobledgr",
    "zeros-and-end": bytes(1_000) + b"\1\0\0\0jobledgr",
    "large-numbers-and-end": b"\xff" * 1_000 + b"\1\0\0\0jobledgr",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_foreign_files(tmp_path: Path, content: bytes) -> None:
    """Something that is no archive."""
    (tmp_path / "a.jsonl.zst").write_bytes(content)
    check_found(tmp_path / "a.jsonl.zst")


def test_other_formats(tmp_path: Path) -> None:
    """An archive of a later format is refused by its number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger.archives.layout, "FORMAT", 2)
        write_archive(tmp_path, "a", EVENTS, TREES)
    check_found(tmp_path / "a.jsonl.zst", "of format 2, and this reads format 1")


def test_files_that_cannot_be_read(tmp_path: Path, file: Path) -> None:
    """One that is not there, or vanishes, is missing; one that is a directory cannot be read."""
    archive = Archive.open(file)
    file.unlink()
    for read in _reads(archive):
        with pytest.raises(ArchiveMissing):
            read()
    with pytest.raises(ArchiveMissing):
        Archive.open(file)
    file.mkdir()
    with pytest.raises(BadArchive, match="it cannot be read"):
        Archive.open(file)


def _reads(archive: Archive) -> Iterator[Callable[[], object]]:
    yield lambda: list(archive.events())
    yield lambda: archive.stream("job-1")
    yield lambda: list(archive.leaves(0, 99))
    yield lambda: archive.trees
    yield archive.check


def test_another_archive_under_the_name(tmp_path: Path, file: Path, written: Written) -> None:
    """Sound archives that are not the one that was opened, or written, are found too."""
    archive = Archive.open(file)
    write_archive(tmp_path, "a", EVENTS[:-1], TREES)
    for read in (archive.check, lambda: list(archive.events())):
        with pytest.raises(BadArchive):
            read()
    other = Archive.open(file)
    other.check()
    with pytest.raises(BadArchive, match="its digest is another"):
        other.check(written.digest)


def test_frames_are_what_these_tests_think(file: Path) -> None:
    """There are several frames, and all parts of an index."""
    contents = Archive.open(file).contents
    assert len(contents.frames) == 4
    assert all(isinstance(frame, Frame) for frame in contents.frames)
    assert contents.streams.size
    assert len(contents.trees) == 1
