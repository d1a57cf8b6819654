"""An image that arrives in chunks."""

import errno
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain.errors.store import ConcurrentChange
from ledger.domain.errors.uploads import ChunkingChanged, ChunkMisfit, ChunkPresent, UploadGone
from ledger.images.chunk_layout import CHUNKS_MAX, Chunking
from ledger.images.chunked_upload import ChunkedUpload
from ledger.images.errors import PoolFull
from ledger.images.journal import ChunkJournal

KIB = 1024
STEP = 16 * KIB
BLOCK = 64 * KIB


class Drive:
    """A drive's files, and the image that is sent to it in chunks."""

    def __init__(self, folder: Path, image: bytes, chunk_size: int) -> None:
        self.folder = folder
        self.image = image
        self.size = -(-len(image) // STEP) * STEP
        self.chunking = Chunking(chunk_size, len(image))
        self.count = max(1, len(image) // chunk_size)
        self.upload = self.opened()

    def opened(self) -> ChunkedUpload:
        """As the next process finds it."""
        upload = ChunkedUpload(self.folder / "d.upload", self.folder / "d.chunks", self.size)
        upload.find()
        return upload

    def reopen(self) -> None:
        self.upload = self.opened()

    def bytes_of(self, number: int) -> bytes:
        start = number * self.chunking.chunk_size
        end = start + self.chunking.chunk_size if number < self.count - 1 else None
        return self.image[start:end]

    def send(self, number: int, *, said: Chunking | None = None, data: bytes | None = None) -> bool:
        """Whether the upload is complete then."""
        with self.upload.receive(number, said or self.chunking) as chunk:
            chunk.write(self.bytes_of(number) if data is None else data)
            return chunk.finish()

    def break_off(self, number: int, data: bytes) -> None:
        with suppress(ChunkMisfit), self.upload.receive(number, self.chunking) as chunk:
            chunk.write(data)

    def missing(self) -> list[int]:
        return [n for n in range(self.count) if not self.upload.has(n, self.chunking)]

    def published(self) -> bytes:
        self.upload.publish(self.folder / "d.img")
        return (self.folder / "d.img").read_bytes()

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """Three chunks of 20,000 bytes, the last of which has 9,999 more."""
    return Drive(tmp_path, os.urandom(69_999), 20_000)


IMAGES = st.lists(
    st.sampled_from([bytes(BLOCK), b"x" * 1000, b"y" * BLOCK, bytes(5), b"\0z" * 4096]),
    min_size=1,
    max_size=6,
).map(b"".join)
DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "break off", "fall short", "reopen"]),
        st.integers(0, 30),
    ),
    max_size=40,
)


