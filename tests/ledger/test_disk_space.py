"""How much room the disk has, and what may be recorded with how much."""

from typing import get_args

import pytest
from msgspec.structs import fields

from ledger.domain.commands import Command
from ledger.domain.commands.servers import ChangePower
from ledger.domain.decisions.room import may_be_recorded
from ledger.domain.disk_space import (
    FREE_LEAST,
    RESERVE_LEAST,
    RESERVE_MOST,
    DiskState,
    reserve_bytes,
    state_after,
)
from ledger.domain.events.servers import PowerAction

MIB = 2**20
R = 5 * MIB
ROOMY, LOW, FULL = DiskState.ROOMY, DiskState.LOW, DiskState.FULL


@pytest.mark.parametrize(
    ("disk", "reserve"),
    [
        (16 * MIB, RESERVE_LEAST),
        (40 * MIB, R),
        (800 * MIB, 100 * MIB),
        (2**40, RESERVE_MOST),
    ],
)
def test_the_reserve_is_an_eighth_of_the_disk_within_limits(disk: int, reserve: int) -> None:
    assert reserve_bytes(disk, RESERVE_MOST) == reserve


def test_an_operator_may_want_a_smaller_reserve_or_none() -> None:
    assert reserve_bytes(2**40, 2 * MIB) == 2 * MIB
    assert reserve_bytes(2**40, 0) == 0


@pytest.mark.parametrize(
    ("before", "free", "after"),
    [
        (ROOMY, R, ROOMY),
        (ROOMY, R - 1, LOW),
        (ROOMY, FREE_LEAST, LOW),
        (ROOMY, FREE_LEAST - 1, FULL),
        (LOW, R - 1, LOW),
        (LOW, R, ROOMY),
        (LOW, FREE_LEAST - 1, FULL),
        (FULL, 0, FULL),
        (FULL, 2 * R - 1, FULL),
        (FULL, 2 * R, ROOMY),
    ],
)
def test_the_state_follows_what_is_free(before: DiskState, free: int, after: DiskState) -> None:
    assert state_after(before, free, R) is after


def test_without_a_reserve_nothing_is_kept_for_later() -> None:
    assert state_after(ROOMY, 0, 0) is ROOMY


RECORDED_ON_A_FULL_DISK = {
    *("DeleteDrives", "DeleteServers", "DeleteTag", "DeleteKeypair", "CancelJob"),
    *("StartAttempt", "LoseAttempt", "SucceedJob", "FailJob"),
    *("TakeUpJob", "ReturnAttempt", "LoseProducer", "FailAttempt", "EndJob", "AbandonJob"),
    *("RequestCancel", "SettleJob", "SeeCancel", "ForceEnd", "SealJob"),
    *("RemoveTexts", "RemoveTokens"),
    *("MarkDriveReady", "FailImage", "CompleteResize", "FailResize"),
    *("SetRetention", "DiscardJobs", "RecordArchive", "RecordCompaction", "RecordRestore"),
    *("ParkStream", "ReleaseStream"),
}


@pytest.mark.parametrize("kind", get_args(Command), ids=lambda kind: kind.__name__)
def test_a_full_disk_takes_what_ends_or_makes_room(kind: type[Command]) -> None:
    """And a roomy one takes everything."""
    if kind is ChangePower:
        return
    command = kind(**dict.fromkeys(field.name for field in fields(kind)))
    assert may_be_recorded(command, ROOMY)
    for state in (LOW, FULL):
        assert may_be_recorded(command, state) == (kind.__name__ in RECORDED_ON_A_FULL_DISK)


@pytest.mark.parametrize(
    ("actions", "taken"), [(("stop", "shutdown"), True), (("start", "restart"), False)]
)
def test_a_full_disk_stops_servers_and_starts_none(
    actions: tuple[PowerAction, ...], *, taken: bool
) -> None:
    for action in actions:
        assert may_be_recorded(ChangePower("me", "s", action), LOW) == taken
