"""A request with an `Idempotency-Key`."""

import uuid
from collections.abc import Iterator
from hashlib import blake2b, sha256
from itertools import count

from ledger.domain.idempotency import Claim

_LOW_BITS = 62


class KeyedRequest:
    """The state of such a request while it is read and executed."""

    def __init__(self, key: str, about: str, *, seed: str) -> None:
        """`about` is the method and URL of the request; `seed` is a uuid."""
        self.key = key
        self.recorded = False
        """Whether its command is in the ledger, by this request or by an earlier one."""
        self.keeps_answer = True
        """Whether repeats get this answer; otherwise they get the present state."""
        self._seed = seed
        self._hash = sha256(f"{about}\n".encode("utf-8", "surrogatepass"))

    def read(self, part: bytes) -> None:
        """Add the next part of the body to the fingerprint."""
        self._hash.update(part)

    @property
    def claim(self) -> Claim:
        """Return the claim to record, once the body has been read."""
        return Claim(self.key, self._hash.digest(), self._seed)

    def resume(self, claim: Claim) -> None:
        """Take over the claim of an earlier request, which may not have been answered."""
        self._seed = claim.seed
        self.recorded = True

    def ids(self) -> Iterator[str]:
        """Yield uuids without end, the same ones for the same seed."""
        return derived_ids(self._seed)


def derived_ids(seed: str) -> Iterator[str]:
    """Yield uuids of version 7 that follow from another one, and share its time.

    They lie as close together in every index as drawn ones, and are as hard to guess.
    """
    high = uuid.UUID(seed).int >> 64
    for number in count(1):
        digest = blake2b(f"{seed}/{number}".encode(), digest_size=8).digest()
        low = 0b10 << _LOW_BITS | int.from_bytes(digest) >> (64 - _LOW_BITS)
        yield str(uuid.UUID(int=high << 64 | low))
