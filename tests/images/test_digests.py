"""Digests of images: of what is read, and kept only while it is true."""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from ledger.images import digests
from ledger.images.copy import copy_image
from ledger.images.digests import READ_BYTES, digest_in_steps, kept_digest, sha256
from ledger.images.files import fingerprint, grow
from ledger.images.regular_files import regular_file

KIB = 1024
# Data, a hole that is longer than what is read at once, data, and a hole at the end.
CONTENT = os.urandom(100 * KIB) + bytes(3 * READ_BYTES) + os.urandom(70 * KIB) + bytes(50 * KIB)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "d.img"
    with path.open("wb") as file:
        file.write(CONTENT[: 100 * KIB])
        file.seek(100 * KIB + 3 * READ_BYTES)
        file.write(CONTENT[file.tell() : -50 * KIB])
        file.truncate(len(CONTENT))
    return path


def made(path: Path, *, after_first_step: Callable[[], None] = lambda: None) -> bytes | None:
    """The digest of a whole image, made to the end."""
    with regular_file(path, os.O_RDONLY) as fd:
        return finished(digest_in_steps(fd), after_first_step)


def finished(
    steps: Generator[None, None, bytes | None], after_first_step: Callable[[], None]
) -> bytes | None:
    try:
        next(steps)
        after_first_step()
        while True:
            next(steps)
    except StopIteration as end:
        digest: bytes | None = end.value
        return digest


def kept(path: Path) -> bytes | None:
    with regular_file(path, os.O_RDONLY) as fd:
        return kept_digest(fd)


def test_it_is_that_of_the_content(image: Path) -> None:
    """Holes count as the zeros that they read as."""
    assert made(image) == hashlib.sha256(CONTENT).digest()


@pytest.mark.parametrize(
    ("start", "end"), [(0, 0), (0, 7), (99 * KIB, 101 * KIB), (2**20, 2**21 + 5), (5, len(CONTENT))]
)
def test_it_may_be_of_a_part(image: Path, start: int, end: int) -> None:
    """That of a chunk is that of its bytes, wherever they lie."""
    with regular_file(image, os.O_RDONLY) as fd:
        assert sha256(fd, start, end) == hashlib.sha256(CONTENT[start:end]).digest()


def test_it_is_made_in_steps(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes it can stop after each of them."""
    monkeypatch.setattr(digests, "STEP_BYTES", READ_BYTES)
    with regular_file(image, os.O_RDONLY) as fd:
        assert len([*digest_in_steps(fd)]) == len(CONTENT) // READ_BYTES


def test_it_is_kept_until_the_image_changes(image: Path) -> None:
    """A write, even of the same length, ends it, and so does growth."""
    assert kept(image) is None
    digest = made(image)
    assert kept(image) == digest
    with image.open("r+b") as file:
        file.write(b"other")
    os.utime(image, ns=(1, 1))
    assert kept(image) is None
    assert made(image) == kept(image) != digest
    grow(image, len(CONTENT) + 1)
    os.utime(image, ns=(1, 1))
    assert kept(image) is None


def test_none_is_made_of_an_image_that_changes_meanwhile(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be that of a mixture."""
    monkeypatch.setattr(digests, "STEP_BYTES", READ_BYTES)
    assert made(image, after_first_step=lambda: os.utime(image, ns=(1, 1))) is None
    assert kept(image) is None


@pytest.mark.parametrize("text", [b"", b"x", b"1.2 xyz", b"\xff" * 300])
def test_what_is_not_a_digest_is_none(image: Path, text: bytes) -> None:
    """Others may write attributes too."""
    os.setxattr(image, "user.job-ledger.sha256", text)
    assert kept(image) is None


def test_a_file_system_without_attributes(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest is made there too, but not kept."""

    def refuse(*_given: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    assert made(image) == hashlib.sha256(CONTENT).digest()
    assert kept(image) is None


@pytest.mark.parametrize(
    ("verify", "more", "inherits"), [(True, 0, True), (False, 0, False), (True, 1, False)]
)
def test_a_verified_copy_has_the_digest_of_its_source(
    image: Path, *, verify: bool, more: int, inherits: bool
) -> None:
    """It was compared; a copy that was not, or is longer, has none."""
    digest = made(image)
    copy = image.with_name("e.1.part")
    copy_image(
        source=image,
        part=copy,
        size=len(CONTENT) + more,
        resume=None,
        on_checkpoint=lambda _: None,
        on_moved=lambda _: None,
        rate=None,
        verify=verify,
        stop=threading.Event(),
        expected=fingerprint(image),
    )
    assert kept(copy) == (digest if inherits else None)
