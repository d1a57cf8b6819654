"""The reserve on the disk of a ledger in SQLite: when it is made, given up and made again."""

import os
import sqlite3
import stat
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from ledger.domain.commands.tags import CreateTags, DeleteTag, NewTag
from ledger.domain.disk_space import RESERVE_MOST, DiskState, longest_wal
from ledger.domain.errors.store import BackupHeldUp, ReadCut, StoreFull
from ledger.store.seam import Store
from ledger.store.sqlite import backup
from ledger.store.sqlite import long_reads as sqlite_long_reads
from ledger.store.sqlite.connections import long_reads, sqlite_reader
from ledger.store.sqlite.disk import Disk
from ledger.store.sqlite.store import SqliteStore
from ledger.store.sqlite.wal import Wal, giving_way
from projections.views.generations import InlineProjection
from projections.views.views import Views
from tests.faults.conftest import mounted
from tests.support.opened import Opened
from tests.support.read_models import tags_of
from tests.support.wait import PATIENCE_S, wait_for
from tests.support.world import ME

MIB = 1024**2
RESERVE = 4 * MIB
DISK = f"size={24 * MIB}"
META = {"notes": "x" * 20_000}


class Reserving(Opened):
    """A ledger that keeps a reserve on its disk."""

    def open_store(self, projection: InlineProjection) -> Store:
        self.reads = long_reads(self.file)
        return SqliteStore(self.file, projection, reserve=RESERVE_MOST, reads=self.reads)

    def open_views(self) -> Views:
        return Views(sqlite_reader(self.file, self.reads), lambda: self.ledger.commits)

    def create(self, *tags: str) -> None:
        for tag in tags:
            self.do(CreateTags(ME, (NewTag(tag, tag, META),)))

    def delete(self, tag: str) -> None:
        self.do(DeleteTag(ME, tag))

    def look(self) -> DiskState:
        """As before each command."""
        return self.ledger.exclusive(lambda _: self.state()).result(PATIENCE_S)

    def wait_for_reserve(self) -> None:
        wait_for("for the reserve to be made", lambda: self.look() is DiskState.ROOMY)

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
    opened.wait_for_reserve()
    opened.create("c")
    assert disk.reserve.stat().st_size == RESERVE


