"""Merkle trees after RFC 6962, section 2.1: roots and proofs.

A tree is given by its complete subtrees, so that a proof over millions of leaves needs only a few.
"""

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

Complete = Callable[[int, int], bytes]
"""Returns the root of complete subtree `index` of `2 ** height` leaves, by (height, index)."""


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def complete_root(nodes: Sequence[bytes]) -> bytes:
    """Return the root over nodes of one height; their number is a power of two."""
    level = list(nodes)
    assert level, "a subtree has a node"
    while len(level) > 1:
        level = [node_hash(*pair) for pair in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def over(leaves: Sequence[bytes]) -> Complete:
    """Return the subtrees of a tree whose leaf hashes are all given."""
    return lambda height, index: complete_root(leaves[index << height : (index + 1) << height])


# Making proofs


def root(size: int, complete: Complete) -> bytes:
    """Return the root of the tree of the first `size` leaves."""
    return _subtree(0, size, complete) if size else EMPTY


def inclusion_proof(index: int, size: int, complete: Complete) -> list[bytes]:
    """Prove that a leaf is in the tree of the first `size`: its siblings, from the leaf upwards."""
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
    """Prove that the tree of the first `new` leaves begins with that of the first `old`."""
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
    """Return the largest power of two below a size of at least two: the left subtree's size."""
    return 1 << (size - 1).bit_length() - 1


def _subtree(first: int, end: int, complete: Complete) -> bytes:
    """Return the root over some leaves; all but the subtrees on its right edge are complete."""
    size = end - first
    if size.bit_count() == 1:
        height = size.bit_length() - 1
        return complete(height, first >> height)
    middle = first + _split(size)
    return node_hash(_subtree(first, middle, complete), _subtree(middle, end, complete))
