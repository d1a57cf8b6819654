"""What commands must know of the images, read before they are decided."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from ledger.domain.aggregates.job import Job
from ledger.domain.commands.drives import CloneDrive, CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.commands.servers import (
    CloneServer,
    CreateServers,
    EditServer,
    NewServer,
    ServerEdit,
)
from ledger.domain.errors.drives import DriveNotFound
from ledger.domain.events.jobs import job_stream
from ledger.images.pool_thread import Owed
from ledger.images.surveys import Images
from ledger.store.seam import Cursor
from tests.support.opened import Opened
from tests.support.world import ME, SOMEBODY_ELSE, Foreseen, disk, machine, mount

T = TypeVar("T")


class Asked(Foreseen):
    """Notes which images were asked for, and whether they were needed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[list[str], bool]] = []
        self.is_prompt = True
        """Whether it also answers what is not needed."""

    def measure(
        self, images: Images, found: dict[str, int | None], *, needed: bool = True
    ) -> tuple[Owed, ...]:
        drives = [drive for _, drive in images]
        self.asked.append((drives, needed))
        if needed or self.is_prompt:
            found |= dict.fromkeys(drives, 7)
        return ()


@pytest.fixture
def pools() -> Asked:
    return Asked()


@pytest.fixture
def opened(tmp_path: Path, pools: Asked) -> Iterator[Opened]:
    """A server `s` with disks `a` and `b`, and a disk `c`."""
    with Opened(tmp_path / "ledger.sqlite", environment=pools) as ledger:
        disks = tuple(NewDrive(uuid, disk()) for uuid in "abc")
        ledger.do(CreateDrives(ME, disks, "blank"), *map(MarkDriveReady, "abc"))
        mounts = mount("a"), mount("b", 1)
        ledger.do(CreateServers(ME, (NewServer("s", machine(), mounts, (), "password"),)))
        yield ledger


_numbers = count()


def clone(opened: Opened) -> list[int | None]:
    """Clone the server; return how much each of the jobs of its disks has to copy."""
    number = next(_numbers)
    opened.do(CloneServer(ME, "s", f"clone-{number}", f"job-{number}"))
    job = opened.current(job_stream(f"job-{number}"))
    assert isinstance(job, Job)
    disks = [opened.current(job_stream(child.uuid)) for child in job.children]
    return [each.bytes_total for each in disks if isinstance(each, Job)]


def test_nobody_has_images_of_another_account_read(opened: Opened, pools: Asked) -> None:
    """How long that takes would tell that there is such a drive."""
    opened.do(CloneDrive(ME, "a", "mine", "my-job"))
    pools.asked.clear()
    with pytest.raises(DriveNotFound):
        opened.do(CloneDrive(SOMEBODY_ELSE, "a", "theirs", "their-job"))
    assert pools.asked == []


def test_what_the_last_clone_of_a_source_needed_is_read_beforehand(
    opened: Opened, pools: Asked
) -> None:
    """So that the next one is decided once."""
    assert clone(opened) == [7, 7]
    assert clone(opened) == [7, 7]
    assert pools.asked == [(["a", "b"], True), (["a", "b"], False)]


def test_nothing_rests_on_what_was_expected(opened: Opened, pools: Asked) -> None:
    """Neither where the source has other disks by now, nor where a pool does not answer in time."""
    clone(opened)
    opened.do(EditServer(ME, "s", ServerEdit(), (mount("a"), mount("b", 1), mount("c", 2))))
    assert clone(opened) == [7, 7, 7]
    assert pools.asked[1:] == [(["a", "b"], False), (["c"], True)]
    assert clone(opened) == [7, 7, 7]
    assert clone(opened) == [7, 7, 7]
    assert pools.asked[3:] == [(["a", "b", "c"], True), (["a", "b", "c"], False)]
    pools.is_prompt = False
    assert clone(opened) == [7, 7, 7]
    assert pools.asked[5:] == [(["a", "b", "c"], False), (["a", "b", "c"], True)]


def test_a_clone_of_a_known_source_reads_nothing(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can have said anything of what it makes."""
    clone(opened)
    read = opened.store.read

    def refuse(work: Callable[[Cursor], T]) -> T:
        raise AssertionError(f"{work} was read")

    monkeypatch.setattr(opened.store, "read", refuse)
    opened.do(CloneServer(ME, "s", "another", "job of another"))
    monkeypatch.setattr(opened.store, "read", read)
    assert clone(opened) == [7, 7]