def test_the_reserve_is_made_beside_the_writer(
    opened: Reserving, disk: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends and makes room is recorded meanwhile, and nothing else yet."""
    made, go_on = threading.Event(), threading.Event()

    def make(_: Disk) -> bool:
        made.set()
        assert go_on.wait(PATIENCE_S)
        return make_reserve(opened.store._disk)

    assert isinstance(opened.store, SqliteStore)
    make_reserve = Disk._make_reserve
    opened.create("a", "b")
    disk.take_all_but(0)
    opened.look()
    monkeypatch.setattr(Disk, "_make_reserve", make)
    disk.give_back()
    try:
        opened.look()
        assert made.wait(PATIENCE_S)
        opened.delete("a")
        with pytest.raises(StoreFull):
            opened.create("c")
    finally:
        go_on.set()
    opened.wait_for_reserve()
    opened.create("c")


def test_whoever_closes_leaves_no_part_of_a_reserve(
    disk: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = threading.Event()

    def urandom(size: int) -> bytes:
        writing.set()
        return b"x"

    with Reserving(disk.ledger) as opened:
        disk.take_all_but(0)
        opened.look()
        monkeypatch.setattr(os, "urandom", urandom)
        disk.give_back()
        opened.look()
        assert writing.wait(PATIENCE_S)
    assert not disk.reserve.exists()


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
        assert {tag.uuid for tag in tags_of(snapshot, ME)} == {*made}
    assert opened.replay().divergence is None


def check_wal_stays_short(opened: Reserving, disk: Small) -> None:
    longest = 0
    for nth in range(150):
        opened.create(f"tag-{nth}")
        longest = max(longest, disk.wal.stat().st_size)
    assert disk.ledger.stat().st_size > RESERVE
    assert RESERVE // 4 < longest <= RESERVE // 2


def test_the_wal_is_shorter_than_the_reserve(opened: Reserving, disk: Small) -> None:
    """Or giving up the reserve would not be enough to fold it."""
    check_wal_stays_short(opened, disk)


def test_long_reads_are_cut_before_the_wal_is_too_long(opened: Reserving, disk: Small) -> None:
    """Whether they are parked, as that of a slow client, or have only begun; and so are audits.

    What was read before stands. Afterwards the next one reads to its end.
    """
    opened.create("a", "b")
    with (
        opened.views.long_snapshot() as parked,
        opened.views.long_snapshot() as begun,
        opened.ledger.log() as log,
    ):
        parked.cursor.execute("SELECT uuid FROM tags_g1 ORDER BY uuid")
        assert parked.cursor.fetchone() == ("a",)
        events = log.events()
        assert next(events).stream == "tag-a"
        check_wal_stays_short(opened, disk)
        with pytest.raises(ReadCut, match="ask for less"):
            tags_of(begun, ME)
        with pytest.raises(ReadCut):
            parked.cursor.fetchone()
        with pytest.raises(ReadCut):
            log.count()
    with opened.ledger.log() as log:
        assert len(list(log.events())) == 152
    assert opened.replay().divergence is None


def test_a_read_that_is_busy_is_cut_too(opened: Reserving, disk: Small) -> None:
    began = threading.Event()

    def read_for_ever() -> None:
        with opened.ledger.log() as log:
            began.set()
            log.cursor().execute(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
                " SELECT count(*) FROM n"
            )

    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(read_for_ever)
        assert began.wait(PATIENCE_S)
        check_wal_stays_short(opened, disk)
        assert isinstance(reading.exception(PATIENCE_S), ReadCut)


def test_the_read_of_another_process_gives_way_first(
    opened: Reserving, disk: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be cut from here; as soon as it goes on, it looks at the WAL itself."""
    monkeypatch.setattr(sqlite_long_reads, "LOOK_S", 0)
    opened.create("a")
    with sqlite_reader(disk.ledger).log() as log, opened.views.long_snapshot() as here:
        assert log.count() == 1

        def read_until_cut() -> None:
            for nth in count():
                opened.create(f"tag-{nth}")
                log.count()

        with pytest.raises(ReadCut):
            read_until_cut()
        assert len(tags_of(here, ME)) == 1
    assert disk.wal.stat().st_size < RESERVE // 2


def test_a_file_that_nobody_writes_to_is_read_on_a_full_disk(
    disk: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a backup is, or what is on media that are full once and for all: there is no WAL."""
    monkeypatch.setattr(sqlite_long_reads, "LOOK_S", 0)
    with Opened(disk.ledger) as opened:
        opened.do(CreateTags(ME, (NewTag("a", "t", META),)))
    disk.take_all_but(MIB // 2)
    with sqlite_reader(disk.ledger).log() as log:
        assert log.count() == 1
    with Opened(disk.ledger) as opened, sqlite_reader(disk.ledger).log() as log:
        assert log.count() == 1
        opened.do(DeleteTag(ME, "a"))
        with pytest.raises(ReadCut):
            log.count()


def test_a_read_that_cannot_be_reached_is_waited_for(
    opened: Reserving,
    disk: Small,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As that of a process that stands still; the service goes on, and says so."""
    monkeypatch.setattr(sqlite_long_reads, "LOOK_S", 0)
    opened.create("a")
    with sqlite_reader(disk.ledger).log() as log:
        nth = 0
        while "another process reads for long" not in caplog.text:
            nth += 1
            opened.create(f"tag-{nth}")
        with pytest.raises(ReadCut):
            log.count()
    opened.create("b")


def test_a_read_that_ends_meanwhile_is_not_taken_for_one_of_another_process(
    disk: Small, caplog: pytest.LogCaptureFixture
) -> None:
    """It kept the WAL from being folded, and there is nothing left to cut."""
    disk.wal.write_bytes(bytes(RESERVE))
    folds = iter([False, True])
    Wal(disk.ledger, RESERVE, lambda: next(folds), long_reads(disk.ledger)).keep_short()
    assert next(folds, None) is None
    assert caplog.text == ""


def test_a_start_without_a_free_byte_writes_nothing(disk: Small) -> None:
    with Reserving(disk.ledger) as opened:
        opened.create("a")
    disk.take_all_but(0)
    before = disk.ledger.read_bytes()
    with Reserving(disk.ledger) as opened:
        assert disk.wal.stat().st_size == 0
        opened.delete("a")
        assert disk.wal.stat().st_size > 0
    assert disk.ledger.read_bytes() != before


def test_a_start_folds_a_wal_that_was_left_long(disk: Small) -> None:
    """Before anybody reads, or the first reads would be cut for it."""
    Reserving(disk.ledger).close()
    with closing(foreign_read(disk)), Reserving(disk.ledger) as opened:
        nth = 0
        while disk.wal.stat().st_size < longest_wal(RESERVE).here:
            nth += 1
            opened.create(f"tag-{nth}")
    assert disk.wal.stat().st_size >= longest_wal(RESERVE).here
    with Reserving(disk.ledger):
        assert disk.wal.stat().st_size == 0


def test_a_read_goes_on_while_nobody_writes(
    opened: Reserving, disk: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a WAL that is long already, as an audit in another process; until it grows."""
    monkeypatch.setattr(sqlite_long_reads, "LOOK_S", 0)
    with closing(foreign_read(disk)):
        for nth in count():
            opened.create(f"tag-{nth}")
            if disk.wal.stat().st_size > longest_wal(RESERVE).elsewhere:
                break
        with sqlite_reader(disk.ledger).log() as log:
            assert log.count() == nth + 1
            opened.create("b")
            with pytest.raises(ReadCut):
                log.count()


class Beside:
    """Records something whenever a backup looks whether it must give way, in some of its tries."""

    def __init__(self, opened: Reserving, disk: Small, *, tries: int) -> None:
        self._opened = opened
        self._disk = disk
        self._busy_tries = tries
        self._names = count()
        self.tries = 0
        self.longest = 0

    def giving_way(self, file: Path) -> Callable[[], bool]:
        must_give_way = giving_way(file)
        self.tries += 1

        def record_and_look() -> bool:
            if self.tries <= self._busy_tries:
                self._opened.create(f"tag-{next(self._names)}")
            self.longest = max(self.longest, self._disk.wal.stat().st_size)
            return must_give_way()

        return record_and_look

    @property
    def recorded(self) -> int:
        return next(self._names)


def beside(
    opened: Reserving, disk: Small, monkeypatch: pytest.MonkeyPatch, *, tries: int
) -> Beside:
    found = Beside(opened, disk, tries=tries)
    monkeypatch.setattr(backup, "giving_way", found.giving_way)
    monkeypatch.setattr(backup, "PAUSE_S", 0)
    monkeypatch.setattr(backup, "LOOK_STEPS", 1)
    return found


def test_a_backup_gives_way_and_begins_anew(
    opened: Reserving, disk: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the WAL stays short; and in the end it has everything."""
    opened.create("a")
    writing = beside(opened, disk, monkeypatch, tries=2)
    backup.copy_ledger(disk.ledger, tmp_path / "copy")
    assert writing.tries == 3
    assert RESERVE // 4 < writing.longest < RESERVE // 2
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (recorded,) = copy.execute("SELECT count(*) FROM stored_events").fetchone()
    assert recorded == 1 + writing.recorded


def test_a_backup_that_always_has_to_give_way_says_so(
    opened: Reserving, disk: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.create("a")
    writing = beside(opened, disk, monkeypatch, tries=backup.TRIES)
    with pytest.raises(BackupHeldUp, match="when less is written"):
        backup.copy_ledger(disk.ledger, tmp_path / "copy")
    assert writing.tries == backup.TRIES
    assert writing.longest < RESERVE // 2


def foreign_read(disk: Small) -> sqlite3.Connection:
    """The read of a program that is not ours, and stands still."""
    connection = sqlite3.connect(f"{disk.ledger.as_uri()}?mode=ro", uri=True)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM stored_events").fetchone()
    return connection


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
        opened.wait_for_reserve()
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
