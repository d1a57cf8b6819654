"""What copy_image promises about content, holes, checkpoints and resuming."""

import fcntl
import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ledger.images.transfer
from ledger.images.background_sync import Checkpoint, PipelinedSync
from ledger.images.errors import CopyStopped
from ledger.images.extents import data_extents
from ledger.images.files import fingerprint
from tests.images.copies import PAGE, copied, padded_sha256, sha256, sparse_file, striped_file
from tests.support.wait import PATIENCE_S

LAYOUTS = st.lists(
    st.tuples(st.integers(0, 60).map(lambda page: page * PAGE), st.integers(1, 20 * PAGE)),
    max_size=5,
)
LIMITED = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
pytestmark = pytest.mark.usefixtures("small_steps")


def layout_size(layout: list[tuple[int, int]], tail: int) -> int:
    return max((offset + length for offset, length in layout), default=0) + tail


@LIMITED
@given(layout=LAYOUTS, tail=st.integers(0, 9 * PAGE), growth=st.integers(0, 99_999))
@pytest.mark.parametrize("by_hand", [False, True])
def test_copies_any_layout(layout, tail, growth, by_hand):
    """Whatever the layout of data and holes, the part reads the same and is no less sparse."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if by_hand:
            patch.setattr(ledger.images.transfer, "_move_in_kernel", lambda *_: 0)
        source, part = Path(folder, "source"), Path(folder, "part")
        source_size = layout_size(layout, tail)
        sparse_file(source, source_size, layout)
        size = source_size + growth
        seen = copied(source, part, size=size, verify=True)
        assert part.stat().st_size == size
        assert sha256(part) == padded_sha256(source, size)
        os.sync()  # blocks are counted when they are allocated
        # One block more than the data need: ext4 may keep the list of extents in one of its own.
        assert part.stat().st_blocks * 512 <= source.stat().st_blocks * 512 + PAGE
        assert seen[-1].offset == source_size
        assert seen[-1].bytes_done == seen[-1].bytes_total


def test_counts_data_only(tmp_path):
    """bytes_done and bytes_total count the data, not the holes."""
    size = striped_file(tmp_path / "source", 8)
    seen = copied(tmp_path / "source", tmp_path / "part")
    assert {c.bytes_total for c in seen} == {size // 2}
    assert [c.bytes_done for c in seen] == [*range(65536, size // 2 + 1, 65536), size // 2]
    assert seen[-1] == Checkpoint(size, size // 2, size // 2)


@LIMITED
@given(layout=LAYOUTS, steps=st.integers(0, 12), garbage=st.booleans())
@pytest.mark.thorough
def test_resumes_after_stop_anywhere(layout, steps, garbage):
    """Stopped at any moment and resumed from any checkpoint, the copy has the right bytes."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        source, part = Path(folder, "source"), Path(folder, "part")
        size = layout_size(layout, tail=5 * PAGE)
        sparse_file(source, size, layout)
        patch.setattr(ledger.images.copy, "CHECKPOINT_BYTES", 16 * 1024)
        seen = stopped_after(steps, source, part, patch)
        before = part.read_bytes()
        for resume in seen:
            part.write_bytes(before + b"\xff" * 9999 if garbage else before)
            later = copied(source, part, resume=resume)
            assert sha256(part) == sha256(source)
            progress = [resume.bytes_done, *(c.bytes_done for c in later)]
            assert progress == sorted(progress)
            assert later[-1].bytes_done == later[-1].bytes_total == resume.bytes_total


def stopped_after(
    steps: int, source: Path, part: Path, patch: pytest.MonkeyPatch
) -> list[Checkpoint]:
    stop, moves = threading.Event(), 0
    move = ledger.images.copy.move

    def counted(*args: int) -> None:
        nonlocal moves
        move(*args)
        moves += 1
        if moves >= steps:
            stop.set()

    seen: list[Checkpoint] = []
    with patch.context() as inner:
        inner.setattr(ledger.images.copy, "move", counted)
        if steps == 0:
            stop.set()
        try:
            copied(source, part, stop=stop, on_checkpoint=seen.append)
        except CopyStopped:
            assert seen
            assert moves <= steps
    return seen


def test_resume_copies_only_the_rest(tmp_path, monkeypatch):
    """A resumed copy reads nothing below its checkpoint again."""
    source, part = tmp_path / "source", tmp_path / "part"
    striped_file(source, 8)
    first = copied(source, part)[3]
    moved: list[int] = []
    move = ledger.images.copy.move
    monkeypatch.setattr(
        ledger.images.copy, "move", lambda *args: (moved.append(args[2]), move(*args))
    )
    later = copied(source, part, resume=first)
    assert min(moved) >= first.offset
    assert min(c.bytes_done for c in later) > first.bytes_done


def test_garbage_in_a_hole_is_cut_off(tmp_path):
    """What an earlier writer left beyond the checkpoint is gone, also where the source is empty."""
    source, part = tmp_path / "source", tmp_path / "part"
    size = 40 * PAGE
    sparse_file(source, size, [(0, PAGE)])
    part.write_bytes(source.read_bytes()[:PAGE] + b"\xff" * (size * 2))
    copied(source, part, resume=Checkpoint(PAGE, PAGE, PAGE))
    assert sha256(part) == sha256(source)
    assert part.stat().st_size == size


