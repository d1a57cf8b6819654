"""The copy of an image, holes kept and durable, against `cp` and `sync` of the copy."""

import shutil
import subprocess
import threading
from pathlib import Path
from time import perf_counter

from ledger.images.copy import copy_image
from ledger.images.files import fingerprint, publish
from scripts.benchmarks.support.images import make_image, remove_durably
from scripts.benchmarks.support.processes import BenchmarkBroken
from scripts.benchmarks.support.rows import Round, Row, missing, row
from scripts.benchmarks.support.scale import GIB, MIB, Setting

BLOCK_BYTES = 512
BLOCKS_RATIO_MAX = 1.01
"""How much larger a copy may be: it has blocks that describe its extents."""


def copy(setting: Setting) -> Row:
    """Copy as a worker does: with checkpoints, fsync, and a rename of the part file."""
    scale, directory = setting
    source, part = directory / "source.img", directory / "copy.1.part"
    image, other = directory / "copy.img", directory / "cp.img"
    make_image(source, scale.copied_bytes)
    blocks = source.stat().st_blocks
    data_mib = blocks * BLOCK_BYTES / MIB
    rounds, most = [], 0
    for _ in range(scale.copies):
        floor_s = _cp(source, other)
        remove_durably(other)
        work_s = _copy_image(source, part, image)
        most = max(most, image.stat().st_blocks)
        remove_durably(image)
        rounds.append(Round(data_mib / work_s, data_mib / floor_s))
    note = (
        f"{scale.copied_bytes / GIB:g} GiB, {data_mib:,.0f} MiB of it data; {_holes(blocks, most)}"
    )
    found = row("copy", "MiB/s of data", rounds, at_least=0.9, note=note)
    return found if most <= blocks * BLOCKS_RATIO_MAX else missing(found)


def _holes(blocks: int, most: int) -> str:
    if most <= blocks * BLOCKS_RATIO_MAX:
        return f"holes kept ({most:,} blocks of {blocks:,})"
    return f"HOLES LOST: {most:,} blocks of {blocks:,}"


def _copy_image(source: Path, part: Path, image: Path) -> float:
    started = perf_counter()
    taken = fingerprint(source)
    copy_image(
        source=source,
        part=part,
        size=taken.size,
        resume=None,
        on_checkpoint=lambda _: None,
        on_moved=lambda _: None,
        rate=None,
        verify=False,
        stop=threading.Event(),
        expected=taken,
    )
    publish(part, image)
    return perf_counter() - started


def _cp(source: Path, to: Path) -> float:
    started = perf_counter()
    _command("cp", "--sparse=always", "--reflink=never", str(source), str(to))
    _command("sync", str(to))
    return perf_counter() - started


def _command(name: str, *arguments: str) -> None:
    program = shutil.which(name)
    if program is None:
        raise BenchmarkBroken(f"there is no program {name} to compare with")
    subprocess.run([program, *arguments], check=True)  # noqa: S603 - files of ours
