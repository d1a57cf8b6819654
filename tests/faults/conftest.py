"""The same machines as in the acceptance tests, and small disks."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import account_data, machine

__all__ = ["account_data", "machine", "small_disk"]

SMALL_DISK_BYTES = 16 * 1024**2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    with mounted(tmp_path / "disk", f"size={SMALL_DISK_BYTES}") as disk:
        yield disk


@contextmanager
def mounted(disk: Path, options: str) -> Iterator[Path]:
    """Mount a file system of this kind; skip the test if that is not allowed here."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small tmpfs")
    disk.mkdir()
    _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk))
    try:
        yield disk
    finally:
        _run("umount", "--lazy", str(disk))  # what a traceback still holds open goes with it


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
