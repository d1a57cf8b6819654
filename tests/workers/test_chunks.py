"""Drives made of chunks, when two come at once, and when something fails in the wrong moment."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.composition import open_service
from api.service.service import Service
from api.service.settings import Settings
from ledger.domain.aggregates.drive import Drive
from ledger.domain.commands.drives import CreateDrives, DeleteDrives, NewDrive
from ledger.domain.errors.drives import DriveNotFound
from ledger.domain.errors.uploads import ChunkPresent, NotUploading, UploadGone
from ledger.domain.events.drives import DriveDefinition, DriveOrigin, drive_stream
from ledger.images.chunk_layout import Chunking
from ledger.images.chunked_upload import ChunkedUpload, IncomingChunk
from ledger.images.errors import PoolFull
from ledger.store.writer import Caller
from ledger.workers import chunk_intake as chunks
from ledger.workers.transfer_threads import TransferThreads
from tests.support.wait import PATIENCE_S, patience, wait_until

ME = Caller("me", "")
CHUNK = 16384
IMAGE = os.urandom(4 * CHUNK)
SAID = Chunking(CHUNK, len(IMAGE))
DRIVE = "0193a5a0-0000-7000-8000-000000000001"
STRANGER = "0193a5a0-0000-7000-8000-000000000002"


async def create(service: Service, origin: DriveOrigin = "chunked") -> None:
    definition = DriveDefinition("birch", "disk", len(IMAGE), "dssd")
    await service.ledger.execute(CreateDrives("me", (NewDrive(DRIVE, definition),), origin), ME)


async def delete(service: Service) -> None:
    await service.ledger.execute(DeleteDrives("me", (DRIVE,)), ME)


async def send(service: Service, *numbers: int) -> None:
    for number in numbers:
        await service.intake.chunks.receive(DRIVE, number, SAID, sent(number))


async def sent(number: int) -> AsyncIterator[bytes]:
    yield IMAGE[number * CHUNK : (number + 1) * CHUNK]


def ready(service: Service) -> bool:
    drive = service.ledger.current(drive_stream(DRIVE))
    assert isinstance(drive, Drive)
    return drive.ready


def readied(service: Service) -> int:
    """How often the drive was made ready."""
    with service.ledger.log() as log:
        return sum(topic == "drive-ready/1" for _, topic, _ in log.stream(drive_stream(DRIVE)))


def files(service: Service) -> set[str]:
    path = service.pools["main"].path
    return {each.name.removeprefix(DRIVE) for each in path.iterdir()}


async def wait_for_no_files(service: Service) -> None:
    await wait_until("for all files to go", lambda: not files(service))


def image(service: Service) -> bytes:
    return service.pools["main"].image(DRIVE).read_bytes()


@pytest.fixture
def where(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, copying=False)


@pytest.fixture(autouse=True)
def open_files() -> Iterator[None]:
    """No test leaves a chunk open, however it ends."""
    yield
    opened = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
    assert not [each for each in opened if ".upload" in each]


async def test_the_last_chunks_race(where: Settings, monkeypatch: pytest.MonkeyPatch):
    """However the last chunks meet, the image is published and the drive made ready once."""
    together = threading.Barrier(4)
    finish = IncomingChunk.finish

    def finish_together(self: IncomingChunk) -> bool:
        together.wait(PATIENCE_S)
        return finish(self)

    monkeypatch.setattr(IncomingChunk, "finish", finish_together)
    async with open_service(where) as service:
        await create(service)
        await asyncio.gather(*(send(service, number) for number in range(4)))
        assert readied(service) == 1
        assert image(service) == IMAGE
        assert files(service) == {".img"}


async def test_completed_by_several(where: Settings, monkeypatch: pytest.MonkeyPatch):
    """Whoever finds all chunks there may finish the drive, and it happens once."""
    together = threading.Barrier(4)
    publish = ChunkedUpload.publish

    def publish_together(self: ChunkedUpload, path: Path) -> None:
        together.wait(PATIENCE_S)
        publish(self, path)

    async with open_service(where) as service:
        await create(service)
        monkeypatch.setattr(ChunkedUpload, "publish", full)
        with pytest.raises(PoolFull):
            await send(service, 0, 1, 2, 3)
        monkeypatch.setattr(ChunkedUpload, "publish", publish_together)
        complete = service.intake.chunks.complete_drive
        await asyncio.gather(*(asyncio.to_thread(complete, DRIVE) for _ in range(4)))
        assert readied(service) == 1
        assert image(service) == IMAGE
        complete(DRIVE)
        assert readied(service) == 1


def full(*_: object) -> None:
    raise PoolFull("no room")


async def test_the_next_start_finishes(where: Settings, monkeypatch: pytest.MonkeyPatch):
    """An upload whose chunks are all there is a drive after the next start."""
    async with open_service(where) as service:
        await create(service)
        with monkeypatch.context() as patch:
            patch.setattr(ChunkedUpload, "publish", full)
            with pytest.raises(PoolFull):
                await send(service, 0, 1, 2, 3)
        assert not ready(service)
        assert files(service) == {".upload", ".chunks"}
    async with open_service(where) as service:
        assert readied(service) == 1
        assert image(service) == IMAGE
        assert files(service) == {".img"}


async def test_the_next_start_finishes_what_was_published(
    where: Settings, monkeypatch: pytest.MonkeyPatch
):
    """An image that has its name already, but whose drive is not ready, is found by its name."""
    publish = ChunkedUpload.publish

    def published_and_full(self: ChunkedUpload, path: Path) -> None:
        publish(self, path)
        full()

    async with open_service(where) as service:
        await create(service)
        with monkeypatch.context() as patch:
            patch.setattr(ChunkedUpload, "publish", published_and_full)
            with pytest.raises(PoolFull):
                await send(service, 0, 1, 2, 3)
        assert files(service) == {".img", ".chunks"}
        assert not ready(service)
    async with open_service(where) as service:
        assert readied(service) == 1
        assert image(service) == IMAGE
        assert files(service) == {".img"}


async def test_a_journal_that_cannot_be_removed_is_no_failure(
    where: Settings, monkeypatch: pytest.MonkeyPatch
):
    """The drive is ready, so its last chunk has been taken in; the next start clears up."""

    def fail(*_: object) -> None:
        raise OSError("the pool is broken")

    async with open_service(where) as service:
        await create(service)
        with monkeypatch.context() as patch:
            patch.setattr(chunks, "remove", fail)
            await send(service, 0, 1, 2, 3)
        assert ready(service)
        assert files(service) == {".img", ".chunks"}
    async with open_service(where) as service:
        assert files(service) == {".img"}
        assert image(service) == IMAGE


@pytest.mark.parametrize("asked", [True, False])
async def test_asking_again_finishes(
    where: Settings, monkeypatch: pytest.MonkeyPatch, *, asked: bool
):
    """Where the image could not be finished, a client that asks or sends again has it finished."""
    async with open_service(where) as service:
        await create(service)
        with monkeypatch.context() as patch:
            patch.setattr(ChunkedUpload, "publish", full)
            with pytest.raises(PoolFull):
                await send(service, 0, 1, 2, 3)
        if asked:
            assert await service.intake.chunks.has_chunk(DRIVE, 3, SAID)
        else:
            with pytest.raises(ChunkPresent):
                await send(service, 3)
        assert readied(service) == 1
        assert image(service) == IMAGE


async def test_an_incomplete_upload_outlives_starts(where: Settings):
    """What waits for its owner stays as it is, and is gone on with."""
    async with open_service(where) as service:
        await create(service)
    async with open_service(where) as service:
        await send(service, 0, 2)
    async with open_service(where) as service:
        assert not ready(service)
        assert files(service) == {".upload", ".chunks"}
        there = [await service.intake.chunks.has_chunk(DRIVE, n, SAID) for n in range(4)]
        assert there == [True, False, True, False]
        await send(service, 1, 3)
        assert image(service) == IMAGE


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_start_clears_up(where: Settings, *, deleted: bool):
    """Of a drive that is ready or deleted, and of one that nobody knows, no journal stays."""
    async with open_service(where) as service:
        await create(service)
        await send(service, 0, 1, 2, 3)
        if deleted:
            await delete(service)
        pool = service.pools["main"]
    for path in (pool.upload(DRIVE), pool.chunks(DRIVE), pool.chunks(STRANGER)):
        path.write_bytes(b"16384 65536 0\n")
    async with open_service(where) as service:
        assert files(service) == (set() if deleted else {".img"})


async def test_deleting_removes_everything(where: Settings):
    """A deleted drive leaves no file, also one whose chunks no process has looked at yet."""
    async with open_service(where) as service:
        await create(service)
        await send(service, 0)
    async with open_service(where) as service:
        await delete(service)
        with pytest.raises(DriveNotFound):
            await send(service, 1)
        await wait_for_no_files(service)


async def test_deleted_while_the_image_is_made(where: Settings, monkeypatch: pytest.MonkeyPatch):
    """Deleted between the last chunk and the image, it is no drive and leaves no file."""
    begun, go_on = threading.Event(), threading.Event()
    publish = ChunkedUpload.publish

    def publish_slowly(self: ChunkedUpload, path: Path) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        publish(self, path)

    monkeypatch.setattr(ChunkedUpload, "publish", publish_slowly)
    async with open_service(where) as service:
        await create(service)
        sending = asyncio.create_task(send(service, 0, 1, 2, 3))
        assert await asyncio.to_thread(begun.wait, PATIENCE_S)
        await delete(service)
        await wait_for_no_files(service)
        go_on.set()
        with pytest.raises(UploadGone):
            await sending
        await wait_for_no_files(service)


@pytest.mark.parametrize("step", ["receive", "keep"])
async def test_a_client_that_leaves(where: Settings, monkeypatch: pytest.MonkeyPatch, step: str):
    """A client that leaves while its chunk is begun or made durable leaves nothing open.

    A chunk that it has sent whole is there; and if it was the last, the drive is made of it.
    """
    begun, go_on, leaving = threading.Event(), threading.Event(), asyncio.Event()
    do, leave = getattr(ChunkedUpload, step), TransferThreads._leave

    def do_slowly(*given: object) -> object:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return do(*given)

    def leave_seen(*given: Any) -> None:
        leaving.set()
        leave(*given)

    async with open_service(where) as service:
        await create(service)
        await send(service, 0, 1, 2)
        with monkeypatch.context() as patch:
            patch.setattr(ChunkedUpload, step, do_slowly)
            patch.setattr(TransferThreads, "_leave", leave_seen)
            sending = asyncio.create_task(send(service, 3))
            assert await asyncio.to_thread(begun.wait, PATIENCE_S)
            sending.cancel()
            async with patience("for the client to leave"):
                await leaving.wait()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await sending
        if step == "receive":
            assert not await service.intake.chunks.has_chunk(DRIVE, 3, SAID)
            await send(service, 3)
        else:
            assert await service.intake.chunks.has_chunk(DRIVE, 3, SAID)
        assert readied(service) == 1
        assert image(service) == IMAGE


async def test_drives_of_another_origin(where: Settings):
    """Only drives that were begun as uploads take chunks, and only while they exist."""
    async with open_service(where) as service:
        with pytest.raises(DriveNotFound):
            await send(service, 0)
        await create(service, "blank")
        with pytest.raises(NotUploading):
            await send(service, 0)
        with pytest.raises(NotUploading):
            await service.intake.chunks.has_chunk(DRIVE, 0, SAID)
