"""Any of the aggregates, folded from its stream; the stream's name says which one it is."""

from collections.abc import Iterable
from typing import cast

from ledger import drive as drives
from ledger import job as jobs
from ledger import server as servers
from ledger.drive import Drive
from ledger.events import DriveEvent, Event, JobEvent, Recorded, ServerEvent
from ledger.job import Job
from ledger.server import Server

Aggregate = Job | Drive | Server


def evolve(state: Aggregate | None, stream: str, recorded: Recorded[Event]) -> Aggregate:
    """The aggregate after one more event; pure, and shared by deciding, projecting and auditing."""
    kind, _, uuid = stream.partition("-")
    match kind:
        case "job":
            return jobs.evolve(cast(Job | None, state), uuid, cast(Recorded[JobEvent], recorded))
        case "drive":
            return drives.evolve(
                cast(Drive | None, state), uuid, cast(Recorded[DriveEvent], recorded)
            )
        case "server":
            return servers.evolve(
                cast(Server | None, state), uuid, cast(Recorded[ServerEvent], recorded)
            )
        case _:
            raise AssertionError(f"no aggregate has a stream named {stream}")


def fold(stream: str, history: Iterable[Recorded[Event]]) -> Aggregate | None:
    """The aggregate after all of these events; None after none."""
    state: Aggregate | None = None
    for recorded in history:
        state = evolve(state, stream, recorded)
    return state
