"""The fields of answers that commands show; others are ignored."""

from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Data(Struct, frozen=True):
    """A job's progress; the numbers of bytes are there while it runs, once they are known."""

    progress: Count
    phase: str | None = None
    bytes_done: Count | None = None
    bytes_total: Count | None = None
    bytes_verified: Count | None = None
    bytes_per_s: Count | None = None
    eta_s: Count | None = None
    error: str | None = None
    worker_lost: bool = False
    source: str | None = None
    ended: str | None = None
    skipped: bool = False
    lost: bool = False


class Job(Struct, frozen=True):
    """A job and its sub-jobs."""

    uuid: str
    operation: str
    state: str
    data: Data
    created: str
    last_modified: str
    resources: tuple[str, ...]
    children: "tuple[Job, ...]"


class Reference(Struct, frozen=True):
    uuid: str


class Drive(Struct, frozen=True):
    uuid: str
    name: str
    status: str
    size: Count
    storage_type: str
    jobs: tuple[Reference, ...]


class Mount(Struct, frozen=True):
    drive: Reference


class Card(Struct, frozen=True):
    """A network card of a running server, and its address; `uuid` is the address itself."""

    ip_v4: Reference | None = None


class Runtime(Struct, frozen=True):
    nics: tuple[Card, ...]


class Server(Struct, frozen=True):
    uuid: str
    name: str
    status: str
    drives: tuple[Mount, ...]
    jobs: tuple[Reference, ...]
    runtime: Runtime | None = None

    def addresses(self) -> list[str]:
        """Return the addresses of its cards; none while it is stopped."""
        nics = () if self.runtime is None else self.runtime.nics
        return [nic.ip_v4.uuid for nic in nics if nic.ip_v4 is not None]


class Keypair(Struct, frozen=True):
    uuid: str
    name: str
    fingerprint: str


class Event(Struct, frozen=True):
    """An event of a job; `event` is its name and schema version."""

    position: Count
    recorded_at: str
    actor: str | None
    event: str
    fields: dict[str, object]


class NewToken(Struct, frozen=True):
    token: str
