"""Commands with a claim: recorded once under their key, whichever process gets them."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.domain.commands.drives import DeleteDrives
from ledger.domain.errors.drives import DriveNotFound
from ledger.domain.errors.store import AlreadyClaimed
from ledger.domain.idempotency import KEPT, Claim, RecordedClaim
from ledger.store.seam import Cursor
from ledger.store.tables import idempotency_keys as claims
from ledger.store.writer import Caller
from tests.ledger.store.test_writer import drives, held, new_drive
from tests.support.opened import Opened
from tests.support.wait import PATIENCE_S
from tests.support.world import ME, SOMEBODY_ELSE, START, Foreseen


def keyed(key: str = "key", *, seed: str = "seed", account: str = ME) -> Caller:
    return Caller(account, "request", Claim(key, b"fingerprint", seed))


@pytest.fixture
def other(opened: Opened) -> Iterator[Opened]:
    """Another process's ledger over the same file."""
    with Opened(opened.file, environment=Foreseen(prefix="other")) as ledger:
        yield ledger


def test_a_key_is_claimed_once(opened: Opened) -> None:
    """The second command is not even decided: it would be refused for another reason."""
    opened.do(new_drive("a"), by=keyed())
    for late in (new_drive("b"), DeleteDrives(ME, ("nothing",))):
        with pytest.raises(AlreadyClaimed):
            opened.do(late, by=keyed(seed="another"))
    assert drives(opened) == ["a"]
    opened.do(new_drive("b"), by=keyed("another key"))
    opened.do(new_drive("c", name="c"), by=keyed(account=SOMEBODY_ELSE))


def test_a_refused_command_claims_nothing(opened: Opened) -> None:
    """The next one under its key may succeed."""
    with pytest.raises(DriveNotFound):
        opened.do(DeleteDrives(ME, ("nothing",)), by=keyed())
    assert opened.store.read(lambda cursor: claims.find(cursor, ME, "key")) is None
    opened.do(new_drive("a"), by=keyed())


async def test_two_commands_with_one_claim_in_a_batch(opened: Opened) -> None:
    """A claim holds for those that come behind it in the transaction, unless it was refused."""
    commands = (DeleteDrives(ME, ("nothing",)), new_drive("a"), new_drive("b"))
    with held(opened):
        twins = [asyncio.ensure_future(opened.ledger.execute(c, keyed())) for c in commands]
        await asyncio.sleep(0)
    ends = await asyncio.wait_for(asyncio.gather(*twins, return_exceptions=True), PATIENCE_S)
    assert [type(end) for end in ends] == [DriveNotFound, int, AlreadyClaimed]
    assert drives(opened) == ["a"]


def test_another_process_sees_the_claim(opened: Opened, other: Opened) -> None:
    """Nothing about claims is remembered: the store is asked."""
    other.do(new_drive("x"))
    opened.do(new_drive("a"), by=keyed())
    with pytest.raises(AlreadyClaimed):
        other.do(new_drive("b"), by=keyed())


def test_processes_that_claim_at_once(
    opened: Opened, other: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They conflict in the store; the second is decided anew, and refused."""
    read = opened.store.read
    looked: list[RecordedClaim | None] = []

    def late(work: Callable[[Cursor], Any]) -> Any:
        found = read(work)
        if found is None or isinstance(found, RecordedClaim):
            looked.append(found)
            if len(looked) == 1:
                other.do(new_drive("b"), by=keyed(seed="other"))
        return found

    monkeypatch.setattr(opened.store, "read", late)
    with pytest.raises(AlreadyClaimed):
        opened.do(new_drive("a"), by=keyed())
    assert [found and found.claim.seed for found in looked] == [None, "other"]
    assert drives(opened) == ["b"]


def test_a_claim_expires_after_a_day(tmp_path: Path) -> None:
    """Then the key may be used for something else, and holds for a day again."""
    moments = iter([0, 1, 24 * 3600 - 1, 24 * 3600, 24 * 3600 + 1, 48 * 3600])
    now = START

    def clock() -> datetime:
        return now

    with Opened(tmp_path / "l.sqlite", now=clock) as opened:
        for nth, seconds in enumerate(moments):
            now = START + timedelta(seconds=seconds)
            if seconds % KEPT.total_seconds() == 0:
                opened.do(new_drive(f"d{nth}"), by=keyed())
            else:
                with pytest.raises(AlreadyClaimed):
                    opened.do(new_drive(f"d{nth}"), by=keyed())
        assert drives(opened) == ["d0", "d3", "d5"]


def test_without_a_claim_no_claim_is_looked_up(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs those nothing who do not use it."""
    monkeypatch.setattr(claims, "find", None)
    opened.do(new_drive("a"))
    assert drives(opened) == ["a"]
