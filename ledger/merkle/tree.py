"""Merkle trees after RFC 6962, section 2.1: roots and proofs.

A tree is given by its complete subtrees, so that a proof out of millions of leaves takes a few of
them.
"""

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

Complete = Callable[[int, int], bytes]
"""The root of the `nth` complete subtree of `2 ** height` leaves, by (height, nth)."""


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def complete_root(nodes: Sequence[bytes]) -> bytes:
    """The root over as many nodes of one height as are a power of two."""
    level = list(nodes)
    assert level, "a subtree has a node"
    while len(level) > 1:
        level = [node_hash(*pair) for pair in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def over(leaves: Sequence[bytes]) -> Complete:
    """The subtrees of a tree whose leaf hashes are all at hand."""
    return lambda height, nth: complete_root(leaves[nth << height : (nth + 1) << height])


# Making proofs


def root(size: int, complete: Complete) -> bytes:
    """The root of the tree of the first `size` leaves."""
    return _subtree(0, size, complete) if size else EMPTY


def inclusion_proof(index: int, size: int, complete: Complete) -> list[bytes]:
    """That this leaf is in the tree of the first `size`: its siblings, from the leaf upwards."""
    assert 0 <= index < size
    siblings = []
    first, end = 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((first, middle))
            first = middle
    return [_subtree(*sibling, complete) for sibling in reversed(siblings)]


def consistency_proof(old: int, new: int, complete: Complete) -> list[bytes]:
    """That the tree of the first `new` leaves begins with the one of the first `old`."""
    assert 0 <= old <= new
    if old in {0, new}:
        return []
    siblings = []
    first, end = 0, new
    while end != old:
        middle = first + _split(end - first)
        if old <= middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((first, middle))
            first = middle
    if first:  # else the client has it: it is the old root
        siblings.append((first, end))
    return [_subtree(*sibling, complete) for sibling in reversed(siblings)]


def _split(size: int) -> int:
    """The largest power of two below a size of two or more: where the left subtree ends."""
    return 1 << (size - 1).bit_length() - 1


def _subtree(first: int, end: int, complete: Complete) -> bytes:
    """The root over the leaves from `first` on; all but the subtrees at its right are complete."""
    size = end - first
    if size.bit_count() == 1:
        height = size.bit_length() - 1
        return complete(height, first >> height)
    middle = first + _split(size)
    return node_hash(_subtree(first, middle, complete), _subtree(middle, end, complete))
