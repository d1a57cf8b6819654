"""Keypairs: public keys that an owner gives to servers."""

from collections.abc import Container, Iterator, Sequence

from msgspec.structs import replace

from ledger.domain.commands import CreateKeypairs, DeleteKeypair, EditKeypair
from ledger.domain.context import Change, Environment, Fact, State
from ledger.domain.decisions.ownership import own_keypair
from ledger.domain.errors.keypairs import OtherPublicKey, UnknownKeypair
from ledger.domain.events.keypairs import (
    KeypairChanged,
    KeypairCreated,
    KeypairDeleted,
    keypair_stream,
)
from ledger.domain.events.servers import ServerChanged, server_stream


def create_keypairs(
    command: CreateKeypairs, state: State, environment: Environment
) -> Iterator[Change]:
    """Create keypairs, all or none."""
    for new in command.keypairs:
        created = KeypairCreated(command.owner, new.name, new.public_key, new.meta)
        yield Fact(keypair_stream(new.keypair), created)


def edit_keypair(command: EditKeypair, state: State, environment: Environment) -> Iterator[Change]:
    """Change what is given. Raise `KeypairNotFound`, `OtherPublicKey`."""
    keypair = own_keypair(state, command.keypair, command.owner)
    if command.public_key is not None and not _same_key(command.public_key, keypair.public_key):
        raise OtherPublicKey
    name = keypair.name if command.name is None else command.name
    meta = keypair.meta if command.meta is None else command.meta
    if (name, meta) != (keypair.name, keypair.meta):
        yield Fact(keypair_stream(keypair.uuid), KeypairChanged(name, meta))


def _same_key(one: str, other: str) -> bool:
    """Return whether they differ by their comments at the most."""
    return one.split()[:2] == other.split()[:2]


def delete_keypair(
    command: DeleteKeypair, state: State, environment: Environment
) -> Iterator[Change]:
    """Delete the keypair, after it was removed from its servers. Raise `KeypairNotFound`."""
    keypair = own_keypair(state, command.keypair, command.owner)
    for uuid in sorted(state.relations(keypair.uuid).servers):
        server = state.server(uuid)
        assert server is not None, f"keypair {keypair.uuid} is of a server that is gone"
        left = tuple(other for other in server.definition.pubkeys if other != keypair.uuid)
        definition = replace(server.definition, pubkeys=left)
        yield Fact(server_stream(uuid), ServerChanged(definition=definition))
    yield Fact(keypair_stream(keypair.uuid), KeypairDeleted())


def check_pubkeys(
    pubkeys: Sequence[str], owner: str, state: State, *, had: Container[str] = ()
) -> None:
    """Check that a server may have these keypairs; those that it already `had` need no check.

    Raise `UnknownKeypair`.
    """
    for uuid in pubkeys:
        if uuid not in had:
            keypair = state.keypair(uuid)
            if keypair is None or keypair.owner != owner:
                raise UnknownKeypair(uuid)
