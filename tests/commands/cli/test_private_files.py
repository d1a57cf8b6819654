"""Nobody else may read what the ledger and its client write, whatever umask and directories say."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.admin.server import AdminServer
from api.cli import demo
from api.cli.commands.backup import _restore
from api.client.partial_file import Origin, partial_file
from api.client.saved_login import Login, save_login
from api.composition import open_service
from api.data.directory import data_lock
from api.data.location import PostgresDatabase, remember
from api.service.service import Service
from api.service.settings import Settings
from ledger.domain.commands.drives import CreateDrives, NewDrive
from ledger.domain.events.drives import DriveDefinition
from ledger.images.chunk_layout import Chunking
from ledger.images.pools import Pool
from ledger.proofs.keys import KEY_FILE, VERIFIER_FILE, KeyUnusable, signer_of
from ledger.store.writer import Caller
from projections.maintenance.backup.creation import take
from projections.maintenance.retention.compaction import ARCHIVES
from tests.support.wait import wait_until

CHUNK = 16384
UPLOAD = "0193a5a0-0000-7000-8000-000000000001"
ME = Caller("me", "")


@pytest.fixture(autouse=True)
def lax(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that would let everybody read and write; and a small demo."""
    monkeypatch.setattr(demo, "IMAGE_BYTES", 2 * demo.BLOCK_BYTES)
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(directory: Path) -> dict[str, str]:
    """The modes of all below a directory that others may do anything with."""
    found = {path: path.lstat().st_mode for path in directory.rglob("*")}
    return {
        str(path.relative_to(directory)): f"{stat.S_IMODE(mode):04o}"
        for path, mode in found.items()
        if not stat.S_ISLNK(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO)
    }


async def chunk() -> AsyncIterator[bytes]:
    yield os.urandom(CHUNK)


async def fill(service: Service, data: Path) -> None:
    """A demo, an upload that is not complete, and an archive, while copies and commits are made."""
    job = (await demo.make_demo(service, data)).job
    assert job is not None
    definition = DriveDefinition("birch", "disk", 2 * CHUNK, "dssd")
    new = CreateDrives("me", (NewDrive(UPLOAD, definition),), "chunked")
    await service.ledger.execute(new, ME)
    await service.intake.chunks.receive(UPLOAD, 0, Chunking(CHUNK, 2 * CHUNK), chunk())
    await wait_until("the copy is made", lambda: service.ledger.job(job).state == "success")
    await asyncio.to_thread(service.retention.set, timedelta(0))
    assert (await asyncio.to_thread(service.retention.run)).compacted is not None


async def test_what_a_service_writes(tmp_path: Path) -> None:
    """In directories that were there before, and are open to all."""
    data, pool = tmp_path / "data", tmp_path / "deep" / "pools" / "main"
    data.mkdir(mode=0o755)
    settings = Settings(data=data, pools=(Pool("main", pool),), reserve=2**20)
    with data_lock(data):
        async with open_service(settings) as service, AdminServer(service):
            await fill(service, data)
            remember(data, PostgresDatabase("postgresql://ada:secret@db/ledger"))
            names = {path.name for path in data.rglob("*")} | {path.name for path in pool.iterdir()}
            assert {
                *("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "lock", "reserve"),
                *("admin.sock", "demo-password", "store", KEY_FILE, VERIFIER_FILE),
                *(f"{UPLOAD}.upload", f"{UPLOAD}.chunks"),
            } <= names
            assert len(list((data / ARCHIVES).iterdir())) == 1
            assert open_to_others(tmp_path) == {"data": "0755"}


async def test_what_is_backed_up_and_restored(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    with data_lock(settings.data):
        async with open_service(settings) as service:
            await fill(service, settings.data)
    backup = tmp_path / "kept" / "backup"
    taken = take(
        settings.data / "ledger.sqlite",
        settings.data / ARCHIVES,
        lambda: signer_of(settings.data, new_id=str),
        backup,
        pools=settings.named_pools(),
        now=lambda: datetime.now(UTC),
    )
    assert taken.missing == []
    await asyncio.to_thread(_restore, backup, Settings(data=tmp_path / "put" / "back"))
    assert open_to_others(tmp_path) == {}


def test_what_the_client_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token, and an image; a file of the same name may have been there."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    save_login(Login("http://ledger", "token"))
    with partial_file(tmp_path / "home" / "x.img") as part:
        part.begin(Origin("ledger", "drive", 5))
        part.append(b"image")
        assert open_to_others(tmp_path) == {}
        part.complete()
    assert open_to_others(tmp_path) == {}


async def test_what_an_earlier_version_has_left_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is closed at the next start, and said so; but for the key, which signs nothing then."""
    data = tmp_path / "data"
    settings = Settings(data=data)
    with data_lock(data):
        async with open_service(settings) as service:
            await fill(service, data)
    data.chmod(0o755)
    for path in (each for each in data.rglob("*") if each.is_file()):
        path.chmod(0o644)
    (data / KEY_FILE).chmod(0o600)
    with data_lock(data):
        left = open_to_others(data)
        assert {Path(name).parts[0] for name in left} == {"pools"}
        assert f"others could read {data / 'ledger.sqlite'} (mode 0644)" in caplog.text
    (data / KEY_FILE).chmod(0o644)
    with data_lock(data), pytest.raises(KeyUnusable, match="others may read"):
        signer_of(data, new_id=str)


async def test_a_link_out_of_the_data_directory_is_left_alone(tmp_path: Path) -> None:
    """What it leads to is not the ledger's."""
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir(mode=0o755)
    other.touch(0o644)
    (data / "link").symlink_to(other)
    with data_lock(data):
        assert stat.S_IMODE(other.stat().st_mode) == 0o644
