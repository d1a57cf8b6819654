"""The writer counts once what an account has, and then keeps the count."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from ledger.domain.commands.drives import CreateDrives, DeleteDrives, MarkDriveReady, NewDrive
from ledger.domain.errors.quotas import QuotaExceeded
from ledger.domain.quotas import EVERYBODY, Holding, Kind, Quotas
from ledger.store.holding_counts import HoldingCounts
from projections.views.generations import InlineProjection
from tests.ledger.store.test_writer import drives, new_drive, together
from tests.support.opened import Opened
from tests.support.retained import Retained
from tests.support.story import STORY
from tests.support.world import ME, SOMEBODY_ELSE, START, Foreseen, disk

TWO_DRIVES = Quotas(drives=2)
HOLDINGS = (
    *(Holding(owner, kind) for owner, kind in product((ME, SOMEBODY_ELSE), get_args(Kind))),
    Holding(EVERYBODY, "unfinished-uploads"),
)


def counts_of(opened: Opened) -> HoldingCounts:
    """The writer's, to be looked at while it rests."""
    return opened.ledger._writer._committed.cache._counts


def count_all(opened: Opened) -> None:
    """Have the writer know the number of everything."""
    for holding in HOLDINGS:
        counts_of(opened).exceeds(holding, 0)


def there(opened: Opened, holding: Holding) -> int:
    """How many there are."""
    count = partial(InlineProjection().count, owner=holding.owner, kind=holding.kind)
    return opened.ledger.read(count)


def miscounted(opened: Opened) -> dict[Holding, tuple[int, int]]:
    """What the writer knows wrongly, beside what is there."""
    known = {holding: counts_of(opened)._counted[holding].number for holding in HOLDINGS}
    found = {holding: there(opened, holding) for holding in HOLDINGS}
    return {each: (known[each], found[each]) for each in HOLDINGS if known[each] != found[each]}


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
    for kind in (
        "drives",
        "servers",
        "addresses",
        "tags",
        "keypairs",
        "unfinished-uploads",
        "jobs-running",
    ):
        assert there(opened, Holding(ME, kind)), kind


def test_a_job_counts_for_as_long_as_it_is_kept(tmp_path: Path) -> None:
    """Until retention discards it."""
    now = START

    def clock() -> datetime:
        nonlocal now
        now += timedelta(milliseconds=1)
        return now

    with Retained(tmp_path / "ledger.sqlite", clock) as kept:
        kept.do(*STORY)
        count_all(kept)
        before = there(kept, Holding(ME, "jobs-kept"))
        now += timedelta(days=400)
        kept.run()
        assert there(kept, Holding(ME, "jobs-kept")) < before
        assert miscounted(kept) == {}


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
