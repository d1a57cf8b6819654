"""Commands about keypairs."""

from msgspec import Struct


class NewKeypair(Struct, frozen=True, gc=False):
    """`public_key` as OpenSSH writes it; the private key is no concern of the ledger."""

    keypair: str
    name: str
    public_key: str
    meta: dict[str, str] = {}


class CreateKeypairs(Struct, frozen=True, gc=False):
    """Create keypairs, all or none."""

    owner: str
    keypairs: tuple[NewKeypair, ...]


class EditKeypair(Struct, frozen=True, gc=False):
    """Change a keypair; what is None stays. A `public_key`, if given, must be the one it has."""

    owner: str
    keypair: str
    name: str | None = None
    public_key: str | None = None
    meta: dict[str, str] | None = None


class DeleteKeypair(Struct, frozen=True, gc=False):
    """Delete a keypair, and remove it from all servers that have it, also from running ones."""

    owner: str
    keypair: str


KeypairCommand = CreateKeypairs | EditKeypair | DeleteKeypair
