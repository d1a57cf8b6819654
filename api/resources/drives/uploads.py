"""Uploads in chunks: from resumable.js, and by links that need no credentials."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct, field

from api.http.digests import digest_headers, wants_digest
from api.http.fields import decode_fields
from api.http.outcome import Changed
from api.http.record import begin_in_parts
from api.http.requests import ASKING, owner_of, read_object, uuid_in_url
from api.http.responses import json_answer
from api.http.wire.bodies import upload_chunks
from api.http.wire.connection import occupy_connection
from api.http.wire.multipart import read_form
from api.resources.drives.bodies import SIZE_MOST, ChunkLink, ChunkRequest
from api.resources.drives.images import body_length
from api.resources.drives.upload_links import LinkedChunk, UploadLinks
from api.service.service import Service
from api.text.urls import API_ROOT
from ledger.domain.errors import Expected
from ledger.domain.errors.drives import DriveNotFound
from ledger.domain.errors.uploads import ChunkAbsent, ChunkPresent
from ledger.images.chunk_layout import CHUNKS_MAX, Chunking

log = logging.getLogger(__name__)


class Uploads:
    """Handlers of the URLs that take chunks."""

    def __init__(self, service: Service) -> None:
        self._views = service.views
        self._intake = service.intake.chunks
        self._ledger = service.ledger
        self._admission = service.admission
        self._keys = service.accounts.keys
        self._links = UploadLinks(service.now, self._keys)

    async def find(self, request: web.Request) -> web.Response:
        """Answer whether a chunk is there; resumable.js asks before it sends one."""
        drive = self._drive(request)
        number, chunking = _resumable(request.query)
        if not await self._intake.has_chunk(drive, number, chunking):
            raise ChunkAbsent
        return await self._answer(request, drive, number, chunking)

    async def send(self, request: web.Request) -> web.Response:
        """Take in a chunk as resumable.js sends it; answer once it is on disk."""
        drive = self._drive(request)
        with self._admission.take(request[ASKING], "uploads"):
            form = await read_form(request)
            number, chunking = _resumable({**request.query, **form.fields})
            on_kept = begin_in_parts(request, Changed(200))
            await self._intake.receive(drive, number, chunking, form.file, on_kept=on_kept)
        return await self._answer_received(request, drive, number, chunking)

    async def link(self, request: web.Request) -> web.Response:
        """Answer with a link for one chunk that is not there yet."""
        drive = self._drive(request)
        asked = await read_object(request, ChunkRequest)
        if await self._intake.has_chunk(drive, asked.chunk_number, Chunking(asked.chunk_size)):
            raise ChunkPresent
        await self._keys.provide()
        token = self._links.token(LinkedChunk(drive, asked.chunk_number, asked.chunk_size))
        return json_answer(ChunkLink(f"{API_ROOT}/uploads/{token}/"))

    async def send_by_link(self, request: web.Request) -> web.Response:
        """Take in a chunk as the body; answer once it is on disk."""
        await self._keys.learn()
        chunk = self._links.read(request.match_info["token"])
        occupy_connection(request)
        length = body_length(request)
        chunking = Chunking(chunk.chunk_size)
        owner = await self._owner(chunk.drive)
        with self._admission.take(owner, "uploads"):
            await self._intake.receive(
                chunk.drive,
                chunk.number,
                chunking,
                upload_chunks(request),
                length=length,
                on_kept=begin_in_parts(request, Changed(200)),
            )
        return await self._answer_received(request, chunk.drive, chunk.number, chunking, length)

    async def _answer_received(
        self,
        request: web.Request,
        drive: str,
        number: int,
        chunking: Chunking,
        length: int | None = None,
    ) -> web.Response:
        """Answer the same once the chunk is taken in: then nothing is an error any more."""
        try:
            return await self._answer(request, drive, number, chunking, length)
        except (Expected, OSError) as error:
            log.warning("no digest of chunk %d of drive %s: %r", number, drive, error)
            return web.Response()

    async def _answer(
        self,
        request: web.Request,
        drive: str,
        number: int,
        chunking: Chunking,
        length: int | None = None,
    ) -> web.Response:
        """Answer that a chunk is there, with its digest as it reads from the disk, if wanted."""
        if not wants_digest(request):
            return web.Response()
        digest = await self._intake.digest(drive, number, chunking, length=length)
        return web.Response(headers=digest_headers(digest))

    async def _owner(self, uuid: str) -> str:
        """Return the account that the drive belongs to, whose budget a link spends."""
        drive = await asyncio.to_thread(self._ledger.drive, uuid)
        if drive is None:
            raise DriveNotFound(uuid)
        return drive.owner

    def _drive(self, request: web.Request) -> str:
        """Return the uuid in the URL if it is of a drive that the account may see."""
        uuid = uuid_in_url(request, DriveNotFound)
        with self._views.snapshot() as snapshot:
            if snapshot.drive(uuid, owner_of(request)) is None:
                raise DriveNotFound(uuid)
        return uuid


class _ResumableChunk(Struct):
    """What resumable.js says about a chunk."""

    number: Annotated[int, Meta(ge=1, le=CHUNKS_MAX)] = field(name="resumableChunkNumber")
    chunk_size: Annotated[int, Meta(ge=1, le=SIZE_MOST)] = field(name="resumableChunkSize")
    total_size: Annotated[int, Meta(ge=1, le=SIZE_MOST)] = field(name="resumableTotalSize")


def _resumable(fields: Mapping[str, str]) -> tuple[int, Chunking]:
    """Return a chunk's number, counted from 0 and not from 1, and how the upload is cut."""
    said = decode_fields(fields, _ResumableChunk)
    return said.number - 1, Chunking(said.chunk_size, said.total_size)
