"""Uploads of images in chunks, which resume after an interruption.

Every chunk is compared with the file by its digest, whether it was there before or has just been
sent. So an upload that ends well has made exactly the file, even if it began with another one.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, NamedTuple

import msgspec

from api.client.digests import WANT, digest_in
from api.client.errors import (
    ChunkDiffers,
    ChunkUnknown,
    ClientError,
    FileMisfit,
    Refused,
)
from api.client.http import TRANSFER, Answer, Client, decoded
from api.client.local_image import LocalImage
from api.client.patience import Patience, patiently
from api.client.responses import Drive, Reference

CHUNK_BYTES = 4 * 1024**2
CHUNKS_MAX = 50_000
SIZE_STEP = 16 * 1024
"""The service rounds the size of a drive up to a multiple of this."""
NOT_FOUND, CHUNK_PRESENT = 404, 416

Progress = Callable[[int, int], None]
"""Called with the number of bytes transferred, and of all bytes."""


class _NewDrives(msgspec.Struct):
    objects: Annotated[list[Reference], msgspec.Meta(min_length=1)]


class _Chunk(NamedTuple):
    """A part of the file; `number` counts from 1, `size` is that of all chunks but the last."""

    number: int
    size: int
    start: int
    end: int
    total: int

    def fields(self) -> dict[str, str]:
        return {
            "resumableChunkNumber": str(self.number),
            "resumableChunkSize": str(self.size),
            "resumableTotalSize": str(self.total),
        }


async def begin_upload(client: Client, image: LocalImage, name: str, media: str) -> str:
    """Make the drive to upload the image to; return its uuid."""
    body = {"name": name, "media": media, "size": image.size}
    return decoded(await client.post("/initupload/", body=body), _NewDrives).objects[0].uuid


async def check_resumable(client: Client, image: LocalImage, drive: str) -> None:
    """Raise `ClientError` unless the drive waits for chunks of an image of this size."""
    found = decoded(await client.get(f"/drives/{drive}/"), Drive)
    if found.status != "uploading":
        raise ClientError(f"the upload to drive {drive} is complete already")
    if not 0 <= found.size - image.size < SIZE_STEP:
        raise FileMisfit(image.path, image.size, drive, found.size)


async def upload(client: Client, image: LocalImage, drive: str, progress: Progress) -> None:
    """Send the chunks that the service lacks, and compare all; each again if it is lost.

    Raises `ClientError`: `FileChanged`, `ChunkDiffers` and `ChunkUnknown` at the first chunk that
    may not be the file's; nothing more is sent then.
    """
    for chunk in _chunks(image.size):
        content = image.read(chunk.start, chunk.end)
        answer = await _find(client, drive, chunk)
        was_there = answer is not None
        answer = answer or await _send(client, drive, chunk, content)
        found = digest_in(answer.headers)
        if found is None and was_there:
            raise ChunkUnknown(drive, chunk.number)
        if found not in (None, hashlib.sha256(content).digest()):
            raise ChunkDiffers(image.path, drive, chunk.number)
        progress(chunk.end, image.size)
    image.check_unchanged()


def _chunks(total: int) -> Iterator[_Chunk]:
    size = max(CHUNK_BYTES, -(-total // CHUNKS_MAX))
    count = max(1, total // size)
    for number in range(1, count + 1):
        start = (number - 1) * size
        yield _Chunk(number, size, start, total if number == count else start + size, total)


async def _find(client: Client, drive: str, chunk: _Chunk) -> Answer | None:
    """Return the answer about a chunk that is there; None if it is not."""
    try:
        path = f"/drives/{drive}/upload/"
        return await patiently(
            client, lambda: client.get(path, chunk.fields(), WANT, limit=TRANSFER)
        )
    except Refused as error:
        # Once the upload is complete, the drive refuses with another status: it is busy or ready.
        if error.status != NOT_FOUND:
            raise
        return None


async def _send(client: Client, drive: str, chunk: _Chunk, content: bytes) -> Answer:
    """Send a chunk. If the answer is lost, look whether the chunk arrived before sending it again.

    What arrived is told apart from what another client sent meanwhile by its digest.
    """
    patience = Patience(client)
    while True:
        headers, form = _form(chunk.fields(), content)
        try:
            path, headers = f"/drives/{drive}/upload/", {**WANT, **headers}
            return await client.send("POST", path, form, headers=headers, limit=TRANSFER)
        except ClientError as error:
            is_there = isinstance(error, Refused) and error.status == CHUNK_PRESENT
            await patience.wait(error, passes=is_there)
        answer = await _find(client, drive, chunk)
        if answer is not None:
            if digest_in(answer.headers) is None:
                raise ChunkUnknown(drive, chunk.number)
            return answer


def _form(fields: Mapping[str, object], content: bytes) -> tuple[Mapping[str, str], bytes]:
    """Return the headers and the body of a form (multipart/form-data) with a file."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    file = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="chunk"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = b"".join((*parts, file.encode(), content, f"\r\n--{boundary}--\r\n".encode()))
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, body
