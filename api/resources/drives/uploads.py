"""Uploads in chunks: as resumable.js sends them, and by links that need no credentials."""

from aiohttp import web

from api.http.fields import Fields
from api.http.multipart import read_form
from api.http.requests import chunks, owner_of, read_object, uuid_in_url
from api.http.responses import json_answer
from api.resources.drives.bodies import SIZE_MOST
from api.resources.drives.images import body_length
from api.resources.drives.upload_links import LinkedChunk, UploadLinks
from api.service.service import Service
from ledger.domain.aggregates.drive import SIZE_STEP
from ledger.domain.errors import ChunkAbsent, ChunkPresent, DriveNotFound
from ledger.images import CHUNKS_MOST, Chunking


class Uploads:
    """Handlers of the URLs to which chunks are sent."""

    def __init__(self, service: Service) -> None:
        self._views = service.views
        self._intake = service.intake.chunks
        self._links = UploadLinks(service.now, service.accounts.keys)

    async def find(self, request: web.Request) -> web.Response:
        """Whether a chunk is there, as resumable.js asks before it sends one."""
        drive = self._drive(request)
        number, chunking = _resumable(Fields(request.query))
        if not await self._intake.present(drive, number, chunking):
            raise ChunkAbsent
        return web.Response()

    async def send(self, request: web.Request) -> web.Response:
        """Takes in a chunk as resumable.js sends it; the answer comes once it is on disk."""
        drive = self._drive(request)
        form = await read_form(request)
        number, chunking = _resumable(Fields({**request.query, **form.fields}))
        await self._intake.receive(drive, number, chunking, form.file)
        return web.Response()

    async def link(self, request: web.Request) -> web.Response:
        """A link for one chunk that is not there yet."""
        drive = self._drive(request)
        fields = await read_object(request)
        fields.require("chunk_number", "chunk_size")
        number = fields.whole("chunk_number", 0, least=0, most=CHUNKS_MOST - 1)
        # Then the chunk that ends within the drive's last step is the last, which nobody says.
        size = fields.whole("chunk_size", SIZE_STEP, least=SIZE_STEP, most=SIZE_MOST)
        if await self._intake.present(drive, number, Chunking(size)):
            raise ChunkPresent
        token = self._links.token(LinkedChunk(drive, number, size))
        return json_answer({"link": f"/api/2.0/uploads/{token}/"})

    async def send_by_link(self, request: web.Request) -> web.Response:
        """Takes in a chunk as the body; the answer comes once it is on disk."""
        chunk = self._links.read(request.match_info["token"])
        length = body_length(request)
        chunking = Chunking(chunk.chunk_size)
        await self._intake.receive(
            chunk.drive, chunk.number, chunking, chunks(request), length=length
        )
        return web.Response()

    def _drive(self, request: web.Request) -> str:
        """The uuid in the URL, if it is of a drive that the account may see."""
        uuid = uuid_in_url(request, DriveNotFound)
        with self._views.snapshot() as snapshot:
            if snapshot.drive(uuid, owner_of(request)) is None:
                raise DriveNotFound(uuid)
        return uuid


def _resumable(fields: Fields) -> tuple[int, Chunking]:
    """A chunk's number, which is from 1 up for resumable.js, and what is said of the upload."""
    names = ("resumableChunkNumber", "resumableChunkSize", "resumableTotalSize")
    fields.require(*names)
    number, chunk_size, total_size = (
        fields.whole(name, 1, least=1, most=most)
        for name, most in zip(names, (CHUNKS_MOST, SIZE_MOST, SIZE_MOST), strict=True)
    )
    return number - 1, Chunking(chunk_size, total_size)
