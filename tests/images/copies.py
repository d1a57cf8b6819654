"""Sparse sources for the tests, and a copy with everything not asked for left plain."""

import hashlib
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

from ledger.domain.events.jobs import Fingerprint
from ledger.images.background_sync import Checkpoint
from ledger.images.copy import copy_image
from ledger.images.files import fingerprint
from ledger.images.rate import RateLimit
from ledger.images.steps import FREELY, Steps

PAGE = 4096


def sparse_file(path: Path, size: int, extents: list[tuple[int, int]], seed: int = 1) -> None:
    """A file of `size` bytes with random data at these (offset, length), holes elsewhere."""
    noise = random.Random(seed)  # noqa: S311 - test data, the same every time
    with path.open("wb") as file:
        for offset, length in extents:
            file.seek(offset)
            file.write(noise.randbytes(length))
        file.truncate(size)
        os.fsync(file.fileno())


def striped_file(path: Path, stripes: int, stripe: int = 16 * PAGE) -> int:
    """Data and holes in turns, each `stripe` bytes; returns the file's size."""
    size = 2 * stripes * stripe
    sparse_file(path, size, [(2 * i * stripe, stripe) for i in range(stripes)])
    return size


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def padded_sha256(path: Path, size: int) -> str:
    """The digest of the file's content followed by zeros up to `size` bytes."""
    return hashlib.sha256(path.read_bytes().ljust(size, b"\0")).hexdigest()


def copied(
    source: Path,
    part: Path,
    *,
    size: int | None = None,
    resume: Checkpoint | None = None,
    on_checkpoint: Callable[[Checkpoint], None] | None = None,
    on_moved: Callable[[int], None] = lambda _: None,
    rate: RateLimit | None = None,
    verify: bool = False,
    stop: threading.Event | None = None,
    expected: Fingerprint | None = None,
    steps: Steps = FREELY,
) -> list[Checkpoint]:
    """Copy and return the checkpoints reported."""
    seen: list[Checkpoint] = []
    expected = expected or fingerprint(source)

    def report(checkpoint: Checkpoint) -> None:
        seen.append(checkpoint)
        if on_checkpoint is not None:
            on_checkpoint(checkpoint)

    copy_image(
        source=source,
        part=part,
        size=expected.size if size is None else size,
        resume=resume,
        on_checkpoint=report,
        on_moved=on_moved,
        rate=rate,
        verify=verify,
        stop=stop or threading.Event(),
        expected=expected,
        steps=steps,
    )
    return seen