@pytest.mark.parametrize("left", [None, b"", b"too short"])
def test_starts_over_without_the_part(tmp_path, left):
    """Where the part is missing or shorter than the checkpoint, the copy starts from 0."""
    source, part = tmp_path / "source", tmp_path / "part"
    striped_file(source, 4)
    if left is not None:
        part.write_bytes(left)
    copied(source, part, resume=Checkpoint(5 * 65536, 3 * 65536, 4 * 65536))
    assert sha256(part) == sha256(source)


def test_a_stop_reports_what_was_copied(tmp_path):
    """A stop syncs, reports all that was copied, and raises CopyStopped."""
    source, part, stop = tmp_path / "source", tmp_path / "part", threading.Event()
    striped_file(source, 8)
    seen: list[Checkpoint] = []
    moved: list[int] = []

    def stop_soon(checkpoint: Checkpoint) -> None:
        seen.append(checkpoint)
        stop.set()

    with pytest.raises(CopyStopped):
        copied(source, part, stop=stop, on_checkpoint=stop_soon, on_moved=moved.append)
    assert seen[-1].bytes_done == sum(moved) < seen[-1].bytes_total
    assert part.read_bytes() == source.read_bytes()[: seen[-1].offset]


def test_checkpoints_are_durable(tmp_path, monkeypatch):
    """A checkpoint names only what was written before an fdatasync began that has ended since."""
    source, part = tmp_path / "source", tmp_path / "part"
    size = striped_file(source, 30)
    end = size - 65536  # a hole follows
    written = begun = durable = running = 0
    most = 0
    ahead = threading.Condition()
    move, fdatasync, fsync = ledger.images.copy.move, os.fdatasync, os.fsync
    begin = PipelinedSync.begin

    def noted_move(source_fd: int, part_fd: int, offset: int, length: int) -> None:
        nonlocal written
        move(source_fd, part_fd, offset, length)
        with ahead:
            written = offset + length
            ahead.notify()

    def noted_begin(sync: PipelinedSync, checkpoint: Checkpoint) -> None:
        nonlocal begun
        begun = written
        begin(sync, checkpoint)

    def slow_fdatasync(fd: int) -> None:
        nonlocal durable, running, most
        running += 1
        most = max(most, running)
        covered = written
        fdatasync(fd)
        with ahead:  # the copy does, while this goes on
            assert ahead.wait_for(lambda: written > begun or written == end, PATIENCE_S)
        durable = covered
        running -= 1

    def noted_fsync(fd: int) -> None:
        nonlocal durable
        fsync(fd)
        if written >= end:
            durable = size

    def check(checkpoint: Checkpoint) -> None:
        assert checkpoint.offset <= durable

    monkeypatch.setattr(ledger.images.copy, "move", noted_move)
    monkeypatch.setattr(PipelinedSync, "begin", noted_begin)
    monkeypatch.setattr(os, "fdatasync", slow_fdatasync)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    assert len(copied(source, part, on_checkpoint=check)) > 20
    assert most == 1


def test_copying_goes_on_during_the_sync(tmp_path, monkeypatch):
    """The fdatasync of one checkpoint does not hold up the data of the next."""
    source = tmp_path / "source"
    striped_file(source, 8)
    moves, seen_by_sync = 0, []
    move = ledger.images.copy.move
    gone_on = threading.Event()

    def counted(*args: int) -> None:
        nonlocal moves
        move(*args)
        moves += 1
        if moves > 5:
            gone_on.set()

    monkeypatch.setattr(ledger.images.copy, "move", counted)
    monkeypatch.setattr(os, "fdatasync", lambda _: seen_by_sync.append(gone_on.wait(PATIENCE_S)))
    copied(source, tmp_path / "part")
    assert seen_by_sync
    assert all(seen_by_sync)


def test_the_name_is_durable_first(tmp_path, monkeypatch):
    """The part's directory is synced before the first checkpoint."""
    source = tmp_path / "source"
    striped_file(source, 4)
    directories: list[int] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        fsync(fd)
        if os.path.samestat(os.fstat(fd), tmp_path.stat()):
            directories.append(fd)

    def check(_: Checkpoint) -> None:
        assert directories

    monkeypatch.setattr(os, "fsync", noted)
    assert copied(source, tmp_path / "part", on_checkpoint=check)


def test_the_end_is_synced(tmp_path, monkeypatch):
    """The part has its final size and is fsynced before the last checkpoint."""
    source, part = tmp_path / "source", tmp_path / "part"
    size = striped_file(source, 4)
    synced: list[int] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        fsync(fd)
        synced.append(os.fstat(fd).st_size if part.exists() else 0)

    last: list[bool] = []
    monkeypatch.setattr(os, "fsync", noted)
    copied(
        source,
        part,
        size=size + 7,
        on_checkpoint=lambda c: last.append(synced[-1] == size + 7),
    )
    assert last[-1]


