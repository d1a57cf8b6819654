"""The same machines as in the acceptance tests, and small disks."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import account_data, machine

__all__ = ["account_data", "machine", "small_disk"]

SMALL_DISK_BYTES = 16 * 1024**2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small tmpfs")
    disk = tmp_path / "disk"
    disk.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(disk))
    yield disk
    _run("umount", str(disk))


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
