"""Finished images that are made longer."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ledger.images.errors import PoolFull
from ledger.images.files import grow

ROOT = Path(__file__).parents[2]
CONTENT = b"x" * 10_000


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "d.img"
    path.write_bytes(CONTENT)
    return path


def test_grows_by_a_hole(image):
    """The content stays, zeros that take no room follow it."""
    before = image.stat().st_blocks
    grow(image, 5 * 2**30)
    assert image.stat().st_size == 5 * 2**30
    assert image.stat().st_blocks == before
    with image.open("rb") as file:
        assert file.read(20_000) == CONTENT + bytes(10_000)


def test_growing_again_changes_nothing(image):
    """A crash may have come between the growing and the word of it."""
    for _ in range(2):
        grow(image, 20_000)
        assert image.read_bytes() == CONTENT + bytes(10_000)


def test_never_shrinks(image):
    """A smaller size is a mistake of the caller's, and the image stays whole."""
    with pytest.raises(ValueError, match="more than 9999"):
        grow(image, 9_999)
    assert image.read_bytes() == CONTENT


def test_makes_no_image(tmp_path):
    """An image that is not there is an error, not a blank one."""
    with pytest.raises(FileNotFoundError):
        grow(tmp_path / "d.img", 10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [10_000, 20_000])
def test_is_synced_in_its_size(image, monkeypatch, size):
    """It is durable when it has grown; also when it had the size before, perhaps in memory only."""
    synced = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    grow(image, size)
    assert synced == [size]


@pytest.mark.parametrize("call", ["ftruncate", "fsync"])
@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        (errno.ENOSPC, PoolFull),
        (errno.EDQUOT, PoolFull),
        (errno.EFBIG, PoolFull),
        (errno.EIO, OSError),
    ],
)
def test_errors_are_named(image, monkeypatch, call, code, refusal):
    """Want of room is a full pool, any other error comes as it is; the content stays."""

    def failing(*_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(refusal, match=os.strerror(code)):
        grow(image, 20_000)
    assert image.read_bytes().startswith(CONTENT)


def test_file_too_big(image):
    """A file size limit reached is a full pool, and the image is as it was."""
    script = f"""
        import resource
        from pathlib import Path
        from ledger.images.errors import PoolFull
        from ledger.images.files import grow
        resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, 15_000))
        try:
            grow(Path({str(image)!r}), 20_000)
        except PoolFull as refusal:
            print("full:", refusal)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "full: File too large\n"
    assert image.read_bytes() == CONTENT
