"""The reserve on the disk of a ledger in SQLite: when it is made, given up and made again."""

import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.domain.commands import CreateTags, DeleteTag, NewTag
from ledger.domain.disk_space import RESERVE_MOST, DiskState
from ledger.domain.errors import StoreFull
from ledger.store.seam import Store
from ledger.store.sqlite.disk import Disk
from ledger.store.sqlite.store import SqliteStore
from projections.views.generations import InlineProjection
from tests.faults.conftest import mounted
from tests.support.opened import Opened
from tests.support.world import ME

MIB = 1024**2
RESERVE = 4 * MIB
DISK = f"size={24 * MIB}"
META = {"notes": "x" * 20_000}


class Reserving(Opened):
    """A ledger that keeps a reserve on its disk."""

    def open_store(self, projection: InlineProjection) -> Store:
        return SqliteStore(self.file, projection, reserve=RESERVE_MOST)

    def create(self, *tags: str) -> None:
        for tag in tags:
            self.do(CreateTags(ME, (NewTag(tag, tag, META),)))

    def delete(self, tag: str) -> None:
        self.do(DeleteTag(ME, tag))

    def state(self) -> DiskState:
        space = self.ledger.disk_space()
        assert space is not None
        return space.state


class Small:
    """The small disk, and what is not ours on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = path / "ledger.sqlite"
        self.reserve = path / "reserve"
        self.wal = path / "ledger.sqlite-wal"
        self._filler = path / "filler"

    def free(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def take_all_but(self, left: int) -> None:
        with self._filler.open("ab", buffering=0) as filler:
            while self.free() > left:
                filler.write(bytes(min(self.free() - left, MIB)))

    def give_back(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Small]:
    with mounted(tmp_path / "disk", DISK) as path:
        yield Small(path)


@pytest.fixture
def opened(disk: Small) -> Iterator[Reserving]:
    with Reserving(disk.ledger) as opened:
        yield opened
        assert opened.failures == []


def test_the_reserve_takes_its_room(opened: Reserving, disk: Small) -> None:
    """Also where the file system compresses; and nobody else may read what was there before."""
    content = disk.reserve.read_bytes()
    assert len(content) == RESERVE
    assert len(zlib.compress(content)) >= RESERVE
    assert stat.S_IMODE(disk.reserve.stat().st_mode) == 0o600


def test_a_low_disk_takes_what_makes_room(opened: Reserving, disk: Small) -> None:
    opened.create("a", "b")
    disk.take_all_but(RESERVE - 1)
    with pytest.raises(StoreFull, match="deleted"):
        opened.create("c")
    assert opened.state() is DiskState.LOW
    opened.delete("a")
    assert disk.reserve.exists()
    disk.give_back()
    opened.create("c")
    assert opened.state() is DiskState.ROOMY


def test_a_full_disk_has_the_room_of_the_reserve(opened: Reserving, disk: Small) -> None:
    """The WAL is folded into the file meanwhile. With room for two, there is a reserve again."""
    opened.create("a", "b")
    disk.take_all_but(0)
    opened.delete("a")
    assert opened.state() is DiskState.FULL
    assert not disk.reserve.exists()
    with pytest.raises(StoreFull):
        opened.create("c")
    disk.give_back()
    disk.take_all_but(2 * RESERVE - MIB)
    with pytest.raises(StoreFull):
        opened.create("c")
    disk.give_back()
    opened.create("c")
    assert opened.state() is DiskState.ROOMY
    assert disk.reserve.stat().st_size == RESERVE


def created_until_refused(opened: Opened) -> list[str]:
    made: list[str] = []
    while True:
        name = f"more-{len(made)}"
        try:
            opened.do(CreateTags(ME, (NewTag(name, "t", META),)))
        except StoreFull:
            return made
        made.append(name)


def test_a_disk_that_is_filled_during_a_commit(
    opened: Reserving, disk: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit is refused by SQLite; then there is the reserve, and room for the rest.

    It is not made again at once: some disks are full although they say that there is room.
    """
    opened.create("a")
    with monkeypatch.context() as patch:
        patch.setattr(Disk, "free_bytes", lambda _: 24 * MIB)
        disk.take_all_but(0)
        made = created_until_refused(opened)
        assert not disk.reserve.exists()
        opened.delete("a")
        assert opened.state() is DiskState.FULL
    with opened.snapshot() as snapshot:
        assert {tag.uuid for tag in snapshot.tags(ME, limit=-1)} == {*made}
    assert opened.replay().divergence is None


def test_the_wal_is_shorter_than_the_reserve(opened: Reserving, disk: Small) -> None:
    """Or giving up the reserve would not be enough to fold it."""
    longest = 0
    for nth in range(150):
        opened.create(f"tag-{nth}")
        longest = max(longest, disk.wal.stat().st_size)
    assert disk.ledger.stat().st_size > RESERVE
    assert longest <= RESERVE // 2


def test_half_a_reserve_is_made_anew(disk: Small) -> None:
    """A process was killed while it made it."""
    disk.reserve.write_bytes(bytes(MIB))
    with Reserving(disk.ledger) as opened:
        opened.create("a")
        assert disk.reserve.stat().st_size == RESERVE


def test_a_reserve_that_does_not_fit_is_not_made(disk: Small) -> None:
    disk.take_all_but(2 * RESERVE - MIB)
    with Reserving(disk.ledger) as opened:
        with pytest.raises(StoreFull):
            opened.create("a")
        assert not disk.reserve.exists()
        disk.give_back()
        opened.create("a")
        assert disk.reserve.exists()


def test_a_ledger_without_a_reserve_refuses_what_does_not_fit(disk: Small) -> None:
    with Opened(disk.ledger) as opened:
        disk.take_all_but(0)
        created_until_refused(opened)
        assert opened.failures == []
        disk.give_back()
        opened.do(CreateTags(ME, (NewTag("after", "t", META),)))


def test_a_command_that_keeps_no_reserve_gives_up_the_services(disk: Small) -> None:
    Reserving(disk.ledger).close()
    disk.take_all_but(0)
    with Opened(disk.ledger) as opened:
        assert not disk.reserve.exists()
        opened.do(CreateTags(ME, (NewTag("a", "t", META),)))
    assert not disk.reserve.exists()
