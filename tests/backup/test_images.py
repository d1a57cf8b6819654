"""Images go with a backup, and come back; those of nobody's are moved aside, never removed."""

import os
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.domain.commands.drives import (
    CompleteResize,
    CreateDrives,
    DeleteDrives,
    NewDrive,
    ResizeDrive,
)
from ledger.images.pools import Pool
from projections.maintenance.backup import files as backup_files
from projections.maintenance.backup.errors import NotBackedUp, NotRestored
from projections.maintenance.backup.images import LOST_AND_FOUND, MissingImage
from projections.maintenance.backup.inspection import check
from tests.backup.backups import Ledger, drive, restored
from tests.images.copies import PAGE, sha256, striped_file
from tests.retention.conftest import Clock
from tests.support.world import ME, disk

POOL = "roomy"
"""Where the placement of these tests puts drives."""
SIZE = 1024 * PAGE


def named(nth: int) -> str:
    return str(uuid.UUID(int=nth))


A, B, C, D = map(named, range(1, 5))


@pytest.fixture
def bare(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    (tmp_path / "data").mkdir()
    with Ledger(tmp_path / "data", clock) as ledger:
        yield ledger


@pytest.fixture
def pools(tmp_path: Path) -> dict[str, Pool]:
    found = {name: Pool(name, tmp_path / "pools" / name) for name in (POOL, "fast")}
    for pool in found.values():
        pool.path.mkdir(parents=True)
    return found


def with_image(ledger: Ledger, pools: dict[str, Pool], uuid: str, stripes: int = 2) -> Path:
    """A drive and its image, of data and holes in turns."""
    drive(ledger, uuid, SIZE)
    image = pools[POOL].image(uuid)
    striped_file(image, stripes)
    return image


def elsewhere(tmp_path: Path, *names: str) -> dict[str, Pool]:
    return {name: Pool(name, tmp_path / "elsewhere" / name) for name in names}


def files(pool: Pool) -> dict[str, str]:
    return {
        str(path.relative_to(pool.path)): sha256(path)
        for path in pool.path.rglob("*")
        if path.is_file()
    }


def test_images_go_and_come_back(bare: Ledger, pools: dict[str, Pool], tmp_path: Path) -> None:
    """Byte for byte, as sparse as they were, with their times; only of drives that are ready."""
    images = [with_image(bare, pools, uuid, stripes) for uuid, stripes in ((A, 3), (B, 30))]
    bare.do(CreateDrives(ME, (NewDrive(C, disk()),), "blank"))
    pools[POOL].upload(C).write_bytes(b"half of it")
    taken = bare.back_up(tmp_path / "backup", pools)
    assert taken.missing == []
    there = elsewhere(tmp_path, POOL)
    outcome = restored(tmp_path / "backup", tmp_path / "restored", there)
    assert (outcome.missing, outcome.aside) == ([], [])
    assert files(there[POOL]) == {image.name: sha256(image) for image in images}
    os.sync()  # blocks are counted when they are allocated
    for image in images:
        copy = there[POOL].path / image.name
        assert copy.stat().st_mtime_ns == image.stat().st_mtime_ns
        assert copy.stat().st_blocks <= image.stat().st_blocks + PAGE // 512
        assert copy.stat().st_mode & 0o777 == 0o600


def test_an_image_is_never_longer_than_its_drive(
    bare: Ledger, pools: dict[str, Pool], tmp_path: Path
) -> None:
    """It may have grown since the moment of which the backup is; one that grows keeps its size."""
    image = with_image(bare, pools, A)
    os.truncate(image, SIZE * 2)
    bare.back_up(tmp_path / "backup", pools)
    copy = tmp_path / "backup" / "images" / POOL / image.name
    assert copy.stat().st_size == SIZE
    bare.do(ResizeDrive(ME, A, SIZE * 2))
    bare.back_up(tmp_path / "growing", pools)
    copy = tmp_path / "growing" / "images" / POOL / image.name
    assert copy.stat().st_size == SIZE * 2
    bare.do(CompleteResize(A))


def test_what_is_not_there_is_named(bare: Ledger, pools: dict[str, Pool], tmp_path: Path) -> None:
    """When it is backed up, and when it is restored."""
    with_image(bare, pools, A)
    drive(bare, B)
    taken = bare.back_up(tmp_path / "backup", pools)
    assert taken.missing == [MissingImage(B, POOL)]
    there = elsewhere(tmp_path, POOL)
    assert restored(tmp_path / "backup", tmp_path / "restored", there).missing == taken.missing


def test_without_images_those_in_the_pools_are_taken(
    bare: Ledger, pools: dict[str, Pool], tmp_path: Path
) -> None:
    """What nobody refers to is moved aside, whatever else bears its name there."""
    with_image(bare, pools, A)
    with_image(bare, pools, B)
    bare.back_up(tmp_path / "backup")
    bare.do(DeleteDrives(ME, (B,)))
    pools[POOL].image(B).unlink()
    with_image(bare, pools, C, stripes=9)
    pools[POOL].upload(D).write_bytes(b"some chunks")
    pools[POOL].chunks(D).write_bytes(b"their journal")
    (pools[POOL].path / "note.txt").write_text("no image")
    aside = pools[POOL].path / LOST_AND_FOUND
    aside.mkdir()
    (aside / f"{C}.img").write_bytes(b"another")
    before = files(pools[POOL])
    outcome = restored(tmp_path / "backup", tmp_path / "restored", pools)
    assert outcome.missing == [MissingImage(B, POOL)]
    assert sorted(path.name for path in outcome.aside) == [
        f"{C}.img.2",
        f"{D}.chunks",
        f"{D}.upload",
    ]
    after = files(pools[POOL])
    assert sorted(after.values()) == sorted(before.values()), "nothing is lost or changed"
    assert set(after) == {
        f"{A}.img",
        "note.txt",
        f"{LOST_AND_FOUND}/{C}.img",
        f"{LOST_AND_FOUND}/{C}.img.2",
        f"{LOST_AND_FOUND}/{D}.chunks",
        f"{LOST_AND_FOUND}/{D}.upload",
    }


def test_an_image_in_the_place_of_one_of_the_backup_is_moved_aside(
    bare: Ledger, pools: dict[str, Pool], tmp_path: Path
) -> None:
    """Unless it is the same: that one stays, as the file that it is."""
    same, other = with_image(bare, pools, A), with_image(bare, pools, B)
    wanted = sha256(other)
    bare.back_up(tmp_path / "backup", pools)
    with other.open("r+b") as file:
        file.write(b"changed")
    changed = sha256(other)
    before = same.stat()
    outcome = restored(tmp_path / "backup", tmp_path / "restored", pools)
    assert [path.name for path in outcome.aside] == [other.name]
    assert (same.stat().st_ino, same.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert sha256(other) == wanted
    assert sha256(pools[POOL].path / LOST_AND_FOUND / other.name) == changed


def test_a_pool_of_the_backup_must_be_somewhere(
    bare: Ledger, pools: dict[str, Pool], tmp_path: Path
) -> None:
    """Its images would have no place; nothing is restored."""
    with_image(bare, pools, A)
    bare.back_up(tmp_path / "backup", pools)
    with pytest.raises(NotRestored, match=rf"images of pool {POOL}.*--pool"):
        restored(tmp_path / "backup", tmp_path / "restored", elsewhere(tmp_path, "main"))
    assert not (tmp_path / "restored").exists()


def test_an_image_that_never_stops_changing_cannot_be_backed_up(
    bare: Ledger, pools: dict[str, Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has changed once is copied anew."""
    image = with_image(bare, pools, A)
    copy_image = backup_files.copy_image
    left = [1]

    def changing(**given: object) -> None:
        if left[0]:
            left[0] -= 1
            os.truncate(image, image.stat().st_size + PAGE)
        copy_image(**given)

    monkeypatch.setattr(backup_files, "copy_image", changing)
    bare.back_up(tmp_path / "backup", pools)
    kept = tmp_path / "backup" / "images" / POOL / image.name
    assert sha256(kept) == sha256(image)
    check(tmp_path / "backup")
    left[0] = 1_000
    with pytest.raises(NotBackedUp, match="expected"):
        bare.back_up(tmp_path / "again", pools)
    assert not (tmp_path / "again").exists()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", [fifo, link, Path.mkdir], ids=["fifo", "link", "directory"])
def test_what_is_no_file_is_neither_followed_nor_waited_for(
    bare: Ledger, pools: dict[str, Pool], tmp_path: Path, kind: Callable[[Path], None]
) -> None:
    """In the place of an image it is no image; a restore moves it aside as it is."""
    images = [with_image(bare, pools, uuid) for uuid in (A, B)]
    bare.back_up(tmp_path / "backup", pools)
    for image in images:
        image.unlink()
        kind(image)
    taken = bare.back_up(tmp_path / "another", pools)
    assert taken.missing == [MissingImage(A, POOL), MissingImage(B, POOL)]
    kind(pools[POOL].image(C))
    outcome = restored(tmp_path / "backup", tmp_path / "restored", pools)
    assert outcome.missing == []
    aside = {path.name: path.lstat().st_mode for path in outcome.aside}
    assert set(aside) == {f"{uuid}.img" for uuid in (A, B, C)}
    assert not any(map(stat.S_ISREG, aside.values()))
    assert all(image.is_file() and not image.is_symlink() for image in images)
