"""Keypairs: public keys that an owner gives to servers."""

from collections.abc import Iterator, Sequence

from ledger.domain.commands.keypairs import CreateKeypairs, DeleteKeypair, EditKeypair
from ledger.domain.context import Change, Environment, Fact, State
from ledger.domain.decisions.ownership import own_keypair
from ledger.domain.errors.keypairs import OtherPublicKey, UnknownKeypair
from ledger.domain.events.keypairs import (
    KeypairChanged,
    KeypairCreated,
    KeypairDeleted,
    keypair_stream,
)


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
    """Return whether the keys are the same, apart from their comments."""
    return one.split()[:2] == other.split()[:2]


def delete_keypair(
    command: DeleteKeypair, state: State, environment: Environment
) -> Iterator[Change]:
    """Delete the keypair. Raise `KeypairNotFound`.

    Its servers go on naming it, and are shown without it: thousands may have it, and each would
    record its whole definition.
    """
    keypair = own_keypair(state, command.keypair, command.owner)
    yield Fact(keypair_stream(keypair.uuid), KeypairDeleted())


def check_pubkeys(pubkeys: Sequence[str], owner: str, state: State) -> None:
    """Check that a server may be given these keypairs. Raise `UnknownKeypair`."""
    for uuid in pubkeys:
        keypair = state.keypair(uuid)
        if keypair is None or keypair.owner != owner:
            raise UnknownKeypair(uuid)
