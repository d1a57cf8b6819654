"""`/keypairs/` and, without private keys, `/pubkeys/`: the SSH keys that servers may have."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from aiohttp import web
from msgspec import Struct
from msgspec.structs import asdict, replace

from api.http.errors import BadRequest
from api.http.outcome import Changed
from api.http.record import is_recorded, keep_no_answer, new_id, record_command
from api.http.requests import owner_of, read_object, read_objects, uuid_in_url
from api.http.responses import created, json_answer
from api.resources.collections import NAME_FILTERS, Collection
from api.resources.keypairs.bodies import (
    Keypair,
    KeypairEdit,
    NewKeypair,
    represent_keypair,
    represent_pubkey,
)
from api.resources.keypairs.keys import KeyMaker, SshKeys, read_public_key
from api.resources.references import references
from api.service.service import Service
from ledger.domain.commands import keypairs as commands
from ledger.domain.commands.keypairs import CreateKeypairs, DeleteKeypair, EditKeypair
from ledger.domain.errors.keypairs import KeypairNotFound
from projections.views.read_models import KeypairView
from projections.views.snapshot import Snapshot

S = TypeVar("S", bound=Struct)

MADE_LIMIT = 10
"""Pairs that are made for one request."""


class Keypairs:
    """Handlers of the URLs below `/keypairs/` and `/pubkeys/`."""

    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self.collection = _collection(service, represent_keypair)
        self.pubkeys = _collection(service, represent_pubkey)
        self._maker = KeyMaker()

    async def create(self, request: web.Request) -> web.Response:
        """Create all of the keypairs or none; only this answer has their private keys.

        It is not kept for repeats of the request, which get the keypairs without them.
        """
        owner = owner_of(request)
        said = await read_objects(request, NewKeypair, Keypair)
        made = [new_id(request) for _ in said]
        repeated = is_recorded(request)
        keys = () if repeated else await self._read_or_make(said, owner)
        new = tuple(map(_new_keypair, made, said, keys))
        command = CreateKeypairs(owner, new)
        if repeated:
            return await self.collection.record(request, command, made, 201, created)
        changed = Changed(201, references("keypairs", made))
        await record_command(request, self._ledger, command, changed)
        if any(each.private for each in keys):
            keep_no_answer(request)
        # Not read again, so that nothing comes between a private key and its owner.
        return created([_show_new(owner, *each) for each in zip(new, keys, strict=True)])

    async def _read_or_make(self, said: Sequence[NewKeypair], owner: str) -> Sequence[SshKeys]:
        given = list(map(_given_keys, said))
        if given.count(None) > MADE_LIMIT:
            raise BadRequest(f"at most {MADE_LIMIT} pairs are made at once", point="public_key")
        keys = []
        for one, each in zip(given, said, strict=True):
            keys.append(one or await self._maker.make(each.algorithm_type, owner))
        return keys

    async def edit(self, request: web.Request) -> web.Response:
        """Change the given fields; `meta` is replaced as a whole.

        A private key that is sent along is in the answer, as in that of a POST.
        """
        uuid = uuid_in_url(request, KeypairNotFound)
        said = asdict(await read_object(request, KeypairEdit, Keypair))
        public_key = said["public_key"] and read_public_key(said["public_key"])
        command = EditKeypair(
            owner_of(request), uuid, said["name"], public_key or None, said["meta"]
        )
        private_key = said["private_key"] or ""

        def answer(edited: Sequence[Keypair]) -> web.Response:
            return json_answer(replace(edited[0], private_key=private_key))

        return await self.collection.record(request, command, [uuid], 200, answer)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete the keypair; servers that have it stay, without it."""
        uuid = uuid_in_url(request, KeypairNotFound)
        command = DeleteKeypair(owner_of(request), uuid)
        return await self.collection.delete(request, command, [uuid])


def _given_keys(said: NewKeypair) -> SshKeys | None:
    """Return the keys that the client gives; None if a pair is to be made. Raise `BadRequest`."""
    if said.public_key:
        return SshKeys(read_public_key(said.public_key), said.private_key)
    if said.private_key:
        message = "public_key is required with private_key, which is not kept"
        raise BadRequest(message, point="public_key")
    return None


def _new_keypair(uuid: str, said: NewKeypair, keys: SshKeys) -> commands.NewKeypair:
    return commands.NewKeypair(uuid, said.name, keys.public, said.meta)


def _show_new(owner: str, new: commands.NewKeypair, keys: SshKeys) -> Keypair:
    view = KeypairView(new.keypair, owner, new.name, new.public_key, new.meta)
    return replace(represent_keypair(view), private_key=keys.private)


def _collection(
    service: Service, represent: Callable[[KeypairView], S]
) -> Collection[KeypairView, S]:
    return Collection(
        "keypairs",
        service,
        NAME_FILTERS,
        Snapshot.keypairs_among,
        represent,
        KeypairNotFound,
    )
