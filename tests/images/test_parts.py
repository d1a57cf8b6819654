"""Who may write a part file, and what a later attempt makes of those of earlier ones."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.images import parts
from ledger.images.errors import PartTaken
from ledger.images.files import publish
from ledger.images.parts import own_part, take_over
from ledger.images.pools import Pool

DRIVE = "d"


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool("main", tmp_path)


@contextmanager
def living_writer(pool: Pool, attempt: int, data: bytes) -> Iterator[int]:
    """One that has written so much, and holds its part."""
    with own_part(pool.part(DRIVE, attempt)) as fd:
        os.write(fd, data)
        yield fd


def dead_writer(pool: Pool, attempt: int, data: bytes) -> None:
    with living_writer(pool, attempt, data):
        pass


def names(pool: Pool) -> list[str]:
    return sorted(path.name for path in pool.path.iterdir())


def test_the_part_of_a_dead_writer_is_gone_on_with(pool: Pool):
    dead_writer(pool, 1, b"data")
    inode = pool.part(DRIVE, 1).stat().st_ino
    take_over(pool, DRIVE, 2)
    assert names(pool) == ["d.2.part"]
    assert pool.part(DRIVE, 2).stat().st_ino == inode


def test_of_several_the_newest_is_gone_on_with(pool: Pool):
    dead_writer(pool, 1, b"old")
    dead_writer(pool, 3, b"new")
    take_over(pool, DRIVE, 4)
    assert names(pool) == ["d.4.part"]
    assert pool.part(DRIVE, 4).read_bytes() == b"new"


def test_a_living_writer_keeps_its_file_but_not_the_name(pool: Pool):
    """So it can write what it likes, and finds nothing to publish."""
    with living_writer(pool, 1, b"data") as fd:
        take_over(pool, DRIVE, 2)
        assert pool.part(DRIVE, 1) not in pool.path.iterdir()
        with own_part(pool.part(DRIVE, 2)) as own:
            assert not os.path.samestat(os.fstat(own), os.fstat(fd))
            os.ftruncate(own, 0)
            os.write(own, b"ours")
            os.write(fd, b"more")
        assert os.pread(fd, 100, 0) == b"datamore"
        with pytest.raises(FileNotFoundError):
            publish(pool.part(DRIVE, 1), pool.image(DRIVE))
    assert pool.part(DRIVE, 2).read_bytes() == b"ours"


def test_the_blocks_of_a_living_writer_are_shared_where_that_can_be(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    def copied(source: int, part: int) -> bool:
        os.write(part, os.pread(source, 100, 0))
        return True

    monkeypatch.setattr(parts, "reflink", copied)
    with living_writer(pool, 1, b"data"):
        take_over(pool, DRIVE, 2)
    assert names(pool) == ["d.2.part"]
    assert pool.part(DRIVE, 2).read_bytes() == b"data"


def test_a_writer_that_was_passed_over_is_told(pool: Pool):
    """Whether it comes back before it has a part, or while the later one has that."""
    dead_writer(pool, 2, b"later")
    with pytest.raises(PartTaken):
        take_over(pool, DRIVE, 1)
    assert names(pool) == ["d.2.part"]
    with (
        living_writer(pool, 3, b""),
        pytest.raises(PartTaken),
        own_part(pool.part(DRIVE, 3)),
    ):
        pass


def test_a_part_that_is_taken_over_between_being_opened_and_locked(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    """Whoever opened it never writes to it, although the lock is free again by then."""
    flock = fcntl.flock
    dead_writer(pool, 1, b"data")

    def late(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        take_over(pool, DRIVE, 2)
        publish(pool.part(DRIVE, 2), pool.image(DRIVE))
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(PartTaken), own_part(pool.part(DRIVE, 1)):
        pass
    assert names(pool) == ["d.img"]


def test_a_writer_that_makes_its_part_while_another_takes_the_last_one_over(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    """The name is another file's by then: that one is nobody's part."""
    flock = fcntl.flock
    dead_writer(pool, 1, b"data")

    def late(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        pool.part(DRIVE, 1).rename(pool.image(DRIVE))
        dead_writer(pool, 1, b"late")
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    take_over(pool, DRIVE, 2)
    assert names(pool) == ["d.img"]
    assert pool.image(DRIVE).read_bytes() == b"data"


def test_a_part_that_is_published_meanwhile(pool: Pool, monkeypatch: pytest.MonkeyPatch):
    """Its writer was quicker; the image is what is found."""
    flock = fcntl.flock
    dead_writer(pool, 1, b"data")

    def late(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        publish(pool.part(DRIVE, 1), pool.image(DRIVE))
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    take_over(pool, DRIVE, 2)
    assert names(pool) == ["d.img"]
