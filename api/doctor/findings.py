"""What the doctor finds, as it is told."""

from msgspec import Struct

from projections.maintenance.retention.status import RetentionStatus


class PoolFound(Struct, frozen=True):
    """A pool and the room in it; None where it cannot be looked at."""

    name: str
    path: str
    storage_type: str
    free_bytes: int | None


class LedgerFound(Struct, frozen=True):
    """The ledger, and the database that it is in with what makes its commits durable.

    `drives` says how many there are in each pool.
    """

    where: str
    engine: str
    settings: dict[str, str]
    schema_version: int
    generation: int
    last_position: int
    drives: dict[str, int]


class Check(Struct, frozen=True):
    """One of the things that are looked after, by name; all is well if there are no problems."""

    name: str
    problems: list[str]


class Findings(Struct, frozen=True):
    """All that was found; sound if there are no problems. `service` is a pid."""

    data: str
    service: int | None
    ledger: LedgerFound | None
    retention: RetentionStatus | None
    pools: list[PoolFound]
    checks: list[Check]

    @property
    def problems(self) -> list[str]:
        """Those of all checks."""
        return [problem for check in self.checks for problem in check.problems]
