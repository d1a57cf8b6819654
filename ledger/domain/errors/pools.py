"""Why no pool can take an image."""

from collections.abc import Iterable

from ledger.domain.errors import Invalid, Refusal, WrongState


class PoolsApart(WrongState):
    """No worker has both pools, so nothing can be copied from one to the other."""

    point = "storage_type"
    needs_pool = True

    def __init__(self, source: str, destination: str) -> None:
        super().__init__(
            f"nothing can be copied from pool {source} to pool {destination}: no worker has both;"
            f" start one that has, or clone within {source}"
        )


class NoPools(Refusal):
    """No worker has reported a pool yet, or none has for a long time."""

    needs_pool = True

    def __init__(self) -> None:
        super().__init__("no worker is there yet that has a pool for images: try again in a moment")


class PoolsFull(Refusal):
    """All pools in which the image could be are so full that what is left must stay free."""

    point = "storage_type"
    needs_pool = True

    def __init__(self, pool: str, storage_type: str) -> None:
        super().__init__(
            f"pool {pool} is full, and so is every other that could be used of storage type"
            f" {storage_type}: delete drives there, or choose another storage type"
        )


class PoolSilent(Refusal):
    """The pool has not answered for too long, so whoever needs it is refused."""

    needs_pool = True

    def __init__(self, pool: str) -> None:
        super().__init__(f"pool {pool} does not answer in time: try again later")
        self.pool = pool


class NotMeasured(Refusal):
    """It is not known how much data these images have: the caller reads that, and asks again."""

    def __init__(self, images: tuple[tuple[str, str], ...]) -> None:
        """`images` are pools and drives."""
        super().__init__("images must be measured first")
        self.images = images


class PoolElsewhere(WrongState):
    """The node that receives an image has no pool mounted that the image could be stored in."""

    point = "storage_type"

    def __init__(self, pool: str, storage_type: str) -> None:
        super().__init__(
            f"pool {pool} is not mounted on this node, nor is another of storage type"
            f" {storage_type}: send the image to a node that has one"
        )


class UnknownStorageType(Invalid):
    """No pool has this storage type."""

    point = "storage_type"
    needs_pool = True

    def __init__(self, storage_type: str, known: Iterable[str]) -> None:
        super().__init__(
            f"no pool has storage type {storage_type}; there is {', '.join(sorted(set(known)))}"
        )
