"""What is refused for lack of room, on the ledger's disk or in the pools.

`ledger.domain.disk_space` says how much room that is. This module decides what may be recorded;
`ledger.images.pools.Pool` decides what may be written into an image.
"""

from ledger.domain.commands import Command
from ledger.domain.commands.drives import (
    CompleteResize,
    DeleteDrives,
    FailImage,
    FailResize,
    MarkDriveReady,
)
from ledger.domain.commands.housekeeping import (
    DiscardJobs,
    ParkStream,
    RecordArchive,
    RecordCompaction,
    RecordRestore,
    ReleaseStream,
    SetRetention,
)
from ledger.domain.commands.jobs import CancelJob, FailJob, LoseAttempt, StartAttempt, SucceedJob
from ledger.domain.commands.keypairs import DeleteKeypair
from ledger.domain.commands.servers import ChangePower, DeleteServers
from ledger.domain.commands.tags import DeleteTag
from ledger.domain.commands.tokens import RemoveTokens
from ledger.domain.context import PoolSpace, State
from ledger.domain.disk_space import DiskState
from ledger.domain.errors.pools import PoolsFull
from ledger.domain.errors.store import StoreFull
from ledger.domain.producers.commands import (
    AbandonJob,
    EndJob,
    FailAttempt,
    ForceEnd,
    LoseProducer,
    RemoveTexts,
    RequestCancel,
    ReturnAttempt,
    SealJob,
    SeeCancel,
    SettleJob,
    TakeUpJob,
)

_ALWAYS = (
    DeleteDrives,
    DeleteServers,
    DeleteTag,
    DeleteKeypair,
    RemoveTokens,
    CancelJob,
    StartAttempt,  # without which an accepted job could not end
    LoseAttempt,
    SucceedJob,
    FailJob,
    TakeUpJob,
    ReturnAttempt,
    LoseProducer,
    FailAttempt,
    EndJob,
    RequestCancel,
    SeeCancel,
    ForceEnd,
    SealJob,
    SettleJob,
    AbandonJob,
    RemoveTexts,
    MarkDriveReady,
    FailImage,
    CompleteResize,
    FailResize,
    SetRetention,
    DiscardJobs,
    RecordArchive,
    RecordCompaction,
    RecordRestore,
    ParkStream,
    ReleaseStream,
)
"""The commands that make room or end something, and those by which the ledger looks after itself.

Progress is not among them: readers see it in memory.
"""


def require_room(command: Command, state: State) -> None:
    """Raise `StoreFull` if the ledger's disk has no room for commands of this kind."""
    if not may_be_recorded(command, state.disk):
        raise StoreFull


def with_room(chosen: PoolSpace) -> PoolSpace:
    """Return the pool that was chosen for data. Raise `PoolsFull`, as then all others are, too."""
    if chosen.full:
        raise PoolsFull(chosen.name, chosen.storage_type)
    return chosen


def may_be_recorded(command: Command, state: DiskState) -> bool:
    """Return whether there is room for the command: always, if it makes room or ends something."""
    return state is DiskState.ROOMY or not begins_something(command)


def begins_something(command: Command) -> bool:
    """Return whether the command is for something new, or nobody waits for it."""
    if isinstance(command, ChangePower):
        return command.action in ("start", "restart")
    return not isinstance(command, _ALWAYS)
