"""Uploads and downloads of images, in pieces; both resume after an interruption."""

import asyncio
import os
from collections.abc import Callable
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import IO

import aiohttp
import msgspec

from api.client.errors import ClientError, Refused, Unreachable
from api.client.http import BAD, Answer, Client, decoded
from api.client.responses import Reference
from api.text.urls import API_ROOT

CHUNK_BYTES = 4 * 1024**2
CHUNKS_MAX = 50_000
TRIES = 8
PAUSE_S = 1.0
"""All pauses together are long enough for a service to restart."""
NOT_FOUND, PARTIAL = 404, 206

Progress = Callable[[int, int], None]
"""Called with the number of bytes transferred, and of all bytes."""


class _NewDrives(msgspec.Struct):
    objects: list[Reference]


async def begin_upload(client: Client, file: Path, name: str, media: str) -> str:
    """Make the drive to upload the file to; return its uuid."""
    size = file.stat().st_size
    if not size:
        raise ClientError(f"{file} is empty: it is not an image")
    body = {"name": name, "media": media, "size": size}
    return decoded(await client.post("/initupload/", body=body), _NewDrives).objects[0].uuid


async def upload(client: Client, file: Path, drive: str, progress: Progress) -> None:
    """Send the chunks of a file that the service lacks, again if one is lost on its way."""
    total = file.stat().st_size
    size = max(CHUNK_BYTES, -(-total // CHUNKS_MAX))
    count = max(1, total // size)
    with file.open("rb") as opened:
        for number in range(count):
            start = number * size
            end = total if number == count - 1 else start + size
            chunk = {
                "resumableChunkNumber": str(number + 1),
                "resumableChunkSize": str(size),
                "resumableTotalSize": str(total),
            }
            if not await _is_there(client, drive, chunk):
                opened.seek(start)
                await _send(client, drive, chunk, opened.read(end - start))
            progress(end, total)


async def _is_there(client: Client, drive: str, chunk: dict[str, str]) -> bool:
    try:
        await client.get(f"/drives/{drive}/upload/", chunk)
    except Refused as error:
        # Once the upload is complete, the drive refuses with another status: it is busy or ready.
        if error.status != NOT_FOUND:
            raise
        return False
    return True


async def _send(client: Client, drive: str, chunk: dict[str, str], content: bytes) -> None:
    for tries_left in reversed(range(TRIES)):
        form = aiohttp.FormData(chunk)
        form.add_field("file", content, filename="chunk", content_type="application/octet-stream")
        try:
            await client.send("POST", f"/drives/{drive}/upload/", form)
        except Unreachable:
            if not tries_left:
                raise
            await asyncio.sleep(PAUSE_S)
        else:
            return


def part_of(file: Path) -> Path:
    """Return the file that holds a download until it is complete."""
    return file.with_name(f"{file.name}.part")


async def download(client: Client, drive: str, file: Path, progress: Progress) -> None:
    """Download an image, as `.part` beside the file until it is complete.

    What an earlier attempt received is kept if the image has not changed since.
    """
    part = part_of(file)
    for tries_left in reversed(range(TRIES)):
        try:
            await _fetch(client, drive, part, progress)
        except Unreachable:
            if not tries_left:
                raise
            await asyncio.sleep(PAUSE_S)
        else:
            part.rename(file)
            return


async def _fetch(client: Client, drive: str, part: Path, progress: Progress) -> None:
    headers = {}
    if part.exists() and part.stat().st_size:
        found = part.stat()
        headers = {"Range": f"bytes={found.st_size}-", "If-Range": _http_date(found.st_mtime)}
    target = f"{client.url}{API_ROOT}/drives/{drive}/download/"
    try:
        async with client.session.get(target, headers={**headers, "Accept": "*/*"}) as answer:
            if answer.status >= BAD:
                body = await answer.read()
                raise client.refusal(Answer(answer.status, answer.headers, body))
            with part.open("ab" if answer.status == PARTIAL else "wb") as opened:
                try:
                    await _write(answer, opened, progress)
                finally:
                    opened.flush()
                    _date(opened, answer.headers["Last-Modified"])
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unreachable(client.url, str(error)) from error


async def _write(answer: aiohttp.ClientResponse, opened: IO[bytes], progress: Progress) -> None:
    total = opened.tell() + (answer.content_length or 0)
    async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
        opened.write(chunk)
        progress(opened.tell(), total)


def _date(opened: IO[bytes], last_modified: str) -> None:
    """Give the part the date of its image, which shows later whether it is still the same image."""
    at = parsedate_to_datetime(last_modified).timestamp()
    os.utime(opened.fileno(), (at, at))


def _http_date(timestamp: float) -> str:
    return formatdate(timestamp, usegmt=True)
