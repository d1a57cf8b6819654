"""`/ledger/`: signed checkpoints of the ledger's tree, and proofs against them.

Everybody who may log in gets them: a hash reveals nothing of what was recorded.
"""

from base64 import b64encode
from collections.abc import Callable
from typing import Annotated, TypeVar

from aiohttp import web
from msgspec import Meta

from api.http.errors import BadRequest
from api.http.fields import Count, Representation, about
from api.http.requests import number
from api.http.responses import json_answer
from api.http.streams import read_in_lane
from api.service.service import Service
from ledger.proofs.tree import OutsideTree, Tree

T = TypeVar("T")


Hash = Annotated[str, Meta(title="Hash", pattern="^[A-Za-z0-9+/]{43}=$")]


class InclusionProof(Representation, frozen=True):
    leaf: Count
    size: Annotated[int, Meta(ge=1)]
    leaf_hash: Hash
    hashes: Annotated[tuple[Hash, ...], about("From the leaf upwards.")]


class ConsistencyProof(Representation, frozen=True):
    old: Count
    new: Count
    hashes: tuple[Hash, ...]


class Proofs:
    """Handlers of the URLs below `/ledger/`."""

    def __init__(self, service: Service) -> None:
        self._ledger = service.ledger
        self._checkpoints = service.checkpoints
        self._archives = service.archives

    async def checkpoint(self, request: web.Request) -> web.Response:
        """Answer with a checkpoint up to the newest event, signed now."""
        return web.Response(text=await read_in_lane(request, self._checkpoints.sign))

    async def inclusion(self, request: web.Request) -> web.Response:
        """Prove that a leaf is in the tree of a size."""
        leaf, size = number(request, "leaf"), number(request, "size")

        def prove(tree: Tree) -> InclusionProof:
            try:
                hashes = tree.inclusion(leaf, size)
            except OutsideTree as error:
                point = "size" if size > tree.size else "leaf"
                raise BadRequest(str(error), point=point) from error
            leaf_hash = _text(tree.leaf(leaf))
            return InclusionProof(leaf, size, leaf_hash, tuple(map(_text, hashes)))

        return json_answer(await read_in_lane(request, lambda: self._asked(prove)))

    async def consistency(self, request: web.Request) -> web.Response:
        """Prove that the tree of one size begins with that of another."""
        old, new = number(request, "old"), number(request, "new")

        def prove(tree: Tree) -> ConsistencyProof:
            try:
                hashes = tree.consistency(old, new)
            except OutsideTree as error:
                point = "new" if new > tree.size else "old"
                raise BadRequest(str(error), point=point) from error
            return ConsistencyProof(old, new, tuple(map(_text, hashes)))

        return json_answer(await read_in_lane(request, lambda: self._asked(prove)))

    def _asked(self, question: Callable[[Tree], T]) -> T:
        with self._ledger.log() as log:
            return question(Tree(log, self._archives))


def _text(node: bytes) -> str:
    return b64encode(node).decode()
