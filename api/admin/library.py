"""The library: images that every account may clone, managed by the operators."""

import asyncio
import stat
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from msgspec import Struct

from api.http.errors import BadRequest
from api.http.fields import Text, Texts, decode_fields
from api.resources.drives.bodies import SIZE_MOST, default_storage_type
from api.resources.drives.representation import IMAGE_TYPES, LIBRARY_TEXTS
from api.service.service import Service
from ledger.domain.aggregates.drive import LIBRARY, round_up
from ledger.domain.commands.drives import DeleteDrives
from ledger.domain.events.drives import DriveDefinition, Media
from ledger.store.writer import Caller

READ_BYTES = 4 * 1024 * 1024
_OPERATOR = Caller("system:library", "")


class NewImage(Struct, frozen=True):
    """An image to add: a raw disk image in a file on the machine of the service."""

    path: str
    name: str
    media: Media
    storage_type: str | None = None
    meta: dict[str, str] = {}


class LibraryImage(Struct, frozen=True):
    """A drive of the library; `size` in bytes."""

    uuid: str
    name: str
    media: Media
    size: int
    storage_type: str
    meta: dict[str, str]


class Library:
    """The library of a service that this process has open."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def add(self, image: NewImage) -> LibraryImage:
        """Copy an image into a pool and make a library drive of it.

        Raise `BadRequest`, OSError, and what keeps an image from being taken.
        """
        path = Path(image.path)
        definition = self._definition(image, await asyncio.to_thread(_size, path))
        record = partial(self._service.ledger.execute, by=_OPERATOR)
        uuid = await self._service.intake.receive(LIBRARY, definition, _blocks(path), record)
        return _image(uuid, definition)

    async def every(self) -> list[LibraryImage]:
        """Return the drives of the library, oldest first."""
        with self._service.views.snapshot() as snapshot:
            found = snapshot.library()
        return [_image(drive.uuid, drive.definition) for drive in found]

    async def remove(self, uuid: str) -> None:
        """Remove a drive from the library; its clones stay. Raise the command's `Refusal`."""
        await self._service.ledger.execute(DeleteDrives(LIBRARY, (uuid,)), _OPERATOR)

    def _definition(self, image: NewImage, size: int) -> DriveDefinition:
        """Checked as what a client says would be. Raises `BadRequest`."""
        said = decode_fields({"name": image.name, "meta": image.meta}, _Said)
        if not 0 < size <= SIZE_MOST:
            raise BadRequest(f"an image has 1 to {SIZE_MOST} bytes, not {size}")
        return DriveDefinition(
            name=said.name,
            media=image.media,
            size=round_up(size),
            storage_type=image.storage_type or default_storage_type(self._service.pools),
            meta={**_facts(image.media), **said.meta},
        )


class _Said(Struct):
    name: Text
    meta: Texts


def _facts(media: Media) -> dict[str, str]:
    """The default description of a library drive; its clones have it in their meta."""
    return {
        **dict.fromkeys(LIBRARY_TEXTS, ""),
        "category": "general",
        "favourite": "false",
        "image_type": IMAGE_TYPES[media],
        "paid": "false",
    }


def _image(uuid: str, definition: DriveDefinition) -> LibraryImage:
    return LibraryImage(
        uuid,
        definition.name,
        definition.media,
        definition.size,
        definition.storage_type,
        definition.meta,
    )


def _size(path: Path) -> int:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise BadRequest(f"{path} is not a file")
    return found.st_size


async def _blocks(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while block := await asyncio.to_thread(file.read, READ_BYTES):
            yield block
