"""Uploads that end in the wrong moment."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from pathlib import Path

import pytest

from api.composition import open_service
from api.resources.drives.representation import represent_drive
from api.service.service import Service
from api.service.settings import Settings
from ledger.domain.commands.drives import CreateDrives, NewDrive
from ledger.domain.events.drives import DriveDefinition
from ledger.images.errors import PoolFull
from ledger.images.incoming_image import IncomingImage
from ledger.store.writer import Caller
from ledger.workers import image_keeper
from projections.views.read_models import DriveView
from tests.support.opened import behind_its_back
from tests.support.wait import PATIENCE_S, wait_until

ME = Caller("me", "")
SIZE = 16384 * 64
IMAGE = DriveDefinition("upload", "disk", SIZE, "dssd")


def receive(service: Service) -> Coroutine[None, None, str]:
    """An upload of one image by nobody in particular."""
    record = partial(service.ledger.execute, by=ME)
    return service.intake.receive(ME.actor, IMAGE, sent(), record)


async def sent() -> AsyncIterator[bytes]:
    yield b"x" * SIZE


async def test_a_client_that_leaves_while_its_image_is_synced_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The thread that syncs goes on, so what it finishes is removed behind it."""
    begun, leaving, go_on = threading.Event(), threading.Event(), threading.Event()
    finish, discard = IncomingImage.finish, image_keeper._discard

    def finish_slowly(self: IncomingImage, size: int) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        finish(self, size)

    def discard_seen(incoming: IncomingImage, path: Path) -> None:
        leaving.set()
        discard(incoming, path)

    monkeypatch.setattr(IncomingImage, "finish", finish_slowly)
    monkeypatch.setattr(image_keeper, "_discard", discard_seen)
    async with open_service(Settings(data=tmp_path)) as service:
        upload = asyncio.create_task(receive(service))
        assert await asyncio.to_thread(begun.wait, PATIENCE_S)
        upload.cancel()
        assert await asyncio.to_thread(leaving.wait, PATIENCE_S)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert list(service.pools["main"].path.iterdir()) == []
        with service.views.snapshot() as snapshot:
            assert snapshot.count("drives", "me") == 0


async def test_an_upload_whose_image_cannot_be_published_is_no_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The client is told, and neither a drive nor a file is left."""

    def full(*_: Path) -> None:
        raise PoolFull("no room")

    monkeypatch.setattr(image_keeper, "publish", full)
    async with open_service(Settings(data=tmp_path)) as service:
        with pytest.raises(PoolFull):
            await receive(service)
        assert list(service.pools["main"].path.iterdir()) == []
        with service.views.snapshot() as snapshot:
            assert snapshot.count("drives", "me") == 0


async def test_a_drive_whose_image_cannot_be_made_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is `unavailable`, the ledger knows why, and the next start makes the image."""

    def full(*_: object) -> None:
        raise PoolFull("no room")

    def drive(service: Service) -> DriveView:
        with service.views.snapshot() as snapshot:
            found = snapshot.drive(uuid, ME.actor)
        assert found is not None
        return found

    make = image_keeper.create_blank
    monkeypatch.setattr(image_keeper, "create_blank", full)
    async with open_service(Settings(data=tmp_path)) as service:
        uuid = service.new_id()
        command = CreateDrives(ME.actor, (NewDrive(uuid, IMAGE),), "blank")
        await service.ledger.execute(command, ME)
        await wait_until("it is told", lambda: drive(service).failed)
        assert represent_drive(drive(service)).status == "unavailable"
        recorded = service.ledger.drive(uuid)
        assert recorded is not None
        assert recorded.failed is not None
        assert "has no room" in recorded.failed
    monkeypatch.setattr(image_keeper, "create_blank", make)
    async with open_service(Settings(data=tmp_path)) as service:
        await wait_until("its image is made", lambda: drive(service).ready)
        assert service.pools["main"].image(uuid).stat().st_size == SIZE


async def test_a_drive_that_cannot_be_read_keeps_its_files(tmp_path: Path):
    """The service starts all the same, and does what it can for the others."""
    async with open_service(Settings(data=tmp_path)) as service:
        kept, gone = await receive(service), service.new_id()
        pool = service.pools["main"]
    image, part = pool.image(kept), pool.path / f"{kept}.1.part"
    left_over = pool.path / f"{gone}.1.part"
    part.touch()
    left_over.touch()
    with behind_its_back(tmp_path / "ledger.sqlite") as connection:
        connection.execute("UPDATE stored_events SET state = x'00' WHERE topic LIKE 'drive-%'")
    async with open_service(Settings(data=tmp_path)):
        assert image.exists()
        assert part.exists()
        assert not left_over.exists()
