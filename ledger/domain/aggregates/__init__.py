"""The aggregates, each folded from its stream; the stream's name tells which kind it is."""

from collections.abc import Callable, Iterable
from typing import Any

from ledger.domain.aggregates import drive, job, keypair, profile, server, tag, token
from ledger.domain.aggregates import housekeeping as acts
from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.housekeeping import Act
from ledger.domain.aggregates.job import Job
from ledger.domain.aggregates.keypair import Keypair
from ledger.domain.aggregates.profile import Profile
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.aggregates.token import Token
from ledger.domain.events import Event, Recorded

Aggregate = Job | Drive | Server | Tag | Keypair | Profile | Token | Act

_EVOLVE: dict[str, Callable[[Any, str, Any], Aggregate]] = {
    "job": job.evolve,
    "drive": drive.evolve,
    "server": server.evolve,
    "tag": tag.evolve,
    "keypair": keypair.evolve,
    "profile": profile.evolve,
    "token": token.evolve,
    "policy": acts.evolve_policy,
    "sweep": acts.evolve_sweep,
    "compaction": acts.evolve_compaction,
    "restoration": acts.evolve_restoration,
    "parking": acts.evolve_parking,
}
"""By the first word of a stream's name. A table, because a rebuild goes through it a million times;
each `evolve` asserts that its stream holds only events of its own kind."""


def evolve(state: Aggregate | None, stream: str, recorded: Recorded[Event]) -> Aggregate:
    """Return the aggregate after one more event; deciding, projecting and auditing share this."""
    kind, _, uuid = stream.partition("-")
    return _EVOLVE[kind](state, uuid, recorded)


def fold(
    stream: str, history: Iterable[Recorded[Event]], state: Aggregate | None = None
) -> Aggregate | None:
    """Return the aggregate after all of these events, which follow on `state`, or begin it."""
    kind, _, uuid = stream.partition("-")
    evolve_one = _EVOLVE[kind]
    for recorded in history:
        state = evolve_one(state, uuid, recorded)
    return state
