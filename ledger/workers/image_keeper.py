"""Keeps the files in the pools as the ledger says: images are made, taken in and removed.

The ledger decides first and the files follow, so a crash between the two leaves something that the
next start can finish: a drive that waits for its image, or the file of a drive that is deleted.
A file of which the ledger knows nothing is never removed, but for those that only ever were
temporary.

Where others have the same pools, all of this may be done by two at once, or again by the next: each
step finds what the other has done, and is content.
"""

import asyncio
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import assert_never

from ledger.application import Ledger
from ledger.domain.commands import (
    CompleteResize,
    CreateDrives,
    DeleteDrives,
    FailResize,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.context import PoolSpace
from ledger.domain.decisions.placement import place_here
from ledger.domain.errors import DriveBusy, Refusal, StoreFailed
from ledger.domain.events import DriveDefinition, DriveDeleted
from ledger.domain.image_tasks import GrowImage, MakeImage, RemoveFiles, RunJob
from ledger.images import (
    ImageBusy,
    ImageError,
    IncomingImage,
    Pool,
    PoolFull,
    create_blank,
    grow,
    publish,
    remove,
    sync_directory,
    told_to_the_owner,
)
from ledger.store.seam import Commit
from ledger.store.writer import Caller
from ledger.workers.blocks import gathered
from ledger.workers.chunk_intake import ChunkIntake

THREADS = 4
LEFT_S = 24 * 60 * 60
"""What was not written to for so long is nobody's work, where others may be at work."""

_FILE = re.compile(
    r"(?P<drive>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"(?P<kind>\.img|\.\d+\.part|\.upload|\.chunks|\.img(\.[0-9a-f]{8})?\.new)"
)
_PROVISIONING = Caller("worker:image_keeper", "")

log = logging.getLogger(__name__)


class ImageKeeper:
    """Makes the images of new drives, takes uploads in, and removes what is deleted."""

    def __init__(
        self,
        ledger: Ledger,
        pools: Mapping[str, Pool],
        *,
        spaces: Callable[[], tuple[PoolSpace, ...]],
        new_id: Callable[[], str],
    ) -> None:
        self._ledger = ledger
        self._pools = pools
        self._spaces = spaces
        self._new_id = new_id
        self.chunks = ChunkIntake(ledger, pools)
        """For uploads that come in chunks."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="image_keeper")

    def start(self, unfinished: Iterable[str]) -> None:
        """Finishes what an earlier process left, and from now on follows the ledger."""
        self.follow()
        self._clear_leftovers(left_s=0)
        for drive in unfinished:
            self._logged(self._resume, drive)
            self._logged(self.grow_image, drive)
        self._ledger.listen(self._notice)

    def start_among_others(self, unfinished: Iterable[str]) -> None:
        """The same where others are at work, too, and say what is to be done.

        It finishes uploads in chunks of which all are there.
        """
        self.follow()
        self._clear_leftovers(left_s=LEFT_S)
        for drive in unfinished:
            self._logged(self._resume_chunks, drive)

    def follow(self) -> None:
        """From now on ends uploads to drives that are deleted."""
        self._ledger.listen(self._notice_deletions, self.chunks.are_coming)

    def stop(self) -> None:
        """Finishes what is under way."""
        self._threads.shutdown(wait=True)

    async def receive(
        self,
        owner: str,
        definition: DriveDefinition,
        stream: AsyncIterator[bytes],
        record: Callable[[CreateDrives], Awaitable[object]],
        *,
        drive: str | None = None,
    ) -> str:
        """Takes in an image and makes a drive of it; returns its uuid once it is ready.

        The uuid is `drive`, if that is given, which must be as unlikely to be taken as a new one.
        `record` executes the command for whoever sends the image. Raises a `Refusal` or `PoolFull`;
        then, and when cancelled, nothing is left behind.
        """
        drive = drive or self._new_id()
        pool = self._pools[place_here(self._spaces(), definition.storage_type).name]
        incoming = IncomingImage(pool.upload(drive))
        try:
            async for block in gathered(stream):
                await asyncio.to_thread(incoming.write, block)
            await asyncio.to_thread(incoming.finish, definition.size)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(_discard, incoming, pool.upload(drive)))
            raise
        new = CreateDrives(owner, (NewDrive(drive, definition, pool.name),), "upload")
        await asyncio.shield(self._adopt(drive, pool, record(new)))
        return drive

    async def _adopt(self, drive: str, pool: Pool, recorded: Awaitable[object]) -> None:
        """Makes the drive of an upload that is on disk; from then on the ledger says what follows.

        After a failure of the store it is not known whether the drive was recorded: the next start
        sees, and either finishes it or removes the upload.
        """
        try:
            await recorded
        except StoreFailed:
            raise
        except Exception:
            await asyncio.to_thread(remove, pool.upload(drive))
            raise
        try:
            await asyncio.to_thread(self._give_image, drive)
        except (OSError, ImageError):
            await asyncio.to_thread(self._delete, drive)
            raise

    def do(self, task: MakeImage | GrowImage | RemoveFiles) -> None:
        """Does what is to be done by now, in the calling thread.

        Raises `StoreFailed`, OSError, and what nobody expects; then it is not done.
        """
        match task:
            case MakeImage(drive=drive):
                self.make_image(drive)
            case GrowImage(drive=drive):
                self.grow_image(drive)
            case RemoveFiles(drive=drive):
                self.remove_files(drive)
            case _:
                assert_never(task)

    def _notice(self, commit: Commit) -> None:
        for task in commit.tasks:
            if not isinstance(task, RunJob):
                self._submit(task)

    def _notice_deletions(self, commit: Commit) -> None:
        for stream, recorded in commit.events:
            if isinstance(recorded.event, DriveDeleted):
                self._run(self.chunks.discard, stream.removeprefix("drive-"))

    def _submit(self, task: MakeImage | GrowImage | RemoveFiles) -> None:
        self._run(lambda _: self.do(task), task.drive)

    def _run(self, work: Callable[[str], None], drive: str) -> None:
        try:
            self._threads.submit(self._logged, work, drive)
        except RuntimeError:  # stopped meanwhile: the next start does it
            log.info("drive %s is left to the next start", drive)

    def _logged(self, work: Callable[[str], None], drive: str) -> None:
        try:
            work(drive)
        except StoreFailed:
            log.info("drive %s is left to the next start", drive)
        except Exception:
            log.exception("the files of drive %s are not as they should be", drive)

    def _resume(self, uuid: str) -> None:
        """Provides for a drive, unless that waits for chunks: it is its owner who will go on."""
        drive = self._ledger.drive(uuid)
        if drive is None or drive.origin != "chunked":
            self.make_image(uuid)
        else:
            self._resume_chunks(uuid)

    def _resume_chunks(self, uuid: str) -> None:
        drive = self._ledger.drive(uuid)
        if drive is not None and drive.origin == "chunked" and drive.pool in self._pools:
            self.chunks.complete(uuid)

    def make_image(self, uuid: str) -> None:
        """Gives the drive its image; one that can have none is deleted."""
        try:
            self._give_image(uuid)
        except (FileNotFoundError, PoolFull) as error:
            log.warning("drive %s is deleted, it cannot have an image: %s", uuid, error)
            self._delete(uuid)
        except Refusal as refusal:  # deleted meanwhile; its files went with it, or go now
            log.info("drive %s: %s", uuid, refusal)
            self.remove_files(uuid)

    def _give_image(self, uuid: str) -> None:
        """Its upload, or a blank one; then the drive is ready. Raises OSError, `PoolFull`."""
        drive = self._ledger.drive(uuid)
        if drive is None or drive.ready or drive.deleted or drive.pool not in self._pools:
            return
        pool = self._pools[drive.pool]
        image = pool.image(uuid)
        try:
            if image.exists():
                sync_directory(pool.path)  # of a process that died before its name was on disk
            elif drive.origin == "upload":
                publish(pool.upload(uuid), image)
            else:
                create_blank(image, drive.definition.size)
        except (FileExistsError, FileNotFoundError):
            if not image.exists():  # else another was first
                raise
            sync_directory(pool.path)
        with suppress(DriveBusy):  # ready already: another did the same
            self._ledger.execute_blocking(MarkDriveReady(uuid), _PROVISIONING)

    def grow_image(self, uuid: str) -> None:
        """Lets the image grow as the ledger says it should; or says why it could not.

        Raises `ImageBusy` if another does.
        """
        drive = self._ledger.drive(uuid)
        if drive is None or drive.resizing is None:
            return
        if drive.pool not in self._pools:
            log.error("drive %s waits for pool %s, which is not configured", uuid, drive.pool)
            return
        done: CompleteResize | FailResize = CompleteResize(uuid)
        try:
            grow(self._pools[drive.pool].image(uuid), drive.resizing)
        except ImageBusy:
            raise
        except (OSError, ImageError, ValueError) as error:
            if self._ledger.drive(uuid) != drive:  # another was first
                return
            log.warning("drive %s could not be resized: %s", uuid, error)
            told = told_to_the_owner(error, "the image cannot grow; the service's log says why")
            done = FailResize(uuid, told)
        try:
            self._ledger.execute_blocking(done, _PROVISIONING)
        except Refusal as refusal:  # deleted meanwhile
            log.info("drive %s: %s", uuid, refusal)

    def _delete(self, uuid: str) -> None:
        drive = self._ledger.drive(uuid)
        if drive is not None and not drive.deleted:
            self._ledger.execute_blocking(DeleteDrives(drive.owner, (uuid,)), _PROVISIONING)
        self.remove_files(uuid)

    def remove_files(self, uuid: str) -> None:
        drive = self._ledger.drive(uuid)
        if drive is None or drive.pool not in self._pools:
            return
        pool = self._pools[drive.pool]
        self.chunks.discard(uuid)
        for path in (pool.image(uuid), pool.upload(uuid), *(p for _, p in pool.parts(uuid))):
            remove(path)

    def _clear_leftovers(self, left_s: float) -> None:
        """Removes what a crash left: files of deleted drives, and temporary files without use.

        What has changed within so many seconds is left alone.
        """
        before = time.time() - left_s
        for pool in self._pools.values():
            for path in pool.path.iterdir():
                named = _FILE.fullmatch(path.name)
                if (
                    named is not None
                    and (not left_s or _changed(path) < before)
                    and self._is_leftover(named["drive"], named["kind"], path)
                ):
                    log.info("removing %s, left by an earlier process", path)
                    remove(path)

    def _is_leftover(self, uuid: str, kind: str, path: Path) -> bool:
        drive = self._ledger.drive(uuid)
        if drive is None and kind == ".img":
            log.warning("the ledger knows nothing of %s; it stays", path)
            return False
        if drive is None or drive.deleted:
            return True
        if kind == ".img":
            return False
        return drive.ready or kind.endswith(".new")


def _changed(path: Path) -> float:
    """When the file was last written to; a moment that has not come, if it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _discard(incoming: IncomingImage, path: Path) -> None:
    """Also when it was finished meanwhile: a thread goes on when its caller is cancelled."""
    incoming.abort()
    remove(path)
