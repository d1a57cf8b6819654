"""The writer counts once what an account has, and then keeps the count."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.domain.commands import CreateDrives, DeleteDrives, MarkDriveReady, NewDrive
from ledger.domain.errors import QuotaExceeded
from ledger.domain.quotas import Holding, Quotas
from ledger.store.holding_counts import HoldingCounts
from tests.ledger.store.test_writer import drives, new_drive, together
from tests.support.holdings import count_all, counts_of, miscounted, there
from tests.support.opened import Opened
from tests.support.story import STORY
from tests.support.world import ME, Foreseen, disk

TWO_DRIVES = Quotas(drives=2)


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Opened]:
    """A ledger in which an account may have two drives."""
    environment = Foreseen(quotas=TWO_DRIVES)
    with Opened(tmp_path / "ledger.sqlite", environment=environment) as opened:
        yield opened


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Holding]:
    """What is counted by reading, from now on."""
    noted: list[Holding] = []
    count = HoldingCounts._count

    def spy(self: HoldingCounts, holding: Holding) -> object:
        noted.append(holding)
        return count(self, holding)

    monkeypatch.setattr(HoldingCounts, "_count", spy)
    return noted


def test_counts_are_right_after_every_command(opened: Opened) -> None:
    """Whatever it makes, ends or deletes."""
    count_all(opened)
    upload = CreateDrives(ME, (NewDrive("sent", disk(), "fast"),), "chunked")
    begun = CreateDrives(ME, (NewDrive("begun", disk(), "fast"),), "chunked")
    for command in (*STORY, upload, begun, MarkDriveReady("sent")):
        opened.do(command)
        assert miscounted(opened) == {}, command
    for kind in ("drives", "servers", "tags", "unfinished-uploads", "jobs-running"):
        assert there(opened, Holding(ME, kind)), kind


def test_accounts_are_counted_once(limited: Opened, counted: list[Holding]) -> None:
    """However much they make and delete, and however often they are refused."""
    for nth in range(3):
        limited.do(new_drive(f"a{nth}"), new_drive(f"b{nth}"))
        for _ in range(3):
            with pytest.raises(QuotaExceeded):
                limited.do(new_drive("too much"))
        limited.do(DeleteDrives(ME, (f"a{nth}", f"b{nth}")))
    assert counted == [Holding(ME, "drives")]


async def test_commands_of_one_batch_count_for_each_other(limited: Opened) -> None:
    """Before any of them is recorded; one that is refused counts for nothing."""
    three = CreateDrives(ME, tuple(NewDrive(f"t{nth}", disk()) for nth in range(3)), "blank")
    *accepted, refused = await together(
        limited, new_drive("a"), three, new_drive("b"), new_drive("c")
    )
    assert isinstance(accepted[1], QuotaExceeded)
    assert isinstance(refused, QuotaExceeded)
    assert drives(limited) == ["a", "b"]


def test_what_was_there_before_counts(limited: Opened) -> None:
    """Also for the process that starts next."""
    limited.do(new_drive("a"), new_drive("b"))
    limited.close()
    with (
        Opened(limited.file, environment=Foreseen(quotas=TWO_DRIVES)) as next_one,
        pytest.raises(QuotaExceeded),
    ):
        next_one.do(new_drive("c"))


def test_a_rebuild_changes_no_count(opened: Opened) -> None:
    opened.do(*STORY)
    count_all(opened)
    opened.rebuild()
    count_all(opened)
    assert miscounted(opened) == {}
    assert counts_of(opened).exceeds(Holding(ME, "drives"), 1)
