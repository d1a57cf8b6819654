"""The fields of answers that commands show; others are ignored."""

from msgspec import Struct


class Data(Struct, frozen=True):
    """A job's progress; the numbers of bytes are there while it runs, once they are known."""

    progress: int
    bytes_done: int | None = None
    bytes_total: int | None = None
    bytes_per_s: int | None = None
    eta_s: int | None = None
    error: str | None = None
    worker_lost: bool = False


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
    size: int
    storage_type: str
    jobs: tuple[Reference, ...]


class Mount(Struct, frozen=True):
    drive: Reference


class Server(Struct, frozen=True):
    uuid: str
    name: str
    status: str
    drives: tuple[Mount, ...]
    jobs: tuple[Reference, ...]


class Event(Struct, frozen=True):
    """An event of a job; `event` is its name and schema version."""

    position: int
    recorded_at: str
    actor: str | None
    event: str
    fields: dict[str, object]


class NewToken(Struct, frozen=True):
    token: str
