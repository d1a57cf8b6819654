"""How much memory a service keeps of what it has freed."""

import platform
from itertools import pairwise
from pathlib import Path

import pytest

from api.cli.memory import HEAPS
from tests.commands.cli.processes import Serve

HEAP_BYTES = 64 * 1024**2
"""What glibc sets aside for a heap of threads, and where it begins: at a multiple of it."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have one heap")
def test_the_threads_of_a_service_share_a_few_heaps(serve: Serve) -> None:
    """By itself, glibc gives each thread its own, and each keeps what a long read has needed."""
    service = serve()
    assert service.get("/api/2.0/jobs/") == 401
    assert len(list(Path(f"/proc/{service.pid}/task").iterdir())) > HEAPS
    assert heaps_of_threads(service.pid) < HEAPS, "the first heap is no thread's"


def heaps_of_threads(pid: int) -> int:
    """What is in use at the beginning of such a place, and set aside behind it."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    ranges = [(*map(_address, line.split()[0].split("-")), line.split()[1]) for line in lines]
    return sum(
        used == "rw-p" and aside == "---p" and start % HEAP_BYTES == 0 and end == start + HEAP_BYTES
        for (start, _, used), (_, end, aside) in pairwise(ranges)
    )


def _address(text: str) -> int:
    return int(text, 16)
