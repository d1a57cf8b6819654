"""Merkle trees after RFC 6962, section 2.1: roots, proofs, and what a client does with these.

A tree is given by its complete subtrees, so that a proof out of millions of leaves takes a few of
them. Verification has nothing but the proof, after RFC 9162, sections 2.1.3.2 and 2.1.4.2. It
holds a proof against a root *and* a size: they belong together only because a signature says so.
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


# Verifying them


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether the proof shows that this leaf hash has this index in the tree of this root."""
    if not 0 <= index < size:
        return False
    node, last = index, size - 1
    found = leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows that the tree of the new root begins with that of the old one."""
    if not 0 <= old <= new:
        return False
    if old == 0:
        return not proof and old_root == EMPTY and (new > 0 or new_root == EMPTY)
    if old == new:
        return not proof and old_root == new_root
    if not proof:
        return False
    path = [old_root, *proof] if old.bit_count() == 1 else list(proof)
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    found_old = found_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            found_old = node_hash(sibling, found_old)
            found_new = node_hash(sibling, found_new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found_new = node_hash(found_new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found_old == old_root and found_new == new_root
