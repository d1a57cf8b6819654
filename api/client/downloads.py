"""Downloads of images, which resume after an interruption.

A part is continued only if the answer is the rest of just that version of the image: by its strong
tag, and by exactly the range that was asked for. At the end the whole is compared with the image.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
from msgspec import structs

from api.client.digests import WANT, digest_in
from api.client.errors import (
    ClientError,
    DownloadDiffers,
    ImageChanged,
    Unreachable,
    WrongAnswer,
)
from api.client.http import BAD, TRANSFER, Answer, decoded
from api.client.partial_file import Origin, PartialFile, partial_file
from api.client.patience import Patience, patiently
from api.client.responses import Drive
from api.client.sessions import SessionClient
from api.text.urls import API_ROOT

BLOCK_BYTES = 4 * 1024**2
DIGEST_PAUSE_S = 1.0
"""The pause before asking again for a digest that is being made."""
OK, PARTIAL = 200, 206
AS_IT_IS = {"Accept": "*/*", "Accept-Encoding": "identity"}

Progress = Callable[[int, int], None]
"""Called with the number of bytes transferred, and of all bytes."""


async def download(client: SessionClient, drive: str, file: Path, progress: Progress) -> None:
    """Download an image, as a part beside the file until it is complete.

    What an earlier attempt received is kept if the image is still the same. Raises `ClientError`;
    the part stays then.
    """
    expected = await _origin(client, drive)
    with partial_file(file) as part:
        part.check_origin(expected.ledger, expected.drive)
        if not _can_continue(part, expected):
            part.cut(0)
        await _receive(client, part, expected, progress)
        await _check(client, part)
        part.complete()


async def _origin(client: SessionClient, drive: str) -> Origin:
    """Return what the download is of, as it is now. Raises `WrongAnswer`."""
    found = decoded(await client.get(f"/drives/{drive}/"), Drive)
    headers = (await client.head(_path(drive), AS_IT_IS)).headers
    origin = Origin(headers.get("X-Ledger-Origin", ""), drive, found.size, _strong_tag(headers))
    if not _is_version(headers, origin):
        raise WrongAnswer(f"it has {headers['Content-Length']} bytes, the drive {origin.size}")
    return origin


def _can_continue(part: PartialFile, expected: Origin) -> bool:
    """Return whether what is there is of the image as it is now."""
    return part.origin == expected and expected.etag is not None and part.length <= expected.size


async def _receive(
    client: SessionClient, part: PartialFile, expected: Origin, progress: Progress
) -> None:
    """Receive what is missing, over several connections if need be."""
    most, patience = part.length, Patience(client)
    while part.length < expected.size:
        try:
            await _fetch(client, part, expected, progress)
        except ClientError as error:
            came_on, most = part.length > most, max(most, part.length)
            await patience.wait(error, came_on=came_on)


async def _fetch(
    client: SessionClient, part: PartialFile, expected: Origin, progress: Progress
) -> None:
    """Receive as much as one answer has."""
    start, origin = part.length, part.origin
    headers = {**AS_IT_IS, **WANT}
    if start and origin is not None and origin.etag is not None:
        headers |= {"Range": f"bytes={start}-", "If-Range": origin.etag}
    try:
        target = f"{client.url}{API_ROOT}{_path(expected.drive)}"
        async with client.session.get(target, headers=headers) as answer:
            if answer.status >= BAD:
                found = Answer(answer.status, answer.headers, await answer.read())
                raise client.refusal(found, _path(expected.drive))
            if answer.status == PARTIAL and start and origin is not None:
                _check_continues(answer, origin, start)
            else:
                part.begin(_begun(answer, expected))
            await _write(answer, part, expected.size, progress)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unreachable(client.url, str(error)) from error


def _check_continues(answer: aiohttp.ClientResponse, origin: Origin, start: int) -> None:
    """Raise `WrongAnswer` unless the answer is the rest of what the part is of."""
    _check_plain(answer)
    if answer.headers.get("ETag") != origin.etag:
        raise WrongAnswer("it is of another version of the image than the part")
    expected = f"bytes {start}-{origin.size - 1}/{origin.size}"
    if answer.headers.get("Content-Range") != expected:
        raise WrongAnswer(f"it is not {expected}, which was asked for")
    if answer.content_length not in (None, origin.size - start):
        raise WrongAnswer("it is not as long as the range that was asked for")


def _begun(answer: aiohttp.ClientResponse, expected: Origin) -> Origin:
    """Return what begins with a whole answer. Raises `WrongAnswer` if it is not one."""
    _check_plain(answer)
    if answer.status != OK:
        raise WrongAnswer(f"it has status {answer.status}")
    if answer.content_length not in (None, expected.size):
        raise WrongAnswer(f"it has {answer.content_length} bytes, the drive {expected.size}")
    return structs.replace(expected, etag=_strong_tag(answer.headers))


def _check_plain(answer: aiohttp.ClientResponse) -> None:
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise WrongAnswer("it is compressed")


def _strong_tag(headers: Mapping[str, str]) -> str | None:
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else None


async def _write(
    answer: aiohttp.ClientResponse, part: PartialFile, size: int, progress: Progress
) -> None:
    start = part.length
    async for block in answer.content.iter_chunked(BLOCK_BYTES):
        if part.length + len(block) > size:
            part.cut(start)
            raise WrongAnswer("it has more bytes than the image")
        part.append(block)
        progress(part.length, size)
    if part.length < size:
        # It was passed off as complete, so its bytes may be any.
        part.cut(start)
        raise Unreachable(str(answer.url.origin()), "the answer ended early")


async def _check(client: SessionClient, part: PartialFile) -> None:
    """Raise `ClientError` unless the part is the image: by its tag, and by its digest if given.

    Its size is right, as nothing else ends the download.
    """
    assert part.origin is not None
    answer = await _final_head(client, part.origin.drive)
    while "Retry-After" in answer.headers and digest_in(answer.headers) is None:
        await asyncio.sleep(DIGEST_PAUSE_S)  # whoever answers need not have let it wait
        answer = await _final_head(client, part.origin.drive)
    if not _is_version(answer.headers, part.origin):
        raise ImageChanged(part.origin.drive)
    expected = digest_in(answer.headers)
    if expected is not None and expected != await asyncio.to_thread(_sha256, part.path):
        raise DownloadDiffers(part.path, part.origin.drive)


async def _final_head(client: SessionClient, drive: str) -> Answer:
    """Ask for the digest too, for which the service lets the answer wait."""
    headers = {**AS_IT_IS, **WANT}
    return await patiently(client, lambda: client.head(_path(drive), headers, limit=TRANSFER))


def _is_version(headers: Mapping[str, str], origin: Origin) -> bool:
    """Return whether this is what the part is of; without a tag only its length can tell."""
    length = headers.get("Content-Length", str(origin.size))
    return length == str(origin.size) and origin.etag in (None, headers.get("ETag"))


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _path(drive: str) -> str:
    return f"/drives/{drive}/download/"
