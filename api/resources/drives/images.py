"""Uploads and downloads of whole disk images, as raw bodies."""

import logging
import os
from contextlib import ExitStack
from functools import partial

from aiohttp import hdrs, web
from msgspec import Struct

from api.http.digests import digest_headers, wants_digest
from api.http.errors import BadRequest, RequestRefused
from api.http.fields import Text, decode_fields
from api.http.outcome import Changed
from api.http.preconditions import asked_range, is_current
from api.http.record import is_recorded, new_id, note_undone, record_command, when_settled
from api.http.requests import ASKING, owner_of, uuid_in_url
from api.http.wire.bodies import check_not_compressed, media_type, upload_chunks
from api.resources.drives.bodies import SIZE_MOST, Media, default_storage_type
from api.resources.drives.image_digests import ImageDigests
from api.resources.drives.image_response import ImageResponse
from api.resources.drives.open_image import OpenImage, open_image
from api.resources.references import references
from api.service.service import Service
from ledger.codec import names_of
from ledger.domain.aggregates.drive import no_image, round_up
from ledger.domain.errors.drives import DriveNotFound
from ledger.domain.events.drives import DriveDefinition, DriveReady, DriveResized, drive_stream
from ledger.images.errors import ImageError, ImageMissing, NotRegular, PoolMissing
from ledger.images.pools import Pool
from ledger.store.tables.streams import position_of
from projections.views.read_models import DriveView

LEDGER_ORIGIN = "X-Ledger-Origin"
"""Says which ledger the drive is in, as its checkpoints do: a part of a download belongs to it."""
DIGEST_WAIT_S = 20.0
"""How long a HEAD waits for a digest: proxies wait longer for an answer."""
_IMAGE_EVENTS = names_of([DriveReady, DriveResized])

log = logging.getLogger(__name__)


