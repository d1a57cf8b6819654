"""What cannot be done to a keypair."""

from ledger.domain.errors import Invalid, NothingWithUuid


class KeypairNotFound(NothingWithUuid):
    thing = "keypair"


class UnknownKeypair(Invalid):
    """A server cannot have a keypair that its account does not have."""

    point = "pubkeys"

    def __init__(self, uuid: str) -> None:
        super().__init__(f"no keypair with uuid {uuid}")


class OtherPublicKey(Invalid):
    """A keypair keeps its public key: another one would open the servers that have the keypair."""

    point = "public_key"

    def __init__(self) -> None:
        super().__init__("the public key of a keypair cannot change: create another keypair")
