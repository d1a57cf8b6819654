"""Symlinks, FIFOs and the like in a pool: nothing is read or written through them."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.domain.events.jobs import Fingerprint
from ledger.images.chunk_layout import Chunking
from ledger.images.chunked_upload import ChunkedUpload
from ledger.images.copy import copy_image
from ledger.images.errors import NotRegular
from ledger.images.files import create_blank, fingerprint, grow, publish, write_once
from ledger.images.incoming_image import IncomingImage
from ledger.images.parts import own_part, take_over
from ledger.images.pools import Pool
from ledger.images.regular_files import is_there, regular_file

SECRET = b"another tenant's bytes"


def symlink(path: Path, target: Path) -> None:
    path.symlink_to(target)


def dangling(path: Path, target: Path) -> None:
    path.symlink_to(target.with_name("nothing"))


def fifo(path: Path, target: Path) -> None:
    os.mkfifo(path)


def directory(path: Path, target: Path) -> None:
    path.mkdir()


def unix_socket(path: Path, target: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


KINDS = [symlink, dangling, fifo, directory, unix_socket]
Plant = Callable[[str], Path]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside the pool, which no way through the pool may read or change."""
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    return path


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """A pool whose own path leads through a symlink, which is the operator's business."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "pool").symlink_to(tmp_path / "disk")
    return Pool("main", tmp_path / "pool")


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def plant(request: pytest.FixtureRequest, pool: Pool, secret: Path) -> Plant:
    """Put something that is no regular file under this name into the pool."""

    def put(name: str) -> Path:
        path = pool.path / name
        request.param(path, secret)
        return path

    return put


def copied(source: Path, part: Path, expected: Fingerprint) -> None:
    copy_image(
        source=source,
        part=part,
        size=expected.size,
        resume=None,
        on_checkpoint=lambda _: None,
        on_moved=lambda _: None,
        rate=None,
        verify=True,
        stop=threading.Event(),
        expected=expected,
    )


@pytest.mark.parametrize(
    "flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT | os.O_TRUNC]
)
def test_nothing_else_is_opened(plant: Plant, secret: Path, flags: int) -> None:
    """However it is opened, it is refused at once, and nothing behind it is touched."""
    path = plant("d.img")
    with pytest.raises(NotRegular), regular_file(path, flags):
        pass
    with pytest.raises(NotRegular):
        is_there(path)
    assert secret.read_bytes() == SECRET
    assert not secret.with_name("nothing").exists()


def test_regular_files_are_opened(pool: Pool) -> None:
    """A file is, also in a pool whose path is a symlink; one that is missing is missing."""
    image = pool.image("d")
    assert not is_there(image)
    create_blank(image, 10)
    assert is_there(image)
    with regular_file(image, os.O_RDONLY) as fd:
        assert os.read(fd, 20) == bytes(10)


def test_an_image_that_is_something_else(plant: Plant, pool: Pool, secret: Path) -> None:
    """It is neither a source, nor grown, nor taken for an image that was published."""
    image = plant("d.img")
    with pytest.raises(NotRegular):
        fingerprint(image)
    with pytest.raises(NotRegular):
        copied(image, pool.part("e", 1), Fingerprint(len(SECRET), secret.stat().st_mtime_ns, 1))
    with pytest.raises(NotRegular):
        grow(image, 100)
    with pytest.raises(FileExistsError):
        create_blank(image, 100)
    assert secret.read_bytes() == SECRET


def test_a_part_that_is_something_else(plant: Plant, pool: Pool, secret: Path) -> None:
    """It is neither written, taken over nor published."""
    part = plant("d.1.part")
    with pytest.raises(NotRegular), own_part(part):
        pass
    with pytest.raises(NotRegular):
        publish(part, pool.image("d"))
    with pytest.raises(NotRegular):
        take_over(pool, "d", 2)
    source = pool.image("source")
    source.write_bytes(b"x" * 100)
    with pytest.raises(NotRegular):
        copied(source, part, fingerprint(source))
    assert secret.read_bytes() == SECRET


def test_a_part_is_not_taken_over_as_something_else(plant: Plant, pool: Pool, secret: Path) -> None:
    """What has the name that it would get is not taken for the work of this attempt."""
    plant("d.2.part")
    pool.part("d", 1).write_bytes(b"x" * 100)
    with pytest.raises(NotRegular):
        take_over(pool, "d", 2)
    assert pool.part("d", 1).read_bytes() == b"x" * 100
    assert secret.read_bytes() == SECRET


@pytest.mark.parametrize("name", ["d.upload", "d.chunks"])
def test_an_upload_that_is_something_else(
    plant: Plant, pool: Pool, secret: Path, name: str
) -> None:
    """No chunk goes to it, and no journal is read from it or written to it."""
    plant(name)
    with pytest.raises(NotRegular):
        ChunkedUpload(pool.upload("d"), pool.chunks("d"), 4096).receive(0, Chunking(4096, 4096))
    assert secret.read_bytes() == SECRET


def test_a_whole_upload_replaces_nothing(plant: Plant, pool: Pool, secret: Path) -> None:
    """An upload makes its file, or none."""
    plant("d.upload")
    with pytest.raises(FileExistsError):
        IncomingImage(pool.upload("d"))
    assert secret.read_bytes() == SECRET


def test_an_identity_that_is_something_else(plant: Plant, pool: Pool, secret: Path) -> None:
    """A pool's identity is not read from elsewhere."""
    plant(".pool")
    with pytest.raises(NotRegular):
        write_once(pool.identity_file, "an identity")
    assert secret.read_bytes() == SECRET
