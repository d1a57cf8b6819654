"""What copy_image says when something goes wrong."""

import errno
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import ledger.images.copy
import ledger.images.transfer
from ledger.images.errors import (
    CopyFailed,
    CopyStopped,
    PoolFull,
    SourceChanged,
    SourceVanished,
    VerificationFailed,
)
from ledger.images.files import fingerprint
from ledger.images.transfer import move
from tests.images.copies import PAGE, copied, sha256, sparse_file, striped_file

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("small_steps")


@pytest.fixture
def source(tmp_path):
    striped_file(tmp_path / "source", 8)
    return tmp_path / "source"


@pytest.fixture
def part(tmp_path):
    return tmp_path / "part"


@pytest.fixture
def stopped():
    event = threading.Event()
    event.set()
    return event


def at_first(action):
    """A function for on_checkpoint that acts once."""
    actions = [action]
    return lambda _: actions.pop()() if actions else None


def failing(code: int, after: int = 0):
    """A system call that fails with this errno after so many successes."""
    left = after

    def call(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(code, os.strerror(code))

    return call


def test_source_written_to(source, part):
    """A source written to during the copy is a changed source, and no copy is called complete."""

    def write() -> None:
        with source.open("r+b") as file:
            file.write(b"new")

    seen, write_once = [], at_first(write)
    with pytest.raises(SourceChanged):
        copied(source, part, on_checkpoint=lambda c: (seen.append(c), write_once(c)))
    assert seen
    assert all(c.offset < source.stat().st_size for c in seen)


@pytest.mark.parametrize("by_hand", [False, True])
def test_source_cut_off(source, part, by_hand, monkeypatch):
    """A source cut off during the copy is a changed source."""
    if by_hand:
        monkeypatch.setattr(ledger.images.transfer, "_move_in_kernel", lambda *_: 0)
    with pytest.raises(SourceChanged):
        copied(source, part, on_checkpoint=at_first(lambda: os.truncate(source, 3 * PAGE)))


def test_source_ends_within_an_extent(source, part):
    """Bytes that are no longer there when their turn comes mean a changed source, not an error."""
    refused = pytest.raises(SourceChanged, match="ends at")
    with source.open("rb") as reading, part.open("wb") as writing, refused:
        move(reading.fileno(), writing.fileno(), source.stat().st_size - PAGE, 2 * PAGE)


def test_source_replaced(source, part, tmp_path):
    """Another file under the source's name is a changed source."""
    striped_file(tmp_path / "other", 8)
    with pytest.raises(SourceChanged):
        copied(source, part, on_checkpoint=at_first(lambda: (tmp_path / "other").rename(source)))


def test_source_removed(source, part):
    """A source removed during the copy has vanished."""
    with pytest.raises(SourceVanished):
        copied(source, part, on_checkpoint=at_first(source.unlink))


def test_source_missing(source, part):
    """A source missing at the start has vanished, and no part is made."""
    expected = fingerprint(source)
    source.unlink()
    with pytest.raises(SourceVanished):
        copied(source, part, expected=expected)
    assert not part.exists()


def test_source_changed_before(source, part):
    """A source changed between fingerprint and copy is refused before anything is copied."""
    expected = fingerprint(source)
    os.utime(source, ns=(0, 0))
    with pytest.raises(SourceChanged):
        copied(source, part, expected=expected)
    assert not part.exists()


def test_source_changed_while_verifying(source, part, monkeypatch):
    """A source changed during the verification is a changed source."""

    def changed(*_: object, **__: object) -> list[int]:
        os.utime(source, ns=(0, 0))
        return [1]

    monkeypatch.setattr(ledger.images.copy, "verify_copy", changed)
    with pytest.raises(SourceChanged):
        copied(source, part, verify=True)


def test_pool_missing(source, tmp_path):
    """A pool that is not there is a failed copy, not a vanished source."""
    with pytest.raises(CopyFailed, match="No such file"):
        copied(source, tmp_path / "nowhere" / "part")


def test_disk_full(small_disk, source):
    """A full disk is a full pool, and what checkpoints named is there to go on from."""
    sparse_file(source, 2 * 2**20, [(0, 2 * 2**20)])
    part, seen = small_disk / "part", []
    with pytest.raises(PoolFull, match="No space"):
        copied(source, part, on_checkpoint=seen.append)
    assert seen
    assert part.read_bytes()[: seen[-1].offset] == source.read_bytes()[: seen[-1].offset]


def test_another_file_system(small_disk, tmp_path):
    """A copy to another file system has the same bytes and holes."""
    source = tmp_path / "small"
    striped_file(source, 4)
    copied(source, small_disk / "part", verify=True)
    assert sha256(small_disk / "part") == sha256(source)
    assert (small_disk / "part").stat().st_blocks <= source.stat().st_blocks


def test_file_too_big(source, tmp_path):
    """A file size limit reached is a full pool."""
    script = f"""
        import resource
        from pathlib import Path
        from ledger.images.errors import PoolFull
        from tests.images.copies import copied
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            copied(Path({str(source)!r}), Path({str(tmp_path / "part")!r}))
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


@pytest.mark.parametrize("after", [0, 1, 3])
def test_no_checkpoint_after_a_failed_sync(source, part, monkeypatch, after):
    """A failed fdatasync is a failed copy; as many checkpoints are reported as syncs succeeded."""
    monkeypatch.setattr(os, "fdatasync", failing(errno.EIO, after))
    seen = []
    with pytest.raises(CopyFailed, match="Input/output error"):
        copied(source, part, on_checkpoint=seen.append)
    assert len(seen) == after


def test_no_checkpoint_after_a_failed_last_sync(source, part, monkeypatch):
    """Where the last fsync fails, the copy is not called complete."""
    fsync = os.fsync

    def failing_for_the_part(fd: int) -> None:
        if part.exists() and os.path.samestat(os.fstat(fd), part.stat()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", failing_for_the_part)
    seen = []
    with pytest.raises(CopyFailed):
        copied(source, part, on_checkpoint=seen.append)
    assert all(c.offset < source.stat().st_size for c in seen)


def test_a_failed_sync_while_stopping(source, part, monkeypatch, stopped):
    """Where the sync of a stop fails, the copy failed and nothing is reported."""
    monkeypatch.setattr(os, "fdatasync", failing(errno.EIO))
    seen = []
    with pytest.raises(CopyFailed):
        copied(source, part, stop=stopped, on_checkpoint=seen.append)
    assert seen == []


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        (errno.ENOSPC, PoolFull),
        (errno.EDQUOT, PoolFull),
        (errno.EFBIG, PoolFull),
        (errno.EIO, CopyFailed),
    ],
)
@pytest.mark.parametrize("call", ["copy_file_range", "ftruncate", "fdatasync"])
def test_errors_are_named(source, monkeypatch, code, refusal, call):
    """Want of room is a full pool, any other error a failed copy, whichever call reports it."""
    monkeypatch.setattr(os, call, failing(code))
    with pytest.raises(refusal, match=os.strerror(code)):
        copied(source, source.with_name("part"))


@pytest.mark.parametrize(
    "code", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM]
)
def test_copies_by_hand_where_the_kernel_cannot(source, part, monkeypatch, code):
    """Without copy_file_range the bytes are read and written, also when writes come up short."""
    pwrite = os.pwrite
    monkeypatch.setattr(os, "copy_file_range", failing(code))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:5000], at))
    copied(source, part, verify=True)
    assert sha256(part) == sha256(source)


@pytest.mark.parametrize("place", [0, 65536 - 1, 65536 + 100, 17 * 65536])
def test_verification_finds_a_flipped_byte(source, part, monkeypatch, place):
    """One wrong byte, in data, in a hole or beyond the source's end, fails the verification."""
    size = source.stat().st_size + 3 * 65536
    check = ledger.images.copy._check_unchanged
    flips = [place]

    def flip_and_check(*args: object) -> None:
        check(*args)
        if flips:
            at = flips.pop()
            with part.open("r+b") as file:
                file.seek(at)
                old = file.read(1)
                file.seek(at)
                file.write(bytes([old[0] ^ 1]))

    monkeypatch.setattr(ledger.images.copy, "_check_unchanged", flip_and_check)
    with pytest.raises(VerificationFailed):
        copied(source, part, size=size, verify=True)


def test_verification_finds_a_wrong_size(source, part, monkeypatch):
    """A part of another size fails the verification, even where only zeros are missing."""
    monkeypatch.setattr(os, "ftruncate", lambda *_: None)
    with pytest.raises(VerificationFailed, match="bytes, not"):
        copied(source, part, verify=True)


def test_verification_reads_from_the_disk(source, part, monkeypatch):
    """The part's pages are dropped after the last fsync and before they are compared."""
    calls = []
    fsync, fadvise, pread = os.fsync, os.posix_fadvise, os.pread

    def noted(name, call):
        return lambda *args: (calls.append(name), call(*args))[1]

    monkeypatch.setattr(os, "fsync", noted("fsync", fsync))
    monkeypatch.setattr(os, "posix_fadvise", noted("drop", fadvise))
    monkeypatch.setattr(os, "pread", noted("read", pread))
    copied(source, part, verify=True)
    assert calls[: calls.index("read")][-2:] == ["fsync", "drop"]


def test_verification_can_be_stopped(source, part, stopped):
    """A stop during the verification is a stop, and the copy can be resumed from its end."""
    last = copied(source, part)[-1]
    with pytest.raises(CopyStopped):
        copied(source, part, resume=last, verify=True, stop=stopped)
    (again,) = copied(source, part, resume=last, verify=True)
    assert (again.offset, again.bytes_done, again.bytes_verified) == (
        last.offset,
        last.bytes_done,
        0,
    )
