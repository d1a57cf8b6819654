import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import ledger.images.copy


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and checkpoints small enough for small files to have many."""
    monkeypatch.setattr(ledger.images.copy, "CHUNK_BYTES", 16 * 1024)
    monkeypatch.setattr(ledger.images.copy, "CHECKPOINT_BYTES", 64 * 1024)


@pytest.fixture(autouse=True)
def open_files() -> Iterator[None]:
    """No test leaves a descriptor open, however it ends."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - iterdir would hold one itself
    yield
    # What an earlier test left to the garbage collector may have been closed meanwhile.
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small tmpfs")
    disk = tmp_path / "disk"
    disk.mkdir()
    _run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk))
    yield disk
    _run("umount", str(disk))


@pytest.fixture
def reflinking_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that knows FICLONE."""
    if os.geteuid() != 0 or shutil.which("mkfs.xfs") is None:
        pytest.skip("needs root and mkfs.xfs for a file system with reflinks")
    image, disk = tmp_path / "xfs", tmp_path / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(320 * 1024 * 1024)
    _run("mkfs.xfs", "-q", "-m", "reflink=1", str(image))
    _run("mount", "-o", "loop", str(image), str(disk))
    yield disk
    _run("umount", str(disk))


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
