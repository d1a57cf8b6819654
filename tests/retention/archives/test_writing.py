"""An archive is there whole, or not at all."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ledger.archives.writer
from ledger.archives import Archive, ArchiveNotWritten, Shelf, write_archive
from ledger.store.seam import LoggedEvent
from tests.retention.archives.making import FEW, history, logged, noise, trees_of

ROOT = Path(__file__).parents[3]
EVENTS = history(range(1, 4 * FEW))


def run(script: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_full_disk(small_disk: Path) -> None:
    """With no room for all of it nothing is left, and with room made it is written."""
    with pytest.raises(ArchiveNotWritten, match="No space left"):
        write_archive(small_disk, "a", noise(1_000, 1_500), [])
    assert list(small_disk.iterdir()) == []
    write_archive(small_disk, "a", EVENTS, [])
    assert Shelf(small_disk).names() == ["a"]


def test_no_room_at_any_byte(tmp_path: Path) -> None:
    """Wherever the room ends, in a frame or in the index, nothing is left."""
    script = """
        import resource, sys
        from pathlib import Path
        from ledger.archives import ArchiveNotWritten, write_archive
        from tests.retention.archives.making import history, small_frames, trees_of
        directory, events = Path(sys.argv[1]), history(range(1, 20))
        with small_frames():
            size = write_archive(directory, "whole", events, trees_of(events, 99)).bytes
            for limit in range(size):
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                try:
                    write_archive(directory, "a", events, trees_of(events, 99))
                except ArchiveNotWritten as refusal:
                    assert "File too large" in str(refusal), refusal
                else:
                    sys.exit(f"written with room for {limit} of {size} bytes")
                assert [path.name for path in directory.iterdir()] == ["whole.jsonl.zst"], limit
        print("refused", size)
    """
    with run(script, str(tmp_path)) as process:
        told, _ = process.communicate()
    assert process.returncode == 0
    assert told.startswith("refused")


def test_no_directory(tmp_path: Path) -> None:
    """A directory that is not there, or is none, is named."""
    (tmp_path / "file").touch()
    for directory, reason in [("nowhere", "No such file"), ("file", "Not a directory")]:
        with pytest.raises(ArchiveNotWritten, match=reason) as found:
            write_archive(tmp_path / directory, "a", EVENTS, [])
        assert f"{directory}/a.jsonl.zst" in str(found.value)


@pytest.mark.parametrize(
    ("call", "after"),
    [("pwrite", 0), ("pwrite", 1), ("fsync", 0), ("fsync", 1), ("rename", 0)],
)
def test_failed_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: int
) -> None:
    """An archive that could not be written and synced, and its name too, is not there."""
    done = getattr(os, call)
    calls = iter(range(100))

    def failing(*args: object) -> object:
        if next(calls) >= after:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return done(*args)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(ArchiveNotWritten, match="Input/output error"):
        write_archive(tmp_path, "a", EVENTS, [])
    assert next(calls) == after + 1
    assert list(tmp_path.iterdir()) == []


def test_order_of_durability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced before it has its name, the directory after."""
    seen: list[tuple[str, list[str]]] = []

    def noting(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def noted(*args: object) -> object:
            seen.append((name, sorted(path.name for path in tmp_path.iterdir())))
            return call(*args)

        return noted

    monkeypatch.setattr(os, "fsync", noting("fsync", os.fsync))
    monkeypatch.setattr(os, "rename", noting("rename", os.rename))
    write_archive(tmp_path, "a", EVENTS, [])
    part, whole = ["a.jsonl.zst.part"], ["a.jsonl.zst"]
    assert seen == [("fsync", part), ("rename", part), ("fsync", whole)]


class StoreGone(Exception):
    pass


def test_events_that_break_off(tmp_path: Path) -> None:
    """What reading the events raises passes, and nothing is left."""

    def breaking_off() -> Iterator[LoggedEvent]:
        yield from EVENTS
        raise StoreGone

    with pytest.raises(StoreGone):
        write_archive(tmp_path, "a", breaking_off(), [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("positions", [(1, 1), (2, 1), (1, 2, 3, 4, 5, 6, 6)])
def test_positions_that_do_not_grow(tmp_path: Path, positions: tuple[int, ...]) -> None:
    """Events out of order are an error of whoever gives them."""
    with pytest.raises(AssertionError):
        write_archive(tmp_path, "a", map(logged, positions), [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", ".a", "a\n", "a" * 201])
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(AssertionError):
        write_archive(tmp_path, name, EVENTS, [])


def test_large_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large events make shorter frames; one that no reader would take is refused."""
    monkeypatch.setattr(ledger.archives.writer, "FRAME_BYTES", 1_000)
    monkeypatch.setattr(ledger.archives.writer, "FRAME_BYTES_MOST", 10_000)
    sizes = [10, 10, 2_000, 10, 5_000, 500, 500]
    events = [logged(nth, state=bytes(size)) for nth, size in enumerate(sizes, start=1)]
    write_archive(tmp_path, "a", events, [])
    archive = Archive.open(tmp_path / "a.jsonl.zst")
    assert [frame.events for frame in archive.contents.frames] == [3, 2, 2]
    assert list(archive.events()) == events

    with pytest.raises(ArchiveNotWritten, match="event at 8 is too large"):
        write_archive(tmp_path, "b", [*events, logged(8, state=bytes(9_000))], [])
    assert Shelf(tmp_path).names() == ["a"]


def test_killed_while_writing(tmp_path: Path) -> None:
    """A process that is killed leaves only its `.part`; nobody reads it, the next replaces it."""
    script = """
        import signal, sys
        from pathlib import Path
        from ledger.archives import write_archive
        from tests.retention.archives.making import history, small_frames

        def events():
            yield from history(range(1, 1_000))
            print("many frames are written", flush=True)
            signal.pause()

        with small_frames():
            write_archive(Path(sys.argv[1]), "a", events(), [])
    """
    with run(script, str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "many frames are written\n"
        process.send_signal(signal.SIGKILL)
    (part,) = tmp_path.iterdir()
    assert part.name == "a.jsonl.zst.part"
    assert part.stat().st_size > 1_000
    assert Shelf(tmp_path).names() == []
    assert list(Shelf(tmp_path).events()) == []

    write_archive(tmp_path, "a", EVENTS, trees_of(EVENTS, 99))
    assert list(Shelf(tmp_path).events()) == EVENTS
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl.zst"]


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight times as many events take no more memory, neither to write nor to read and check."""
    monkeypatch.setattr(ledger.archives.writer, "FRAME_EVENTS", 250)
    few, many = 1_000, 8_000

    def write(count: int) -> None:
        write_archive(tmp_path, f"of-{count}", noise(count, 200, streams=20), [])

    def read(count: int) -> None:
        archive = Archive.open(tmp_path / f"of-{count}.jsonl.zst")
        archive.check()
        assert sum(1 for _ in archive.events()) == count

    write(few)  # what is made once, and for all
    assert peak_bytes(lambda: write(many)) < 1.3 * peak_bytes(lambda: write(few))
    assert peak_bytes(lambda: read(many)) < 1.3 * peak_bytes(lambda: read(few))
