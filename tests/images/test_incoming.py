"""An image that arrives as a stream."""

import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.images.chunk_layout import Chunking
from ledger.images.chunked_upload import ChunkedUpload
from ledger.images.errors import PoolFull
from ledger.images.incoming_image import IncomingImage
from ledger.images.pools import Pool
from tests.support.wait import PATIENCE_S, wait_for

BLOCK = 65536


@settings(max_examples=40, deadline=None)
@given(
    blocks=st.lists(st.sampled_from([b"\0", b"x", b"\0y"]), max_size=9),
    tail=st.binary(max_size=9),
    pieces=st.lists(st.integers(1, 200_000), min_size=1, max_size=9),
    growth=st.integers(0, 2 * BLOCK),
)
def test_keeps_what_comes(blocks, tail, pieces, growth):
    """In whatever pieces it comes, the image holds it, with holes for whole blocks of zeros."""
    data = b"".join(kind.ljust(BLOCK, kind[:1]) for kind in blocks) + tail
    with tempfile.TemporaryDirectory() as folder:
        path, at, turn = Path(folder, "d.upload"), 0, 0
        with IncomingImage(path) as incoming:
            while at < len(data):
                piece = pieces[turn % len(pieces)]
                incoming.write(data[at : at + piece])
                at, turn = at + piece, turn + 1
            assert incoming.received_bytes == len(data)
            incoming.finish(len(data) + growth)
        assert path.read_bytes() == data + bytes(growth)
        filled = sum(any(data[i : i + BLOCK]) for i in range(0, len(data), BLOCK))
        assert path.stat().st_blocks * 512 <= filled * BLOCK


def test_zeros_take_no_room(tmp_path):
    """An upload of zeros is one hole, whatever its end."""
    with IncomingImage(tmp_path / "d.upload") as incoming:
        for _ in range(33):
            incoming.write(bytes(100_000))
        incoming.finish(4 * 2**20)
    assert (tmp_path / "d.upload").stat().st_blocks == 0
    assert (tmp_path / "d.upload").stat().st_size == 4 * 2**20


def test_abort_leaves_nothing(tmp_path):
    """An aborted upload leaves no file, and aborting again is fine."""
    incoming = IncomingImage(tmp_path / "d.upload")
    incoming.write(b"x" * 100_000)
    incoming.abort()
    incoming.abort()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="already"):
        incoming.write(b"x")


def test_an_error_aborts(tmp_path):
    """An upload left by an error leaves no file."""

    def broken_off() -> None:
        with IncomingImage(tmp_path / "d.upload") as incoming:
            incoming.write(b"x" * 100_000)
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        broken_off()
    assert list(tmp_path.iterdir()) == []


def test_finished_stays(tmp_path):
    """Aborting after finish removes nothing; nothing more is taken."""
    incoming = IncomingImage(tmp_path / "d.upload")
    incoming.write(b"x")
    incoming.finish(1)
    incoming.abort()
    assert (tmp_path / "d.upload").read_bytes() == b"x"
    with pytest.raises(ValueError, match="already"):
        incoming.finish(1)


def test_one_upload_at_a_time(tmp_path):
    """A second upload of a drive is refused and does not disturb the first."""
    with IncomingImage(tmp_path / "d.upload") as incoming:
        with pytest.raises(FileExistsError):
            IncomingImage(tmp_path / "d.upload")
        incoming.write(b"x")
        incoming.finish(1)
    assert (tmp_path / "d.upload").read_bytes() == b"x"


def test_more_than_announced(tmp_path):
    """An upload larger than its drive is refused, not cut off."""
    with IncomingImage(tmp_path / "d.upload") as incoming:
        incoming.write(b"xy")
        with pytest.raises(ValueError, match="more than 1"):
            incoming.finish(1)
    assert list(tmp_path.iterdir()) == []


def test_full_disk(small_disk):
    """An upload beyond the disk's room is a full pool, and gives the room back."""
    with IncomingImage(small_disk / "d.upload") as incoming, pytest.raises(PoolFull):
        incoming.write(b"x" * 5 * 2**20)
    assert os.statvfs(small_disk).f_bavail * 4096 == 2**20


@pytest.mark.parametrize("kind", ["whole", "chunk"])
def test_what_must_stay_free_is_not_taken(tmp_path, kind):
    """Before each write, not only the first; what was refused leaves nothing."""
    rooms = iter([True, False])

    def require_room() -> None:
        if not next(rooms):
            raise PoolFull("what is left must stay free")

    path, journal = tmp_path / "d.upload", tmp_path / "d.chunks"
    if kind == "whole":
        incoming = IncomingImage(path, require_room)
    else:
        incoming = ChunkedUpload(path, journal, 8, require_room).receive(0, Chunking(8, 8))
    with incoming:
        incoming.write(b"xxxx")
        with pytest.raises(PoolFull, match="must stay free"):
            incoming.write(b"xxxx")
    assert not path.exists() or path.stat().st_size == 0


def test_a_block_asks_for_room_once(tmp_path, monkeypatch):
    """One question to the file system for each block of an upload, in the write itself."""
    asked = []
    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: asked.append(path) or real(path))
    pool = Pool("main", tmp_path)
    with IncomingImage(tmp_path / "d.upload", pool.require_room) as incoming:
        incoming.write(b"x" * 100_000)
        incoming.write(b"x" * 100_000)
    assert asked == [tmp_path, tmp_path]


def test_finish_is_durable(tmp_path, monkeypatch):
    """Finishing syncs the file in its final size, then the directory."""
    synced = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        fsync(fd)
        state = os.fstat(fd)
        synced.append("directory" if os.path.samestat(state, tmp_path.stat()) else state.st_size)

    monkeypatch.setattr(os, "fsync", noted)
    with IncomingImage(tmp_path / "d.upload") as incoming:
        incoming.write(b"x")
        incoming.finish(10)
    assert synced == [10, "directory"]


class Asked:
    """A lock that says how often it was asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.times = 0

    def __enter__(self) -> None:
        self.times += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_abort_waits_for_a_write(tmp_path, monkeypatch):
    """An abort from another thread never closes the file under a write."""
    writing, go_on = threading.Event(), threading.Event()
    pwrite, wrote = os.pwrite, []

    def slow(fd: int, data: bytes, at: int) -> int:
        writing.set()
        assert go_on.wait(PATIENCE_S)
        wrote.append(Path(f"/proc/self/fd/{fd}").resolve())
        return pwrite(fd, data, at)

    monkeypatch.setattr(os, "pwrite", slow)
    incoming = IncomingImage(tmp_path / "d.upload")
    lock = Asked()
    with ThreadPoolExecutor(2) as threads:
        monkeypatch.setattr(incoming, "_lock", lock)
        written = threads.submit(incoming.write, b"x" * BLOCK)
        try:
            assert writing.wait(PATIENCE_S)
            aborted = threads.submit(incoming.abort)
            wait_for("for the abort", lambda: lock.times == 2 or aborted.done())
        finally:
            go_on.set()
        written.result()
        aborted.result()
    assert wrote == [tmp_path / "d.upload"]
    assert list(tmp_path.iterdir()) == []
