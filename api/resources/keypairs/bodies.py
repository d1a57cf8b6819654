"""Keypairs, as clients send them and as they are shown."""

from typing import Annotated, get_args

from msgspec import Struct
from msgspec.structs import asdict

from api.http.fields import (
    NO_NUL,
    Grantees,
    NoReferences,
    Permissions,
    ResourceMeta,
    ResourceUri,
    ResourceUuid,
    Text,
    about,
    make_partial,
)
from api.resources.keypairs.keys import Algorithm, fingerprint
from api.text.urls import API_ROOT
from projections.views.read_models import KeypairView

KEY_LENGTH = 16 * 1024
"""Characters of a key; the longest that OpenSSH makes, RSA of 16,384 bits, has 13,000."""


class KeypairFields(Struct, kw_only=True):
    """The fields of a keypair that clients send and are shown."""

    name: Annotated[Text, about("Name of the keypair.")]
    meta: ResourceMeta = {}


_PUBLIC = about(
    "The public key, a line as in `id_ed25519.pub`. It never changes.",
    max_length=KEY_LENGTH,
    pattern=NO_NUL,
)
_PRIVATE = about(
    "The private key, only in the answer to the request that made or gave it: it is kept nowhere.",
    max_length=KEY_LENGTH,
    pattern=NO_NUL,
)


class NewKeypair(KeypairFields, kw_only=True):
    """A keypair of a public key that is given or, if none is, of a pair that is made."""

    public_key: Annotated[str, _PUBLIC] = ""
    private_key: Annotated[str, _PRIVATE] = ""
    algorithm_type: Annotated[
        Algorithm, about("What pair is made.", choices=get_args(Algorithm))
    ] = "rsa"


KeypairEdit = make_partial(
    "KeypairEdit",
    KeypairFields,
    public_key=Annotated[str, _PUBLIC],
    private_key=Annotated[str, _PRIVATE],
)


class ShownKey(KeypairFields, kw_only=True):
    """What both `/keypairs/` and `/pubkeys/` show."""

    fingerprint: Annotated[str, about("MD5 of the public key.")]
    grantees: Grantees = ()
    permissions: Permissions = ()
    public_key: Annotated[str, _PUBLIC]
    resource_uri: ResourceUri
    tags: Annotated[NoReferences, about("Keypairs have no tags.")] = ()
    uuid: ResourceUuid


class Keypair(ShownKey, kw_only=True, forbid_unknown_fields=True):
    private_key: Annotated[str, _PRIVATE] = ""


class Pubkey(ShownKey, kw_only=True, forbid_unknown_fields=True):
    """A keypair without its private key, which is not kept."""

    has_private_key: Annotated[bool, about("Whether the private key is kept: it never is.")] = False


def represent_keypair(keypair: KeypairView) -> Keypair:
    return Keypair(**asdict(_shown(keypair, "keypairs")))


def represent_pubkey(keypair: KeypairView) -> Pubkey:
    return Pubkey(**asdict(_shown(keypair, "pubkeys")))


def _shown(keypair: KeypairView, kind: str) -> ShownKey:
    return ShownKey(
        fingerprint=fingerprint(keypair.public_key),
        meta=keypair.meta,
        name=keypair.name,
        public_key=keypair.public_key,
        resource_uri=f"{API_ROOT}/{kind}/{keypair.uuid}/",
        uuid=keypair.uuid,
    )
