"""Images in backups: copied, put back, and searched for missing and stray ones."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ledger.images.errors import NotRegular, SourceChanged, SourceVanished
from ledger.images.files import make_directory, publish
from ledger.images.pools import Pool
from ledger.images.regular_files import is_there
from projections.maintenance.backup.files import (
    copy_file,
    describe_file,
    set_aside,
    set_time,
)
from projections.maintenance.backup.manifest import FileRecord
from projections.views.drives import ExpectedImage

LOST_AND_FOUND = "lost+found"
ATTEMPTS = 5
"""How often the copy of an image is tried while the image grows."""

_OF_A_DRIVE = re.compile(
    r"(?P<drive>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(img|upload|chunks)"
)


class MissingImage(NamedTuple):
    """A drive that is ready, but whose image is missing."""

    drive: str
    pool: str


def missing_images(
    expected: Iterable[ExpectedImage], pools: Mapping[str, Pool]
) -> Iterator[MissingImage]:
    """Yield those of these images that are missing from pools that are here."""
    for image in expected:
        pool = pools.get(image.pool)
        if pool is not None and not _has_image(pool, image.drive):
            yield MissingImage(image.drive, image.pool)


def _has_image(pool: Pool, drive: str) -> bool:
    with suppress(NotRegular):
        return is_there(pool.image(drive))
    return False


def copy_images(
    expected: Iterable[ExpectedImage], pools: Mapping[str, Pool], directory: Path
) -> Iterator[MissingImage]:
    """Copy images into a folder for each pool; yield those that are missing.

    Raise `ImageError` and OSError.
    """
    for image in expected:
        pool = pools.get(image.pool)
        folder = Pool(image.pool, directory / image.pool)
        make_directory(folder.path)
        if pool is None or not _copy_if_there(pool.image(image.drive), folder.image(image.drive)):
            yield MissingImage(image.drive, image.pool)
        else:
            _cut_to(folder.image(image.drive), image.size)


def _copy_if_there(image: Path, copy: Path) -> bool:
    """Copy an image, again if it grows meanwhile; return whether there is one."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            copy_file(image, copy)
        except (FileNotFoundError, SourceVanished, NotRegular):
            copy.unlink(missing_ok=True)
            return False
        except SourceChanged:
            if attempt == ATTEMPTS:
                raise
        else:
            break
    return True


def _cut_to(copy: Path, size: int) -> None:
    """Cut off the hole by which an image may have grown since the moment of the backup."""
    state = copy.stat()
    if state.st_size > size:
        os.truncate(copy, size)
        set_time(copy, state.st_mtime_ns)


def put_back(image: Path, expected: FileRecord, pool: Pool) -> Path | None:
    """Give a drive the image of a backup; return where the previous image is now.

    An equal image stays. Raise `ImageError` and OSError.
    """
    target = pool.path / image.name
    aside = None
    if os.path.lexists(target):
        if _has_image(pool, target.stem) and describe_file(target) == expected:
            return None
        aside = set_aside(target, pool.path / LOST_AND_FOUND)
    part = target.with_name(f"{target.name}.new")  # what a crash leaves of it, a start removes
    copy_file(image, part)
    publish(part, target)
    return aside


def set_strays_aside(pool: Pool, drives: Collection[str]) -> Iterator[Path]:
    """Move images of other drives than these aside; yield where they are now."""
    for path in sorted(pool.path.iterdir()):
        named = _OF_A_DRIVE.fullmatch(path.name)
        if named is not None and named["drive"] not in drives:
            yield set_aside(path, pool.path / LOST_AND_FOUND)
