"""The doctor's findings, as they are reported."""

from datetime import datetime

from msgspec import Struct

from api.service.limits import Limits
from projections.maintenance.retention.status import RetentionStatus

FREE_BYTES_LOW = 1024**3
"""With less than this free, a pool or the ledger's disk will soon be full."""


class PoolFound(Struct, frozen=True):
    """A pool and the room in it; None if the pool cannot be read."""

    name: str
    path: str
    storage_type: str
    free_bytes: int | None


class LedgerFound(Struct, frozen=True):
    """The ledger, and its database with the settings that make commits durable.

    `drives` counts the drives in each pool.
    """

    where: str
    engine: str
    settings: dict[str, str]
    schema_version: int
    generation: int
    last_position: int
    drives: dict[str, int]


class Users(Struct, frozen=True):
    """The accounts that have the most of something, by their emails, the largest first."""

    most: str
    accounts: dict[str, int]


class LostJobs(Struct, frozen=True):
    """How many jobs of producers on this host are lost, and when one of them was last heard of.

    `host` is None where the producer did not say. The first few are named.
    """

    host: str | None
    count: int
    heard: datetime | None
    jobs: list[str]


class Check(Struct, frozen=True):
    """A check and the problems it found; none if all is well."""

    name: str
    problems: list[str]


class Findings(Struct, frozen=True):
    """All findings; the ledger is sound if there are no problems.

    `version` is that of the program that made them: of the service, if one runs. `service` is its
    pid.
    """

    data: str
    version: str
    service: int | None
    ledger: LedgerFound | None
    retention: RetentionStatus | None
    pools: list[PoolFound]
    limits: Limits
    users: list[Users]
    lost: list[LostJobs]
    checks: list[Check]

    @property
    def problems(self) -> list[str]:
        return [problem for check in self.checks for problem in check.problems]
