"""Drives that really grow, or are told to have failed to."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.composition import open_service
from api.service.service import Service
from api.service.settings import Settings
from ledger.domain.aggregates.drive import Drive
from ledger.domain.commands.drives import (
    CreateDrives,
    DeleteDrives,
    EditDrive,
    NewDrive,
    ResizeDrive,
)
from ledger.domain.events.drives import DriveDefinition, drive_stream
from ledger.images.files import grow
from ledger.store.writer import Caller
from ledger.workers import image_keeper
from tests.support.wait import PATIENCE_S, wait_for

ME = Caller("me", "")
MIB = 1024**2
UUID = "0192f0c1-2345-7890-abcd-0123456789ab"
CANNOT_GROW = "the image cannot grow; the service's log says why"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """With a ready drive of one MiB."""
    async with open_service(Settings(data=tmp_path)) as opened:
        new = NewDrive(UUID, DriveDefinition("d", "disk", MIB, "dssd"))
        await opened.ledger.execute(CreateDrives("me", (new,), "blank"), ME)
        settled(opened)
        yield opened


def drive(service: Service) -> Drive:
    found = service.ledger.current(drive_stream(UUID))
    assert isinstance(found, Drive)
    return found


def settled(service: Service) -> Drive:
    """The drive, once its image is no longer worked on."""
    wait_for("for the image", lambda: drive(service).ready and drive(service).resizing is None)
    return drive(service)


def image(service: Service) -> Path:
    return service.pools["main"].image(UUID)


def failures(service: Service) -> list[str]:
    with service.views.snapshot() as snapshot:
        return [entry.line.error for entry in snapshot.log_entries("me") if entry.line.error]


@pytest.mark.parametrize(
    "command", [ResizeDrive("me", UUID, 3 * MIB), EditDrive("me", UUID, size=3 * MIB)], ids=repr
)
async def test_the_image_grows_and_then_the_drive_says_so(service: Service, command: ResizeDrive):
    """What was in it stays, what is new is zeros."""
    image(service).write_bytes(b"x" * MIB)
    await service.ledger.execute(command, ME)
    assert settled(service).definition.size == 3 * MIB
    assert image(service).read_bytes() == b"x" * MIB + bytes(2 * MIB)


@pytest.mark.parametrize("when", ["before it grew", "after it grew"])
async def test_a_resize_that_a_dead_process_left_is_finished_by_the_next_one(
    service: Service, monkeypatch: pytest.MonkeyPatch, when: str
):
    """Whether it died before the image grew or after: it is done again."""

    died = threading.Event()

    def die(path: Path, size: int) -> None:
        if when == "after it grew":
            grow(path, size)
        died.set()
        raise RuntimeError("the process died")

    with monkeypatch.context() as patched:
        patched.setattr(image_keeper, "grow", die)
        await service.ledger.execute(ResizeDrive("me", UUID, 3 * MIB), ME)
        assert died.wait(PATIENCE_S)
    assert (drive(service).definition.size, drive(service).resizing) == (MIB, 3 * MIB)
    with service.views.snapshot() as snapshot:
        unfinished = snapshot.unfinished_drives()
    assert unfinished == [UUID]
    again = image_keeper.ImageKeeper(service.ledger, service.pools, service.environment)
    again.start(unfinished)
    again.stop()
    assert settled(service).definition.size == image(service).stat().st_size == 3 * MIB
    with service.views.snapshot() as snapshot:
        assert snapshot.unfinished_drives() == []


async def test_a_drive_whose_image_is_gone_does_not_grow(service: Service):
    """Its owner finds it in the log, without a path of this machine."""
    image(service).unlink()
    await service.ledger.execute(ResizeDrive("me", UUID, 3 * MIB), ME)
    assert settled(service).definition.size == MIB
    assert failures(service) == [CANNOT_GROW]


async def test_a_drive_that_no_file_can_be_large_enough_for_does_not_grow(service: Service):
    """The file system's limit is want of room; the image is as it was, and can grow less."""
    await service.ledger.execute(ResizeDrive("me", UUID, 2**62), ME)
    assert settled(service).definition.size == image(service).stat().st_size == MIB
    (told,) = failures(service)
    assert told.startswith("PoolFull: The pool has no room")
    await service.ledger.execute(ResizeDrive("me", UUID, 2 * MIB), ME)
    assert settled(service).definition.size == image(service).stat().st_size == 2 * MIB


async def test_an_image_that_is_longer_than_wanted_is_not_cut(service: Service):
    """Somebody wrote to it behind the ledger's back: the resize fails, and does not hang."""
    image(service).write_bytes(b"x" * 4 * MIB)
    await service.ledger.execute(ResizeDrive("me", UUID, 3 * MIB), ME)
    assert settled(service).definition.size == MIB
    assert image(service).stat().st_size == 4 * MIB
    assert failures(service) == [CANNOT_GROW]


async def test_a_drive_that_is_deleted_while_it_grows_is_gone(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    """The end of its resize comes too late, and makes no file."""

    def deleted_meanwhile(path: Path, size: int) -> None:
        service.ledger.execute_blocking(DeleteDrives("me", (UUID,)), ME)
        grow(path, size)

    monkeypatch.setattr(image_keeper, "grow", deleted_meanwhile)
    await service.ledger.execute(ResizeDrive("me", UUID, 3 * MIB), ME)
    wait_for("for the drive to go", lambda: drive(service).deleted and not image(service).exists())