@settings(max_examples=120, deadline=None)
@given(image=IMAGES, parts=st.integers(1, 9), by_link=st.booleans(), deeds=DEEDS)
@pytest.mark.thorough
def test_whatever_happens_the_image_is_the_source(image, parts, by_link, deeds):
    """Sent in any order, again, broken off and resumed, the chunks make exactly the source."""
    with tempfile.TemporaryDirectory() as folder:
        chunk_size = max(STEP if by_link else 1, len(image) // parts)
        drive = Drive(Path(folder), image, chunk_size)
        there: set[int] = set()
        finished = 0
        ends = [("send", number) for number in reversed(range(drive.count))]
        for deed, drawn in [*deeds, *ends]:
            number = drawn % drive.count
            match deed:
                case "send" if number in there:
                    with pytest.raises(ChunkPresent):
                        drive.send(number)
                case "send":
                    length = len(drive.bytes_of(number))
                    told = Chunking(chunk_size).with_total_from(number, length, drive.size)
                    finished += drive.send(number, said=told if by_link else None)
                    there.add(number)
                case "break off" if number not in there:
                    drive.break_off(number, os.urandom(len(drive.bytes_of(number)) // 2))
                case "fall short" if number not in there:
                    with pytest.raises(ChunkMisfit):
                        drive.send(number, data=drive.bytes_of(number)[:-1])
                case _:
                    drive.reopen()
            assert set(drive.missing()) == set(range(drive.count)) - there
            assert drive.upload.complete == (len(there) == drive.count)
        assert finished == 1
        assert drive.published() == image.ljust(drive.size, b"\0")


def test_holes_stay_holes(tmp_path):
    """Chunks of zeros take no room, but overwrite what an attempt before left there."""
    drive = Drive(tmp_path, bytes(8 * BLOCK), 4 * BLOCK)
    drive.send(0)
    drive.break_off(1, b"x" * 3 * BLOCK)
    drive.send(1)
    assert drive.published() == bytes(8 * BLOCK)
    assert (tmp_path / "d.img").stat().st_blocks * 512 <= 3 * BLOCK


def test_chunks_at_once(tmp_path):
    """Different chunks may come at the same time; one of them completes the upload."""
    drive = Drive(tmp_path, os.urandom(40 * BLOCK + 5), 4 * BLOCK)
    ended: list[bool] = []
    threads = [
        threading.Thread(target=lambda n=n: ended.append(drive.send(n))) for n in range(drive.count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == [False] * 9 + [True]
    assert drive.published().rstrip(b"\0") == drive.image.rstrip(b"\0")


def test_the_same_chunk_twice_at_once(drive):
    """Who begins later goes on; who began before is told, and spoils nothing."""
    with drive.upload.receive(0, drive.chunking) as first:
        first.write(b"x" * 10_000)
        with drive.upload.receive(0, drive.chunking) as second:
            with pytest.raises(ConcurrentChange):
                first.write(b"x")
            second.write(drive.bytes_of(0))
            with pytest.raises(ConcurrentChange):
                first.finish()
            second.finish()
    drive.send(1)
    drive.send(2)
    assert drive.published()[: len(drive.image)] == drive.image


def test_a_chunk_needs_all_its_bytes(drive):
    """Neither fewer nor more bytes than belong into a chunk make one."""
    for data in (b"", drive.bytes_of(0)[:-1], drive.bytes_of(0) + b"x"):
        with pytest.raises(ChunkMisfit):
            drive.send(0, data=data)
    assert drive.missing() == [0, 1, 2]


@pytest.mark.parametrize(
    "said",
    [Chunking(19_999, 69_999), Chunking(20_000, 69_998), Chunking(20_000, 81_920)],
)
def test_sizes_are_settled_by_the_first_chunk(drive, said):
    """Another chunk size or total is refused, while the first chunk comes and ever after."""
    with drive.upload.receive(0, drive.chunking) as chunk:
        with pytest.raises(ChunkingChanged):
            drive.upload.receive(1, said)
        chunk.write(drive.bytes_of(0))
        chunk.finish()
    with pytest.raises(ChunkingChanged):
        drive.upload.has(0, said)
    drive.reopen()
    with pytest.raises(ChunkingChanged):
        drive.upload.receive(1, said)


def test_sizes_are_free_again_without_a_chunk(drive):
    """What was said with a chunk that never came whole does not bind."""
    drive.break_off(0, b"x" * 7)
    assert not drive.upload.has(0, Chunking(10_000, 69_999))


def test_a_total_told_too_late(drive):
    """A total that would make a chunk longer that is there already is refused."""
    drive.send(0, said=Chunking(20_000))
    drive.send(1, said=Chunking(20_000))
    with pytest.raises(ChunkingChanged):
        drive.upload.receive(0, Chunking(20_000, 41_000))
    assert drive.upload.has(1, drive.chunking)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (3, Chunking(20_000, 69_999)),
        (-1, Chunking(20_000, 69_999)),
        (4, Chunking(20_000)),
        (0, Chunking(20_000, 81_921)),
    ],
)
def test_chunks_without_a_place(drive, number, said):
    """There is no chunk beyond the last, and no upload bigger than its drive."""
    with pytest.raises(ChunkMisfit):
        drive.upload.receive(number, said)
    assert drive.names() == set()


def test_the_number_of_chunks_is_bounded(tmp_path):
    """Nobody can make us remember more chunks than so many."""
    upload = ChunkedUpload(tmp_path / "d.upload", tmp_path / "d.chunks", 2 * CHUNKS_MAX)
    with pytest.raises(ChunkMisfit):
        upload.has(0, Chunking(1, CHUNKS_MAX + 1))
    assert not upload.has(0, Chunking(1, CHUNKS_MAX))


@pytest.mark.parametrize(
    "torn", [b"2", b"20000 69999 2", b"\0" * 14 + b"20000 69999 2\n", b"20000 69999 x\n"]
)
def test_a_torn_journal(drive, torn):
    """What a crash left half written does not count, nor does what follows it, then or later."""
    drive.send(0)
    journal = drive.folder / "d.chunks"
    journal.write_bytes(journal.read_bytes() + torn)
    drive.reopen()
    assert drive.missing() == [1, 2]
    drive.send(1)
    drive.reopen()
    assert drive.missing() == [2]


def test_processes_take_turns(drive):
    """As long as one takes chunks in the other refuses them; then it knows what is there."""
    here, there = drive.upload, drive.opened()
    with here.receive(0, drive.chunking) as chunk:
        drive.upload = there
        with pytest.raises(ConcurrentChange):
            drive.send(1)
        drive.upload = here
        drive.send(1)
        chunk.write(drive.bytes_of(0))
        chunk.finish()
    drive.upload = there
    assert drive.missing() == [2]
    with pytest.raises(ChunkPresent):
        drive.send(0)
    assert drive.send(2)
    drive.upload = here
    assert drive.missing() == []
    assert drive.published().startswith(drive.image)
    there.publish(drive.folder / "d.img")


def test_a_journal_that_cannot_be_read_is_unlocked(drive, monkeypatch):
    """When a descriptor is free again, chunks are taken in as before."""

    def fail(_):
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(ChunkJournal, "cut_torn_end", fail)
        with pytest.raises(OSError, match="too many"):
            drive.send(0)
    drive.send(0)


def test_a_process_that_dies_is_in_nobodys_way(drive):
    """Its claim goes with it, and what it had begun does not count."""
    chunk = drive.upload.receive(0, drive.chunking)
    chunk.write(b"x" * 100)
    os.close(drive.upload._locked_fd)
    chunk._close()
    drive.reopen()
    assert [drive.send(number) for number in range(3)] == [False, False, True]
    assert drive.published().startswith(drive.image)


def test_a_chunk_is_durable_before_it_is_said_to_be_there(drive, monkeypatch):
    """Its bytes are synced, then its line in the journal; only then it is there."""
    synced = []
    fdatasync = os.fdatasync

    def noted(fd: int) -> None:
        state = os.fstat(fd)
        name = next(p.name for p in drive.folder.iterdir() if os.path.samestat(p.stat(), state))
        journal = (drive.folder / "d.chunks").read_bytes()
        synced.append((name, journal, drive.upload.has(0, drive.chunking)))
        fdatasync(fd)

    monkeypatch.setattr(os, "fdatasync", noted)
    drive.send(0)
    line = b"20000 69999 0\n"
    assert synced == [("d.upload", b"", False), ("d.chunks", line, False)]
    assert drive.upload.has(0, drive.chunking)


def test_names_are_durable_before_the_first_chunk(drive, monkeypatch):
    """The directory is synced once both files are in it."""
    synced = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), drive.folder.stat()):
            synced.append(drive.names())
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    with drive.upload.receive(0, drive.chunking):
        assert synced == [{"d.upload", "d.chunks"}]


def test_a_failed_sync_is_no_chunk(drive, monkeypatch):
    """Bytes that could not be made durable do not count, and can be sent again."""
    with monkeypatch.context() as patch:

        def failing(fd: int) -> None:
            raise OSError(errno.ENOSPC, "no room")

        patch.setattr(os, "fdatasync", failing)
        with pytest.raises(PoolFull):
            drive.send(0)
    assert drive.missing() == [0, 1, 2]
    assert not drive.send(0)


def test_publishing_again(drive):
    """Published again, also by the next process, the image stays as it is."""
    for number in range(3):
        drive.send(number)
    published = drive.published()
    assert published == drive.image.ljust(drive.size, b"\0")
    assert drive.published() == published
    drive.reopen()
    assert drive.upload.complete
    assert drive.published() == published
    assert drive.names() == {"d.img", "d.chunks"}


def test_publishing_again_what_was_deleted(drive):
    """An image that was published does not come back, and is not missed."""
    for number in range(3):
        drive.send(number)
    drive.published()
    (drive.folder / "d.img").unlink()
    drive.upload.publish(drive.folder / "d.img")
    assert drive.names() == {"d.chunks"}


def test_removed_while_a_chunk_begins(drive):
    """Who deletes the drive may hold another handle, and remove the files at any moment."""
    drive.send(0)
    drive.opened().discard()
    with pytest.raises(UploadGone):
        drive.upload.receive(1, drive.chunking)


def test_discarded_while_a_chunk_comes(drive):
    """Whoever is sending is told, no file stays or comes back, and nothing more is taken."""
    drive.send(0)
    with drive.upload.receive(1, drive.chunking) as chunk:
        chunk.write(b"x" * 10_000)
        drive.upload.discard()
        for call in (lambda: chunk.write(b"x"), chunk.finish):
            with pytest.raises(UploadGone):
                call()
    with pytest.raises(UploadGone):
        drive.upload.receive(2, drive.chunking)
    with pytest.raises(UploadGone):
        drive.upload.publish(drive.folder / "d.img")
    assert drive.names() == set()
