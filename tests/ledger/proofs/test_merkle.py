"""The tree and its proofs are those of RFC 6962, and a client finds out whatever was changed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle import tree as merkle
from tests.ledger.proofs import client, naive

MOST = 64
LEAVES = [naive.leaf(bytes([nth])) for nth in range(MOST)]
TREE = merkle.over(LEAVES)
ROOTS = [naive.root(LEAVES[:size]) for size in range(MOST + 1)]

# The leaves and roots that certificate transparency's implementations test themselves with.
KNOWN_LEAVES = [
    naive.leaf(bytes.fromhex(data))
    for data in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
KNOWN_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
KNOWN_PATHS = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}


@pytest.mark.parametrize("size", range(len(KNOWN_ROOTS)))
def test_known_roots(size: int) -> None:
    """A tree of the known leaves has the root that everybody else finds."""
    assert merkle.root(size, merkle.over(KNOWN_LEAVES)).hex() == KNOWN_ROOTS[size]


@pytest.mark.parametrize(("index", "size"), KNOWN_PATHS)
def test_known_inclusion_proofs(index: int, size: int) -> None:
    """And so have the known paths."""
    found = merkle.inclusion_proof(index, size, merkle.over(KNOWN_LEAVES))
    assert [node.hex() for node in found] == KNOWN_PATHS[index, size]


@pytest.mark.parametrize("size", range(MOST + 1))
def test_roots_are_those_of_the_definition(size: int) -> None:
    assert merkle.root(size, TREE) == ROOTS[size]


def test_every_inclusion_proof_is_that_of_the_definition_and_verifies() -> None:
    """Of all leaves in all trees of up to 64."""
    for size in range(1, MOST + 1):
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, TREE)
            assert proof == naive.path(index, LEAVES[:size])
            assert client.verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])


def test_every_consistency_proof_is_that_of_the_definition_and_verifies() -> None:
    """Of all pairs of trees of up to 64 leaves."""
    for new in range(1, MOST + 1):
        for old in range(1, new + 1):
            proof = merkle.consistency_proof(old, new, TREE)
            assert proof == naive.proof(old, LEAVES[:new])
            assert client.verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)


def test_every_tree_begins_with_the_empty_one() -> None:
    """Nothing is needed to show it, and nothing may be given for it."""
    for new in range(MOST + 1):
        assert merkle.consistency_proof(0, new, TREE) == []
        assert client.verify_consistency(0, new, merkle.EMPTY, ROOTS[new], [])
        assert not client.verify_consistency(0, new, ROOTS[1], ROOTS[new], [])
        assert not client.verify_consistency(0, new, merkle.EMPTY, ROOTS[new], [ROOTS[1]])
    assert not client.verify_consistency(0, 0, merkle.EMPTY, ROOTS[1], [])


def test_no_proof_is_good_for_another_tree() -> None:
    """An old checkpoint's proof says nothing about any other."""
    for size in range(2, MOST + 1):
        proof = merkle.inclusion_proof(size // 2, size, TREE)
        for other in {*range(MOST + 1)} - {size}:
            assert not client.verify_inclusion(
                LEAVES[size // 2], size // 2, other, proof, ROOTS[other]
            )


def test_a_proof_that_is_too_short_for_the_size_proves_nothing() -> None:
    """Though its hashes come to the root: that is the root of a smaller tree."""
    assert client.verify_inclusion(LEAVES[0], 0, 1, [], ROOTS[1])
    assert not client.verify_inclusion(LEAVES[0], 0, 2, [], ROOTS[1])
    short = merkle.consistency_proof(1, 2, TREE)
    assert client.verify_consistency(1, 2, ROOTS[1], ROOTS[2], short)
    assert not client.verify_consistency(1, 3, ROOTS[1], ROOTS[2], short)


sizes = st.integers(1, MOST)
bits = st.integers(0, merkle.HASH_BYTES * 8 - 1)


def flipped(node: bytes, bit: int) -> bytes:
    return (int.from_bytes(node) ^ 1 << bit).to_bytes(merkle.HASH_BYTES)


@given(st.data(), sizes, bits)
def test_a_changed_bit_fails_inclusion(data: st.DataObject, size: int, bit: int) -> None:
    """In the leaf, the root, the index or any hash of the proof; and so does a hash too many."""
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, TREE)
    leaf, root = LEAVES[index], ROOTS[size]
    assert client.verify_inclusion(leaf, index, size, proof, root)
    assert not client.verify_inclusion(flipped(leaf, bit), index, size, proof, root)
    assert not client.verify_inclusion(leaf, index, size, proof, flipped(root, bit))
    for changed in range(7):
        assert not client.verify_inclusion(leaf, index ^ 1 << changed, size, proof, root)
    for nth in range(len(proof)):
        bad = [*proof[:nth], flipped(proof[nth], bit), *proof[nth + 1 :]]
        assert not client.verify_inclusion(leaf, index, size, bad, root)
        assert not client.verify_inclusion(leaf, index, size, proof[:nth], root)
    assert not client.verify_inclusion(leaf, index, size, [*proof, root], root)


@given(st.data(), sizes, bits)
def test_a_changed_bit_fails_consistency(data: st.DataObject, new: int, bit: int) -> None:
    """In either root or any hash of the proof, and where a size is changed, with its true root."""
    old = data.draw(st.integers(1, new))
    proof = merkle.consistency_proof(old, new, TREE)
    assert client.verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)
    assert not client.verify_consistency(old, new, flipped(ROOTS[old], bit), ROOTS[new], proof)
    assert not client.verify_consistency(old, new, ROOTS[old], flipped(ROOTS[new], bit), proof)
    for other in range(1, MOST + 1):
        if other != old:
            assert not client.verify_consistency(other, new, ROOTS[other], ROOTS[new], proof)
        if other != new:
            assert not client.verify_consistency(old, other, ROOTS[old], ROOTS[other], proof)
    for nth in range(len(proof)):
        bad = [*proof[:nth], flipped(proof[nth], bit), *proof[nth + 1 :]]
        assert not client.verify_consistency(old, new, ROOTS[old], ROOTS[new], bad)
        assert not client.verify_consistency(old, new, ROOTS[old], ROOTS[new], proof[:nth])
    assert not client.verify_consistency(old, new, ROOTS[old], ROOTS[new], [*proof, ROOTS[1]])


def test_neighbours_are_consistent_only_in_order() -> None:
    """The newer tree is never the beginning of the older."""
    for old, new in pairwise(range(1, MOST)):
        proof = merkle.consistency_proof(old, new, TREE)
        assert not client.verify_consistency(new, old, ROOTS[new], ROOTS[old], proof)