class Images:
    """Handlers of the URLs below `/drives/` that carry images."""

    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._views = service.views
        self._pools = service.pools
        self._intake = service.intake
        self._admission = service.admission
        self._transfers = service.intake.transfers
        self._digests = ImageDigests(self._transfers)
        self._origin = service.checkpoints.verifier.name
        self._storage_type = default_storage_type(service.pools)

    async def close(self, _app: web.Application) -> None:
        """End the digests that are being made."""
        await self._digests.close()

    async def upload(self, request: web.Request) -> web.Response:
        """Make a drive from the body; answer with the drive's uuid once the image is on disk."""
        definition = self._uploaded(request)
        uuid = new_id(request)
        changed = Changed(200, references("drives", [uuid]), text=uuid)
        if not is_recorded(request):
            with self._admission.take(request[ASKING], "uploads"):
                await self._receive(request, definition, uuid, changed)
        return changed.answer()

    async def _receive(
        self, request: web.Request, definition: DriveDefinition, uuid: str, changed: Changed
    ) -> None:
        try:
            await self._intake.receive(
                owner_of(request),
                definition,
                upload_chunks(request),
                lambda command: record_command(request, self._ledger, command, changed),
                drive=uuid,
            )
        except (OSError, ImageError):  # if the drive was recorded, it has been deleted again
            note_undone(request)
            raise

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Answer with the image, or a range of it; holes read as zeros."""
        uuid, owner = uuid_in_url(request, DriveNotFound), owner_of(request)
        drive = await when_settled(lambda: self._complete_drive(uuid, owner))
        if drive.pool not in self._pools:
            raise PoolMissing(f"pool {drive.pool} is not configured")
        with ExitStack() as held:
            held.enter_context(self._admission.take(request[ASKING], "downloads"))
            image = await self._found(request, uuid, self._pools[drive.pool])
            held.callback(self._transfers.begin, drive.pool, image.file.close)
            return await self._answer(request, uuid, drive.pool, image, held)

    async def _complete_drive(self, uuid: str, owner: str) -> DriveView:
        """Return the drive. Raise `DriveNotFound`, and `DriveBusy` if it has no image yet."""
        with self._views.snapshot() as snapshot:
            drive = snapshot.drive(uuid, owner)
        if drive is None:
            raise DriveNotFound(uuid)
        if not drive.ready:
            raise no_image(uuid, drive.origin, failed=drive.failed)
        return drive

    async def _found(self, request: web.Request, drive: str, pool: Pool) -> OpenImage:
        """Open an image that should be there. Raise what keeps it from being sent."""
        try:
            return await self._opened(drive, pool)
        except FileNotFoundError:
            self._check_deleted(drive, owner_of(request))
            raise DriveNotFound(drive) from None
        except NotRegular as error:
            log.error("the image of drive %s: %s", drive, error)  # noqa: TRY400 - no stack needed
            raise

    async def _opened(self, drive: str, pool: Pool) -> OpenImage:
        """Open an image in a thread; close it again if nobody waits for it any more."""
        return await self._transfers.run(
            pool.name, partial(self._open, drive, pool), undo=lambda late: late.file.close()
        )

    def _open(self, drive: str, pool: Pool) -> OpenImage:
        """Open an image; the position comes first, so that a tag is never newer than its file."""
        read = partial(position_of, stream=drive_stream(drive), names=_IMAGE_EVENTS)
        return open_image(pool.image(drive), drive, self._ledger.read(read))

    async def _answer(
        self, request: web.Request, drive: str, pool: str, image: OpenImage, held: ExitStack
    ) -> web.StreamResponse:
        """Answer with the image; an answer that sends it takes over what is held for it."""
        version = image.version
        headers: dict[str, str] = {
            hdrs.ETAG: version.tag,
            hdrs.LAST_MODIFIED: version.date,
            LEDGER_ORIGIN: self._origin,
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{drive}"',
        }
        if is_current(request, version):
            return web.Response(status=304, headers=headers)
        asked = asked_range(request, version, image.size)
        if asked is not None:
            last = asked.stop - 1
            headers[hdrs.CONTENT_RANGE] = f"bytes {asked.start}-{last}/{image.size}"
        headers |= {hdrs.ACCEPT_RANGES: "bytes", hdrs.CONTENT_TYPE: "application/octet-stream"}
        headers |= await self._digest(request, pool, image)
        read = partial(os.pread, image.file.fileno())
        return ImageResponse(
            lambda count, start: self._transfers.run(pool, partial(read, count, start)),
            range(image.size) if asked is None else asked,
            status=200 if asked is None else 206,
            headers=headers,
            on_piece=partial(self._digests.keep_wanted, owner_of(request), version.tag),
            held=held.pop_all(),
        )

    async def _digest(self, request: web.Request, pool: str, image: OpenImage) -> dict[str, str]:
        """Return the headers with the digest, if it is known.

        Only a HEAD waits for one that is being made, and says so if that takes longer.
        """
        if image.digest is not None or not wants_digest(request):
            return digest_headers(image.digest)
        wait_s = DIGEST_WAIT_S if request.method == hdrs.METH_HEAD else 0
        account = owner_of(request)
        digest = await self._digests.find(image, account, pool, wait_s=wait_s)
        if digest is None and wait_s and self._digests.is_making(account, image.version.tag):
            return {hdrs.RETRY_AFTER: "1"}
        return digest_headers(digest)

    def _check_deleted(self, uuid: str, owner: str) -> None:
        """Raise `ImageMissing` unless the drive was deleted since it was read."""
        with self._views.snapshot() as snapshot:
            if snapshot.drive(uuid, owner) is not None:
                log.error("the image of drive %s is gone", uuid)
                raise ImageMissing(f"the image of drive {uuid} is gone")

    def _uploaded(self, request: web.Request) -> DriveDefinition:
        if media_type(request).startswith("multipart/"):
            raise RequestRefused(
                415, "the body must be the image itself, and no form that holds it"
            )
        said = decode_fields({**request.match_info, **request.query}, _Upload)
        storage_type = self._storage_type if said.storage_type is None else said.storage_type
        return DriveDefinition(
            name=said.name,
            media=said.media,
            size=round_up(body_length(request)),
            storage_type=storage_type,
        )


class _Upload(Struct):
    """The description of an image in the URL."""

    name: Text = ""
    media: Media = "disk"
    storage_type: Text | None = None


def body_length(request: web.Request) -> int:
    """Return an upload's length, which it must give; refuse an empty or a compressed one."""
    check_not_compressed(request)
    length = request.content_length
    if length is None:
        raise RequestRefused(411, "an upload needs a Content-Length")
    if length == 0:
        raise BadRequest("an upload must not be empty")
    if length > SIZE_MOST:
        raise RequestRefused(413, f"an image is no longer than {SIZE_MOST} bytes")
    return length
