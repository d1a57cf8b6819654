"""What staff see of the whole ledger, as it is shown: its status, accounts and retention."""

from typing import Annotated, Literal

from msgspec import Meta

from api.accounts import roles
from api.http.fields import Count, Representation, Time, about

Duration = Annotated[str, Meta(title="Duration", pattern="^P")]
KeepLast = Annotated[
    Count, about("How many jobs of each series stay, however old, and the last that succeeded.")
]
CheckpointNote = Annotated[str, Meta(title="CheckpointNote")]
Role = Annotated[roles.Role, Meta(title="Role")]


class KeptCheckpoint(Representation, frozen=True):
    at: Time
    note: CheckpointNote


class PoolStatus(Representation, frozen=True):
    name: str
    storage_type: str
    free_bytes: Count


class LedgerStatus(Representation, frozen=True):
    position: Count
    store: Literal["SQLite", "PostgreSQL"]
    jobs: Annotated[
        dict[str, Count], about("The number of jobs by state; states without jobs are left out.")
    ]
    accounts: Count
    checkpoint: KeptCheckpoint | None
    verifier: Annotated[str, about("The public key that verifies checkpoints.")]
    pools: tuple[PoolStatus, ...]


class OwnAccount(Representation, frozen=True):
    """The account that makes the request."""

    uuid: str
    email: str
    role: Role


class Account(OwnAccount, frozen=True):
    created: Time
    running_jobs: Count


class Discarded(Representation, frozen=True):
    at: Time
    trees: Count
    jobs: Count
    streams: Count


class ArchiveFile(Representation, frozen=True):
    name: str
    bytes: Count


class ParkedStream(Representation, frozen=True):
    stream: str
    reader: str
    reason: str
    at: Time
    handling: str


class RetentionStanding(Representation, frozen=True):
    keep: Duration
    keep_last: KeepLast
    since: Annotated[Time | None, about("When it was set; null for the default.")]
    next_due: Annotated[Time | None, about("When the next tree is due, if any has ended.")]
    swept: Annotated[Discarded | None, about("What was discarded last.")]
    waiting: Annotated[Discarded | None, about("What is discarded but not archived yet.")]
    archives: tuple[ArchiveFile, ...]
    unreadable: Annotated[
        tuple[str, ...],
        about(
            "What is wrong with archives that cannot be read, such as a directory by the name of"
            " one."
        ),
    ]
    parked: tuple[ParkedStream, ...]
    clock_moved_by: Annotated[
        Duration | None,
        about("By how much the clock was set, forward or back, until an operator confirms it."),
    ]
    clock_behind_by: Annotated[
        Duration | None,
        about(
            "How far the clock is behind the newest event; nothing is discarded until it has"
            " caught up."
        ),
    ]


class PlannedTree(Representation, frozen=True):
    job: str
    jobs: Annotated[int, Meta(ge=1)]
    owner: str
    ended: Time


class RetentionPlan(Representation, frozen=True):
    keep: Duration
    keep_last: KeepLast
    cutoff: Time
    position: Count
    digest: Annotated[str, about("For `job-ledger retention run`, to do exactly this.")]
    trees_total: Count
    jobs_total: Count
    streams_total: Count
    trees: tuple[PlannedTree, ...]
    streams: tuple[str, ...]
