"""Pools and the files in them, made and removed."""

import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.images.errors import PoolFull
from ledger.images.files import create_blank, publish, remove, sync_directory
from ledger.images.pools import STORAGE_TYPES, Pool, parse_pool


@pytest.mark.parametrize(
    ("text", "pool"),
    [
        ("fast=/srv/fast", Pool("fast", Path("/srv/fast"), "dssd")),
        ("a-B_9=/x,type=nvme", Pool("a-B_9", Path("/x"), "nvme")),
        ("p=/odd=path", Pool("p", Path("/odd=path"), "dssd")),
    ],
)
def test_reads_pools(text, pool):
    """A pool is a name, a path and perhaps a storage type."""
    assert parse_pool(text) == pool


@given(st.from_regex(r"[A-Za-z0-9_-]+", fullmatch=True), st.sampled_from(STORAGE_TYPES))
def test_reads_what_it_should(name, storage_type):
    """Every name and every storage type that is allowed is read."""
    pool = parse_pool(f"{name}=/srv/{name},type={storage_type}")
    assert pool == Pool(name, Path("/srv", name), storage_type)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected NAME=PATH"),
        ("fast", "expected NAME=PATH"),
        ("=/srv", "letters, digits"),
        ("fa st=/srv", "letters, digits"),
        ("fäst=/srv", "letters, digits"),
        ("fast\n=/srv", "letters, digits"),
        ("fast=", "path is empty"),
        ("fast=,type=ssd", "path is empty"),
        ("fast=/a\0b", "NUL"),
        ("fast=/srv,", "only ,type=TYPE"),
        ("fast=/srv,kind=ssd", "only ,type=TYPE"),
        ("fast=/srv,type=floppy", "one of magnetic, ssd"),
        ("fast=/srv,type=", "one of magnetic, ssd"),
        ("fast=/srv,type=ssd,type=ssd", "one of magnetic, ssd"),
    ],
)
def test_refuses_pools(text, reason):
    """Anything else is refused with a text that says why."""
    with pytest.raises(ValueError, match=reason):
        parse_pool(text)


def test_names_files(tmp_path):
    """Image, part, upload and its journal lie in the pool under the drive's name."""
    pool = Pool("p", tmp_path)
    assert pool.image("d") == tmp_path / "d.img"
    assert pool.part("d", 3) == tmp_path / "d.3.part"
    assert pool.upload("d") == tmp_path / "d.upload"
    assert pool.chunks("d") == tmp_path / "d.chunks"


def test_finds_parts(tmp_path):
    """The parts of a drive come in the order of their attempts, nothing else among them."""
    pool = Pool("p", tmp_path)
    others = ["d.img", "d.007.part", "d.x.part", "e.1.part", "d.1.2.part", "d.part", "d..part"]
    for name in [*others, *(f"d.{attempt}.part" for attempt in range(30, 0, -1))]:
        (tmp_path / name).touch()
    assert pool.parts("d") == [(n, tmp_path / f"d.{n}.part") for n in range(1, 31)]


def test_knows_free_bytes(small_disk):
    """Free bytes are those of the pool's file system."""
    pool = Pool("p", small_disk)
    assert pool.room().free_bytes == 2**20
    (small_disk / "file").write_bytes(b"x" * 8192)
    assert pool.room().free_bytes == 2**20 - 8192


def test_blank_is_one_hole(tmp_path):
    """A blank image has its size and no blocks, and nothing else is left."""
    create_blank(tmp_path / "d.img", 5 * 2**30)
    assert (tmp_path / "d.img").stat().st_size == 5 * 2**30
    assert (tmp_path / "d.img").stat().st_blocks == 0
    assert [p.name for p in tmp_path.iterdir()] == ["d.img"]


def test_blank_spares_an_image(tmp_path):
    """An image that exists is not made blank."""
    (tmp_path / "d.img").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        create_blank(tmp_path / "d.img", 10)
    assert (tmp_path / "d.img").read_bytes() == b"precious"


def test_blank_spares_an_image_that_another_makes_meanwhile(tmp_path, monkeypatch):
    """Also one that comes between the last look and the name."""
    fsync = os.fsync

    def late(fd: int) -> None:
        fsync(fd)
        (tmp_path / "d.img").write_bytes(b"precious")

    monkeypatch.setattr(os, "fsync", late)
    with pytest.raises(FileExistsError):
        create_blank(tmp_path / "d.img", 10)
    assert (tmp_path / "d.img").read_bytes() == b"precious"
    assert [p.name for p in tmp_path.iterdir()] == ["d.img"]


def test_blank_needs_no_links(tmp_path, monkeypatch):
    """Not every file system has them."""

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    create_blank(tmp_path / "d.img", 10)
    assert [p.name for p in tmp_path.iterdir()] == ["d.img"]
    with pytest.raises(FileExistsError):
        create_blank(tmp_path / "d.img", 10)
    assert [p.name for p in tmp_path.iterdir()] == ["d.img"]


@pytest.mark.parametrize("call", ["ftruncate", "fsync"])
def test_blank_whole_or_not_at_all(tmp_path, monkeypatch, call):
    """Where making it fails, no file is there; want of room is a full pool."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(PoolFull):
        create_blank(tmp_path / "d.img", 10)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def order(tmp_path, monkeypatch):
    """What is synced, with the names in the directory at that time."""
    calls = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        fsync(fd)
        kind = "directory" if os.path.samestat(os.fstat(fd), tmp_path.stat()) else "file"
        calls.append((kind, sorted(p.name for p in tmp_path.iterdir())))

    monkeypatch.setattr(os, "fsync", noted)
    return calls


def test_blank_is_synced_in_order(tmp_path, order):
    """The blank is synced before it has its name, the directory after."""
    create_blank(tmp_path / "d.img", 10)
    (kind, [name]), after = order
    assert (kind, name[:6], name[-4:]) == ("file", "d.img.", ".new")
    assert after == ("directory", ["d.img"])


def test_publish_is_synced_in_order(tmp_path, order):
    """The part is synced before it gets the image's name, the directory after."""
    (tmp_path / "d.1.part").write_bytes(b"done")
    publish(tmp_path / "d.1.part", tmp_path / "d.img")
    assert order == [("file", ["d.1.part"]), ("directory", ["d.img"])]
    assert (tmp_path / "d.img").read_bytes() == b"done"


def test_removes_durably(tmp_path, order):
    """A removed file is gone and the directory synced; a missing one is fine."""
    (tmp_path / "d.img").touch()
    remove(tmp_path / "d.img")
    remove(tmp_path / "d.img")
    assert order == [("directory", []), ("directory", [])]


def test_a_missing_pool_is_no_removal(tmp_path):
    """Nothing is called removed from a pool that is not there."""
    with pytest.raises(FileNotFoundError):
        remove(tmp_path / "nowhere" / "d.img")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")


@pytest.mark.parametrize(
    ("has", "free", "left"),
    [(0, 0, sys.maxsize), (800, 700, 600), (800, 100, 0), (800, 0, 0), (10**6, 2000, 976)],
)
def test_some_files_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: int, free: int, left: int
) -> None:
    """For drives that are recorded and have no image yet; some file systems know no limit."""
    real = os.statvfs(tmp_path)
    found = SimpleNamespace(
        f_files=has, f_favail=free, f_bavail=2**40, f_frsize=real.f_frsize, f_blocks=2**40
    )
    monkeypatch.setattr(os, "statvfs", lambda _path: found)
    room = Pool("main", tmp_path).room()
    assert (room.free_files, room.is_full) == (left, not left)
