"""A request that its client has named with an `Idempotency-Key`."""

import uuid
from collections.abc import Iterator
from hashlib import blake2b, sha256
from itertools import count

from ledger.domain.idempotency import Claim

_LOW_BITS = 62


class KeyedRequest:
    """What is known of the request while it is read and done."""

    def __init__(self, key: str, about: str, *, seed: str) -> None:
        """`about` says what the request is, but for its body; `seed` is a uuid."""
        self.key = key
        self.recorded = False
        """Whether its command is in the ledger, of this time or of an earlier one."""
        self._seed = seed
        self._hash = sha256(f"{about}\n".encode("utf-8", "surrogatepass"))

    def read(self, part: bytes) -> None:
        """The next part of the body."""
        self._hash.update(part)

    @property
    def claim(self) -> Claim:
        """What is to be recorded once the body has been read."""
        return Claim(self.key, self._hash.digest(), self._seed)

    def resume(self, claim: Claim) -> None:
        """The same was recorded earlier, by a request that was not answered."""
        self._seed = claim.seed
        self.recorded = True

    def ids(self) -> Iterator[str]:
        """Uuids without end, the same ones for the same seed."""
        return derived_ids(self._seed)


def derived_ids(seed: str) -> Iterator[str]:
    """Uuids of version 7 that follow from another one, and share its moment.

    They lie as close together in every index as those that are drawn, and are as hard to guess.
    """
    high = uuid.UUID(seed).int >> 64
    for nth in count(1):
        digest = blake2b(f"{seed}/{nth}".encode(), digest_size=8).digest()
        low = 0b10 << _LOW_BITS | int.from_bytes(digest) >> (64 - _LOW_BITS)
        yield str(uuid.UUID(int=high << 64 | low))
