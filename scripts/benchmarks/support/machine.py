"""The measured machine: versions, cores, memory, file system."""

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

from ledger.store.writer import BATCH_LIMIT
from projections.maintenance.rebuild import GATHERED_ROWS, SLICE_ROWS
from scripts.benchmarks.support.scale import GIB

_PACKAGES = ("eventsourcing", "aiohttp", "orjson", "msgspec", "zstandard")


def versions() -> str:
    of_packages = [f"{name} {version(name)}" for name in _PACKAGES]
    return ", ".join(
        [f"python {platform.python_version()}", f"sqlite {sqlite3.sqlite_version}", *of_packages]
    )


def machine(directory: Path) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return (
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB of memory,"
        f" {_file_system(directory)}, load {os.getloadavg()[0]:.1f}"
    )


def sizes() -> str:
    return (
        f"commands in a transaction: at most {BATCH_LIMIT};"
        f" rows of a rebuild: {GATHERED_ROWS}, beside commands {SLICE_ROWS}"
    )


def _file_system(directory: Path) -> str:
    """Return the directory's file system; one in memory never syncs anything."""
    place = directory.resolve()
    found = ("", "unknown file system")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, mounted, kind, *_ = line.split(" ")
        if place.is_relative_to(mounted) and len(mounted) >= len(found[0]):
            found = mounted, kind
    return found[1]
