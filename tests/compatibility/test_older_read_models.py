"""A ledger that earlier code wrote: its read models are rebuilt before all else.

`ledger_of_shape_1.sql` is the dump of such a file, as the last code with that shape left it: a
server clone that still runs, a drive clone that failed, and what there was before.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from api.composition import open_ledger
from api.data.location import LEDGER_FILE
from api.service.service import OpenLedger
from ledger.domain.commands.drives import CloneDrive, EditDrive, ResizeDrive
from ledger.domain.commands.jobs import CancelJob
from ledger.domain.commands.profiles import EditProfile
from ledger.domain.errors.store import StoreFailed
from ledger.images.pools import Pool
from ledger.store.sqlite.connections import sqlite_reader
from ledger.store.writer import Caller
from projections.audit.findings import CannotReplay
from projections.audit.replay import replay
from projections.maintenance.rebuild import rebuild
from projections.tables import SCHEMA_VERSION
from projections.views.snapshot import Snapshot
from projections.views.views import Views
from tests.support.opened import Opened, behind_its_back, shown_rows
from tests.support.read_models import drives_of
from tests.support.world import GIB, ME

DUMP = Path(__file__).with_name("ledger_of_shape_1.sql")
BY_ME = Caller(ME, "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the older ledger lies."""
    found = tmp_path / LEDGER_FILE
    with closing(sqlite3.connect(found)) as connection:
        connection.executescript(DUMP.read_text(encoding="utf-8"))
    return found


def silent(_done: int, _total: int) -> None:
    pass


def tables(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master") if "_g" in name
        }


def shape(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        [(found,)] = connection.execute("SELECT shape FROM projection_head")
    return int(found)


async def test_rows_of_an_earlier_shape_are_rebuilt_at_the_start(file: Path):
    """They are those of a fresh rebuild, nothing is left of the old ones, and an audit is sound."""
    assert shape(file) == 1
    async with open_ledger(file.parent) as opened:
        assert shape(file) == SCHEMA_VERSION
        rows = shown_rows(file)
        again = rebuild(opened.ledger, silent)
        assert again.before == again.after
        assert shown_rows(file) == rows
    assert not {name for name in tables(file) if "_g1" in name or "_g2" in name}
    replayed = replay(sqlite_reader(file).log, silent)
    assert (replayed.divergence, replayed.events) == (None, 32)


async def test_what_an_earlier_ledger_held_is_shown(file: Path):
    """Drives, the running clone, the secrets; and its log, which earlier code did not keep."""
    async with open_ledger(file.parent):
        with closing(Views(sqlite_reader(file), lambda: 0)) as views, views.snapshot() as snapshot:
            assert [drive.uuid for drive in drives_of(snapshot, ME)] == [
                "a",
                "b",
                "cd",
                "new-1",
                "new-3",
            ]
            check_running_clone(snapshot)
            failed = [e.line for e in snapshot.log_entries(ME) if e.line.action == "fail"]
            assert [(line.uuid, line.error) for line in failed] == [("clone-of-a", "on fire")]


def check_running_clone(snapshot: Snapshot) -> None:
    tree = snapshot.job("clone-of-s", ME)
    assert tree is not None
    assert [(c.job.uuid, c.job.state, c.job.progress) for c in tree.children] == [
        ("new-2", "success", 100),
        ("new-4", "started", 41),
    ]
    [server] = snapshot.servers_among(["s2"], ME)
    assert [mount.drive for mount in server.mounts] == ["new-1", "new-3", "cd"]
    assert (server.vnc_password, server.host, server.tags) == ("hush", None, [])


async def test_an_earlier_ledger_goes_on_with_what_it_could_not_do(file: Path, tmp_path: Path):
    """Cancel, resize, rename and name clones: on top of the old events."""
    async with open_ledger(file.parent, {"fast": Pool("fast", tmp_path)}) as opened:
        await do_what_is_new(opened)
        with closing(Views(sqlite_reader(file), lambda: 0)) as views, views.snapshot() as snapshot:
            assert snapshot.servers_among(["s2"], ME) == []
            copy = snapshot.drive("copy", ME)
            assert copy is not None
            assert copy.definition.name == "renamed_1"
            assert snapshot.unfinished_drives() == ["b", "theirs"]
    assert replay(sqlite_reader(file).log, silent).divergence is None


async def do_what_is_new(opened: OpenLedger) -> None:
    for command in (
        CancelJob(ME, "clone-of-s"),
        EditProfile(ME, {"phone": '"1"'}, "COUNTER"),
        EditDrive(ME, "a", name="renamed"),
        ResizeDrive(ME, "b", 2 * GIB),
        CloneDrive(ME, "a", "copy", "j"),
    ):
        await opened.ledger.execute(command, BY_ME)


async def test_a_rebuild_that_died_is_begun_again(file: Path):
    """What it had filled of the next generation is thrown away."""
    with behind_its_back(file) as connection:
        connection.execute("CREATE TABLE jobs_g2 AS SELECT * FROM jobs_g1")
        connection.execute("CREATE TABLE attachments_g2 (server, place, drive, server_created)")
        connection.execute("INSERT INTO attachments_g2 VALUES ('x', 1, 'x', 'x')")
    async with open_ledger(file.parent) as opened:
        again = rebuild(opened.ledger, silent)
        assert again.before == again.after
    assert replay(sqlite_reader(file).log, silent).divergence is None


async def test_a_ledger_of_this_shape_is_not_rebuilt(tmp_path: Path):
    """Its rows are there; the generation stays the first."""
    with Opened(tmp_path / LEDGER_FILE) as opened:
        opened.do(EditProfile(ME, {}, "COUNTER"))
    before = tables(tmp_path / LEDGER_FILE)
    async with open_ledger(tmp_path):
        assert tables(tmp_path / LEDGER_FILE) == before


async def test_a_ledger_of_a_later_shape_is_refused(file: Path):
    """And left as it is."""
    with behind_its_back(file) as connection:
        connection.execute("UPDATE projection_head SET shape = ?", (SCHEMA_VERSION + 1,))
    before = tables(file)
    with pytest.raises(StoreFailed, match=f"version {SCHEMA_VERSION + 1}"):
        async with open_ledger(file.parent):
            pass
    assert (tables(file), shape(file)) == (before, SCHEMA_VERSION + 1)


def test_an_earlier_ledger_cannot_be_audited_before_its_first_start(file: Path):
    """The auditor writes nothing; it says what is wanting."""
    with pytest.raises(CannotReplay, match="earlier version"):
        replay(sqlite_reader(file).log, silent)
