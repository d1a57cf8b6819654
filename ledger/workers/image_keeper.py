"""Keeps the files in the pools as the ledger says: makes, receives, grows and removes images.

The ledger decides first and the files follow, so a crash in between leaves something that the next
start can finish: a drive that waits for its image, or the file of a deleted drive. A file that the
ledger does not know is never removed, unless it can only be a temporary one.

Where several processes have the same pools, two may do all this at once, or one after the other:
each step accepts what the other has already done.
"""

import logging
import math
import re
import threading
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Container,
    Iterable,
    Mapping,
)
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar, assert_never

from ledger.application import Ledger
from ledger.domain.aggregates.drive import Drive
from ledger.domain.commands.drives import (
    CompleteResize,
    CreateDrives,
    DeleteDrives,
    FailImage,
    FailResize,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.context import ImageData
from ledger.domain.decisions.placement import place_here
from ledger.domain.errors import Refusal
from ledger.domain.errors.drives import DriveBusy
from ledger.domain.errors.store import StoreFailed
from ledger.domain.events.drives import DriveDefinition, DriveDeleted
from ledger.domain.image_tasks import GrowImage, MakeImage, RemoveFiles, RunJob
from ledger.images.errors import ImageBusy, ImageError, NotRegular, PoolFull, owner_reason
from ledger.images.files import create_blank, grow, publish, remove, sync_directory
from ledger.images.incoming_image import IncomingImage
from ledger.images.pools import Pool
from ledger.images.regular_files import is_there
from ledger.images.surveys import Surveyor, surveyed
from ledger.store.seam import Commit
from ledger.store.writer import Caller, uncancelled
from ledger.workers.blocks import join_blocks
from ledger.workers.chunk_intake import ChunkIntake
from ledger.workers.ending import end_threads
from ledger.workers.transfer_threads import TransferThreads

START_S = 5.0
"""How long a start waits for what is done in the pools."""
THREADS = 4
"""Of each pool: one that hangs must not hold up the others."""
LEFTOVER_S = 24 * 60 * 60
"""A file not written to for so long is a leftover, even if other processes use the pool."""

_FILE = re.compile(
    r"(?P<drive>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"(?P<kind>\.img|\.\d+\.part|\.upload|\.chunks|\.img(\.[0-9a-f]{8})?\.new)"
)
_CALLER = Caller("worker:image_keeper", "")

T = TypeVar("T")

log = logging.getLogger(__name__)


class ImageKeeper:
    """Makes the images of new drives, receives uploads, and removes files of deleted drives."""

    def __init__(
        self,
        ledger: Ledger,
        pools: Mapping[str, Pool],
        environment: Surveyor,
    ) -> None:
        self._ledger = ledger
        self._pools = pools
        self._environment = environment
        self.transfers = TransferThreads(pools)
        """For requests that read and write images."""
        self.chunks = ChunkIntake(ledger, pools, self.transfers)
        """For uploads that come in chunks."""
        self._threads = {
            name: ThreadPoolExecutor(THREADS, thread_name_prefix=f"images-{name}") for name in pools
        }
        self._resuming: set[str] = set()
        """Drives whose images are being made or grown again, or wait for that."""

    def start(self, unfinished: Iterable[str]) -> None:
        """Finish what an earlier process left, and from now on do new tasks.

        A pool that hangs keeps nobody from starting: what it needs is done once it answers.
        """
        self._follow_deletions()
        late = threading.Event()
        age_s = lambda: LEFTOVER_S if late.is_set() else 0  # noqa: E731 - it is asked again
        self._wait_for(self._clear_in_threads(self._pools, age_s))
        late.set()
        self._wait_for(self._resume_in_threads(unfinished))
        self._ledger.listen(self._submit_new)

    def resume(self, unfinished: Iterable[str]) -> None:
        """Try again to make and grow images; what is done meanwhile, or was, stays as it is."""
        self._resume_in_threads(unfinished)

    def start_beside_others(self) -> None:
        """Begin where other processes work too and a queue hands out the tasks."""
        self._follow_deletions()

    def open_beside_others(self, pools: Collection[str], unfinished: Iterable[str]) -> None:
        """Begin with these pools, which answer.

        Complete the uploads in chunks of which all chunks are there.
        """
        cleared = self._clear_in_threads(pools, lambda: LEFTOVER_S)
        resumed = self._in_threads(pools, unfinished, self._resume_chunks)
        self._wait_for([*cleared, *resumed])

    def _wait_for(self, begun: Collection[Future[None]]) -> None:
        done, left = wait(begun, timeout=START_S)
        for each in done:
            each.result()
        if left:
            log.warning("a pool does not answer: the service starts without waiting for it")

    def _clear_in_threads(
        self, pools: Iterable[str], older_than_s: Callable[[], float]
    ) -> list[Future[None]]:
        return [
            self._threads[name].submit(self._clear_leftovers, self._pools[name], older_than_s)
            for name in pools
        ]

    def _resume_in_threads(self, unfinished: Iterable[str]) -> list[Future[None]]:
        return self._in_threads(self._pools, unfinished, self._resume)

    def _in_threads(
        self, pools: Container[str], drives: Iterable[str], work: Callable[[str], None]
    ) -> list[Future[None]]:
        """Begin to do this for drives in the threads of their pools, unless it has begun."""
        begun = []
        for drive in set(drives) - self._resuming:
            found = self._ledger.drive(drive)
            if found is None or found.pool not in pools:
                continue
            self._resuming.add(drive)
            with suppress(RuntimeError):  # stopped meanwhile: the next start does it
                begun.append(self._threads[found.pool].submit(self._work_once, work, drive))
        return begun

    def _work_once(self, work: Callable[[str], None], drive: str) -> None:
        try:
            self._run_logged(work, drive, drive)
        finally:
            self._resuming.discard(drive)

    def _follow_deletions(self) -> None:
        """End uploads in chunks to drives that are deleted from now on."""
        self._ledger.listen(self._discard_chunks, self.chunks.is_receiving)

    def stop(self) -> None:
        """Finish what is under way, as far as the pools answer."""
        end_threads((*self._threads.values(), *self.transfers.executors))

    async def receive(
        self,
        owner: str,
        definition: DriveDefinition,
        stream: AsyncIterator[bytes],
        record: Callable[[CreateDrives], Awaitable[object]],
        *,
        drive: str | None = None,
    ) -> str:
        """Receive an image and make a drive of it; return its uuid once it is ready.

        The uuid is `drive`, if given, which must be as unlikely to be taken as a new one. `record`
        executes the command for the sender of the image. Raises a `Refusal` or `PoolFull`; then,
        and when cancelled, nothing is left behind.
        """
        drive = drive or self._environment.new_id()
        pool = await self._choose_pool(definition.storage_type)
        run = partial(self.transfers.run, pool.name)
        incoming = await run(
            partial(IncomingImage, pool.upload(drive), pool.require_room), undo=IncomingImage.abort
        )
        try:
            async for block in join_blocks(stream):
                await run(partial(incoming.write, block))
            await run(partial(incoming.finish, definition.size), lasting=True)
        except BaseException:
            discard = partial(_discard, incoming, pool.upload(drive))
            await self.transfers.clean_up(pool.name, discard)
            raise
        new = CreateDrives(owner, (NewDrive(drive, definition, pool.name),), "upload")
        await uncancelled(self._make_drive(drive, pool, record(new)))
        return drive

    async def _choose_pool(self, storage_type: str) -> Pool:
        """Choose a pool of this process as the ledger does for a drive that comes in chunks."""

        async def choose(_: ImageData) -> Pool:
            return self._pools[place_here(self._environment.pools(), storage_type).name]

        return await surveyed(self._environment, choose)

    async def _make_drive(self, drive: str, pool: Pool, recorded: Awaitable[object]) -> None:
        """Make the drive of an upload that is on disk; from then on the ledger says what follows.

        After a failure of the store the drive may or may not have been recorded: the next start
        finds out, and either finishes it or removes the upload.
        """
        try:
            await recorded
        except StoreFailed:
            raise
        except Exception:
            await self.transfers.clean_up(pool.name, partial(remove, pool.upload(drive)))
            raise
        try:
            await self.transfers.run(pool.name, partial(self._provide_image, drive), lasting=True)
        except (OSError, ImageError):
            await self.transfers.run(pool.name, partial(self._delete, drive), lasting=True)
            raise

    def run_task(self, task: MakeImage | GrowImage | RemoveFiles) -> None:
        """Do what the task still requires, in the calling thread; after an error it is not done."""
        match task:
            case MakeImage(drive=drive):
                self.make_image(drive)
            case GrowImage(drive=drive):
                self.grow_image(drive)
            case RemoveFiles(drive=drive):
                self.remove_files(drive)
            case _:
                assert_never(task)

    def _submit_new(self, commit: Commit) -> None:
        for task in commit.tasks:
            if not isinstance(task, RunJob):
                self._submit(self.run_task, task, task.drive, task.pool)

    def _discard_chunks(self, commit: Commit) -> None:
        for stream, recorded in commit.events:
            drive = commit.states[stream]
            if isinstance(recorded.event, DriveDeleted) and isinstance(drive, Drive):
                self._submit(self.chunks.discard, drive.uuid, drive.uuid, drive.pool)

    def _submit(self, work: Callable[[T], None], about: T, drive: str, pool: str) -> None:
        if pool not in self._threads:
            log.error("drive %s waits for pool %s, which is not configured", drive, pool)
            return
        try:
            self._threads[pool].submit(self._run_logged, work, about, drive)
        except RuntimeError:  # stopped meanwhile: the next start does it
            log.info("drive %s is left to the next start", drive)

    def _run_logged(self, work: Callable[[T], None], about: T, drive: str) -> None:
        try:
            work(about)
        except StoreFailed:
            log.info("drive %s is left to the next start", drive)
        except Exception:
            log.exception("the files of drive %s are not as they should be", drive)

    def _resume(self, uuid: str) -> None:
        """Make the drive's image, unless the drive waits for its owner to send chunks; or grow it.

        What keeps the one from being done does not keep the other.
        """
        drive = self._ledger.drive(uuid)
        chunked = drive is not None and drive.origin == "chunked"
        self._run_logged(self._resume_chunks if chunked else self.make_image, uuid, uuid)
        self._run_logged(self.grow_image, uuid, uuid)

    def _resume_chunks(self, uuid: str) -> None:
        drive = self._ledger.drive(uuid)
        if drive is not None and drive.origin == "chunked" and drive.pool in self._pools:
            self.chunks.complete_drive(uuid)

    def make_image(self, uuid: str) -> None:
        """Make the drive's image, or record why that failed: it is tried again later."""
        try:
            self._make_image(uuid)
        except Refusal as refusal:  # deleted meanwhile; its files are removed, or are now
            log.info("drive %s: %s", uuid, refusal)
            self.remove_files(uuid)

    def _make_image(self, uuid: str) -> None:
        try:
            self._provide_image(uuid)
        except (OSError, PoolFull, NotRegular) as error:
            reason = owner_reason(error, "the image cannot be made; the service's log says why")
            drive = self._ledger.drive(uuid)
            if drive is not None and drive.failed != reason:  # else it is tried again and again
                log.warning("drive %s has no image yet: %s", uuid, error)
            self._ledger.execute_blocking(FailImage(uuid, reason), _CALLER)

    def _provide_image(self, uuid: str) -> None:
        """Publish its upload, or a blank image, and mark the drive ready.

        Raises OSError, `PoolFull`, `NotRegular`.
        """
        drive = self._ledger.drive(uuid)
        if drive is None or drive.ready or drive.deleted or drive.pool not in self._pools:
            return
        pool = self._pools[drive.pool]
        image = pool.image(uuid)
        try:
            if is_there(image):
                sync_directory(pool.path)  # its process may have died before the name was on disk
            elif drive.origin == "upload":
                publish(pool.upload(uuid), image)
            else:
                create_blank(image, drive.definition.size)
        except (FileExistsError, FileNotFoundError):
            if not is_there(image):  # otherwise another process was first
                raise
            sync_directory(pool.path)
        with suppress(DriveBusy):  # ready already: another process did the same
            self._ledger.execute_blocking(MarkDriveReady(uuid), _CALLER)

    def grow_image(self, uuid: str) -> None:
        """Grow the image to the size in the ledger, or record why that failed.

        Raises `ImageBusy` if another process is doing it.
        """
        drive = self._ledger.drive(uuid)
        if drive is None or drive.resizing is None:
            return
        if drive.pool not in self._pools:
            return
        done: CompleteResize | FailResize = CompleteResize(uuid)
        try:
            grow(self._pools[drive.pool].image(uuid), drive.resizing)
        except ImageBusy:
            raise
        except (OSError, ImageError, ValueError) as error:
            if self._ledger.drive(uuid) != drive:  # another process was first
                return
            log.warning("drive %s could not be resized: %s", uuid, error)
            reason = owner_reason(error, "the image cannot grow; the service's log says why")
            done = FailResize(uuid, reason)
        try:
            self._ledger.execute_blocking(done, _CALLER)
        except Refusal as refusal:  # deleted meanwhile
            log.info("drive %s: %s", uuid, refusal)

    def _delete(self, uuid: str) -> None:
        drive = self._ledger.drive(uuid)
        if drive is not None and not drive.deleted:
            self._ledger.execute_blocking(DeleteDrives(drive.owner, (uuid,)), _CALLER)
        self.remove_files(uuid)

    def remove_files(self, uuid: str) -> None:
        drive = self._ledger.drive(uuid)
        if drive is None or drive.pool not in self._pools:
            return
        pool = self._pools[drive.pool]
        self.chunks.discard(uuid)
        for path in pool.files(uuid):
            remove(path)

    def _clear_leftovers(self, pool: Pool, older_than_s: Callable[[], float]) -> None:
        """Remove what a crash left: files of deleted drives, and useless temporary files.

        Leave alone what was written to within so many seconds: others use the pool, or, once the
        pool has answered late, this process.
        """
        for path in pool.path.iterdir():
            match = _FILE.fullmatch(path.name)
            if match is not None and self._is_old(path, older_than_s()):
                work = partial(self._remove_leftover, match["drive"], match["kind"])
                self._run_logged(work, path, match["drive"])

    def _is_old(self, path: Path, older_than_s: float) -> bool:
        return not older_than_s or _changed_at(path) < time.time() - older_than_s

    def _remove_leftover(self, uuid: str, kind: str, path: Path) -> None:
        """Remove the file if it is a leftover; a drive that cannot be read keeps all its files."""
        if self._is_leftover(uuid, kind, path):
            log.info("removing %s, left by an earlier process", path)
            remove(path)

    def _is_leftover(self, uuid: str, kind: str, path: Path) -> bool:
        drive = self._ledger.drive(uuid)
        if drive is None and kind == ".img":
            log.warning("the ledger does not know %s; it stays", path)
            return False
        if drive is None or drive.deleted:
            return True
        if kind == ".img":
            return False
        return drive.ready or kind.endswith(".new")


def _changed_at(path: Path) -> float:
    """Return when the file was last written to; infinity if it is gone."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return math.inf


def _discard(incoming: IncomingImage, path: Path) -> None:
    """Remove an upload, even one that a thread finished after its caller was cancelled."""
    incoming.abort()
    remove(path)
