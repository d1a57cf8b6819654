"""Uploads and downloads of whole disk images, as raw bodies."""

import asyncio
import logging

from aiohttp import hdrs, web
from msgspec import Struct

from api.http.errors import BadRequest, RequestRefused
from api.http.fields import Text, decode_fields
from api.http.record import is_recorded, new_id, record_command
from api.http.requests import chunks, owner_of, uuid_in_url
from api.resources.drives.bodies import SIZE_MOST, Media, default_storage_type
from api.service.service import Service
from ledger.domain.aggregates.drive import round_up
from ledger.domain.errors import Busy, DriveBusy, DriveNotFound
from ledger.domain.events import DriveDefinition
from ledger.images.errors import ImageMissing, PoolMissing

log = logging.getLogger(__name__)


class Images:
    """Handlers of the URLs below `/drives/` that carry images."""

    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._views = service.views
        self._pools = service.pools
        self._intake = service.intake
        self._storage_type = default_storage_type(service.pools)

    async def upload(self, request: web.Request) -> web.Response:
        """Make a drive from the body; answer with the drive's uuid once the image is on disk."""
        definition = self._uploaded(request)
        uuid = new_id(request)
        if not is_recorded(request):
            await self._intake.receive(
                owner_of(request),
                definition,
                chunks(request),
                lambda command: record_command(request, self._ledger, command),
                drive=uuid,
            )
        return web.Response(text=uuid)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Answer with the image, or a range of it; holes read as zeros."""
        uuid = uuid_in_url(request, DriveNotFound)
        with self._views.snapshot() as snapshot:
            drive = snapshot.drive(uuid, owner_of(request))
        if drive is None:
            raise DriveNotFound(uuid)
        if not drive.ready:
            raise DriveBusy(uuid, Busy.NO_IMAGE)
        if drive.pool not in self._pools:
            raise PoolMissing(f"pool {drive.pool} is not configured")
        image = self._pools[drive.pool].image(uuid)
        try:
            size = (await asyncio.to_thread(image.stat)).st_size
        except FileNotFoundError:
            self._check_deleted(uuid, owner_of(request))
            raise DriveNotFound(uuid) from None
        _check_range(request, size)
        return web.FileResponse(image, headers={hdrs.CONTENT_TYPE: "application/octet-stream"})

    def _check_deleted(self, uuid: str, owner: str) -> None:
        """Raise `ImageMissing` unless the drive was deleted since it was read."""
        with self._views.snapshot() as snapshot:
            if snapshot.drive(uuid, owner) is not None:
                log.error("the image of drive %s is gone", uuid)
                raise ImageMissing(f"the image of drive {uuid} is gone")

    def _uploaded(self, request: web.Request) -> DriveDefinition:
        if request.content_type.startswith("multipart/"):
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
    """What the URL says about an image."""

    name: Text = ""
    media: Media = "disk"
    storage_type: Text | None = None


def _check_range(request: web.Request, size: int) -> None:
    """Check that there is something to send, unless `If-Range` may make the range void."""
    if hdrs.RANGE not in request.headers or hdrs.IF_RANGE in request.headers:
        return
    try:
        start = request.http_range.start
    except ValueError:
        raise _no_range(size) from None
    if start is not None and start >= size:
        raise _no_range(size)


def _no_range(size: int) -> RequestRefused:
    return RequestRefused(
        416,
        f"the range lies behind the end of the image, at {size} bytes",
        headers={hdrs.CONTENT_RANGE: f"bytes */{size}"},
    )


def body_length(request: web.Request) -> int:
    """Return an upload's length, which it must give; refuse an empty or a compressed one."""
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise RequestRefused(415, "an upload cannot be compressed")
    length = request.content_length
    if length is None:
        raise RequestRefused(411, "an upload needs a Content-Length")
    if length == 0:
        raise BadRequest("an upload must not be empty")
    if length > SIZE_MOST:
        raise RequestRefused(413, f"an image is no longer than {SIZE_MOST} bytes")
    return length
