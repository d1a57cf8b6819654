"""A keypair: its state, and how events change it."""

from datetime import datetime
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from ledger.domain.events import Recorded
from ledger.domain.events.keypairs import (
    KeypairChanged,
    KeypairCreated,
    KeypairDeleted,
    KeypairEvent,
)


class Keypair(Struct, frozen=True, gc=False):
    """A keypair, folded from its stream; its public key, as OpenSSH writes it, never changes."""

    uuid: str
    owner: str
    name: str
    public_key: str
    meta: dict[str, str]
    created: datetime
    deleted: datetime | None = None


def evolve(keypair: Keypair | None, uuid: str, recorded: Recorded[KeypairEvent]) -> Keypair:
    """Return the keypair after one more event of its stream."""
    event, at = recorded.event, recorded.recorded_at
    if keypair is None:
        assert isinstance(event, KeypairCreated), f"a keypair's stream begins with {event}"
        return Keypair(uuid, event.owner, event.name, event.public_key, event.meta, at)
    match event:
        case KeypairChanged():
            return replace(keypair, name=event.name, meta=event.meta)
        case KeypairDeleted():
            return replace(keypair, deleted=at)
        case KeypairCreated():
            raise AssertionError(f"keypair {uuid} created twice")
        case _:
            assert_never(event)