def test_an_error_of_the_caller_comes_out_as_it_is(tmp_path):
    """What on_checkpoint raises is not taken for an error of the copy, even an OSError."""
    striped_file(tmp_path / "source", 8)

    def refuse(_: Checkpoint) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        copied(tmp_path / "source", tmp_path / "part", on_checkpoint=refuse)


def test_the_source_is_never_its_own_part(tmp_path):
    """A part that is the source under another name is refused before anything is cut off."""
    source, part = tmp_path / "source", tmp_path / "part"
    striped_file(source, 2)
    part.hardlink_to(source)
    digest = sha256(source)
    with pytest.raises(ValueError, match="source itself"):
        copied(source, part)
    assert sha256(source) == digest


def test_a_smaller_size_is_refused(tmp_path):
    """An image is never cut off by a copy."""
    size = striped_file(tmp_path / "source", 2)
    with pytest.raises(ValueError, match="more than"):
        copied(tmp_path / "source", tmp_path / "part", size=size - 1)


def test_reflinks_where_it_can(reflinking_disk):
    """Where the file system can, the part shares the source's blocks."""
    source, part = reflinking_disk / "source", reflinking_disk / "part"
    sparse_file(source, 8 * 2**20, [(0, 6 * 2**20)])
    free = os.statvfs(reflinking_disk).f_bavail
    assert len(copied(source, part, size=9 * 2**20, verify=True)) == 1
    assert sha256(part) == padded_sha256(source, 9 * 2**20)
    assert (free - os.statvfs(reflinking_disk).f_bavail) * PAGE < 2**20


def test_a_reflink_is_the_whole_copy(tmp_path, monkeypatch):
    """After a reflink nothing is copied and one checkpoint says that all is done."""
    source, part = tmp_path / "source", tmp_path / "part"
    size = striped_file(source, 4)

    def cloned(part_fd: int, request: int, source_fd: int) -> int:
        assert request == 0x40049409
        os.pwrite(part_fd, os.pread(source_fd, size, 0), 0)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", cloned)
    monkeypatch.setattr(ledger.images.copy, "move", None)
    moved: list[int] = []
    found = copied(source, part, on_moved=moved.append)
    assert found == [Checkpoint(size, size // 2, size // 2)]
    assert moved == []
    assert sha256(part) == sha256(source)


def test_a_verification_goes_on_to_be_reported(tmp_path, monkeypatch):
    """It is work like the copy, and says how far it is; all is copied and durable by then."""
    source = tmp_path / "source"
    size = striped_file(source, 8)
    monkeypatch.setattr(ledger.images.verification, "STEP_BYTES", 1)
    unverified = copied(source, tmp_path / "part")
    seen = copied(source, tmp_path / "other", verify=True)
    assert {each.bytes_verified for each in unverified} == {None}
    assert {each.bytes_verified for each in seen[: len(unverified)]} == {0}
    data = size // 2
    verified = [each.bytes_verified for each in seen[len(unverified) :]]
    assert verified == sorted(verified)
    assert (len(verified) > 1, verified[-1]) == (True, data)
    assert {(each.offset, each.bytes_done) for each in seen[len(unverified) :]} == {(size, data)}


def test_never_holds_the_image_in_memory(tmp_path, monkeypatch):
    """Copied by hand or verified, the source is read in pieces of at most one mebibyte."""
    source = tmp_path / "source"
    sparse_file(source, 9 * 2**20, [(0, 4 * 2**20)])
    monkeypatch.setattr(ledger.images.copy, "CHUNK_BYTES", 8 * 2**20)
    monkeypatch.setattr(ledger.images.transfer, "_move_in_kernel", lambda *_: 0)
    asked: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: (asked.append(n), pread(fd, n, at))[1])
    copied(source, tmp_path / "part", verify=True)
    assert max(asked) <= 2**20


def test_extents_fall_back_to_one(tmp_path, monkeypatch):
    """A file system that cannot tell data from holes has one extent."""
    striped_file(tmp_path / "source", 2)

    def unsupported(*_: int) -> int:
        raise OSError(22, "Invalid argument")

    with (tmp_path / "source").open("rb") as file:
        assert list(data_extents(file.fileno(), 0, 262144)) == [(0, 65536), (131072, 65536)]
        assert list(data_extents(file.fileno(), 4096, 139264)) == [(4096, 61440), (131072, 8192)]
        monkeypatch.setattr(os, "lseek", unsupported)
        assert list(data_extents(file.fileno(), 5, 262144)) == [(5, 262139)]


def test_fingerprint_notices_what_happens(tmp_path):
    """A write, a new size and another file under the name each change the fingerprint."""
    path = tmp_path / "image"
    path.write_bytes(b"one")
    seen = {fingerprint(path)}
    path.write_bytes(b"two!")
    seen.add(fingerprint(path))
    (tmp_path / "other").write_bytes(b"two!")
    os.utime(tmp_path / "other", ns=(0, path.stat().st_mtime_ns))
    (tmp_path / "other").rename(path)
    seen.add(fingerprint(path))
    os.utime(path, ns=(0, 1))
    seen.add(fingerprint(path))
    assert len(seen) == 4
