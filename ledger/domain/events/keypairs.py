"""What happens to a keypair."""

from ledger.domain.events.values import Closed


class KeypairCreated(Closed, frozen=True):
    """A public key has a name. Its private key is nowhere in the ledger, nor beside it."""

    owner: str
    name: str
    public_key: str
    meta: dict[str, str] = {}


class KeypairChanged(Closed, frozen=True):
    name: str
    meta: dict[str, str]


class KeypairDeleted(Closed, frozen=True):
    pass


KeypairEvent = KeypairCreated | KeypairChanged | KeypairDeleted


def keypair_stream(uuid: str) -> str:
    return f"keypair-{uuid}"
