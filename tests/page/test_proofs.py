"""The page verifies as the ledger signs and proves: by its own code, in a real browser."""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from playwright.sync_api import Page

from ledger.merkle.signed_note import Checkpoint, Signer
from ledger.merkle.tree import consistency_proof, over, root
from tests.acceptance.running import Server
from tests.page.browsing import Watched

LEAVES = [hashlib.sha256(bytes([nth])).digest() for nth in range(33)]
TREES = over(LEAVES)


@pytest.fixture
def verify(server: Server, watch: Callable[..., Watched]) -> Callable[[str, Any], Any]:
    """Calls an expression of what `proofs.js` exports, with one argument."""
    page: Page = watch(server.api.address).page
    page.goto("/")
    module = 'await import("/page/proofs.js")'
    return lambda expression, given: page.evaluate(
        f"async (given) => {{ const proofs = {module}; return {expression}; }}", given
    )


def checkpoint_of(size: int) -> Checkpoint:
    return Checkpoint("job-ledger/test", size, root(size, TREES), 0, size)


def test_every_key_that_signs_is_read(verify: Callable[[str, Any], Any]) -> None:
    """Also those with plus signs, which part a verifier key as well."""
    text = checkpoint_of(5).text()
    signers = [Signer("job-ledger/test", bytes([nth] * 32)) for nth in range(64)]
    given = [(signer.sign(text), str(signer.verifier)) for signer in signers]
    assert any(verifier.count("+") > 3 for _, verifier in given)
    signed = "Promise.all(given.map(([note, key]) => proofs.isSigned(proofs.parsed(note), key)))"
    assert verify(signed, given) == [True] * len(given)
    swapped = [(note, given[nth - 1][1]) for nth, (note, _) in enumerate(given)]
    assert verify(signed, swapped) == [False] * len(given)
    changed = [(note.replace("\n5\n", "\n6\n"), verifier) for note, verifier in given]
    assert verify(signed, changed) == [False] * len(given)


def test_every_pair_of_trees_is_judged_as_it_is(verify: Callable[[str, Any], Any]) -> None:
    """Each proof of up to 33 leaves holds; with one hash changed, cut or added it does not."""
    continued = """Promise.all(given.map(([older, newer, hashes]) =>
        proofs.isContinued(proofs.parsed(older), proofs.parsed(newer), hashes)))"""
    signer = Signer("job-ledger/test", bytes(32))
    notes = [signer.sign(checkpoint_of(size).text()) for size in range(len(LEAVES) + 1)]

    def judged(pairs: Sequence[tuple[int, int, list[bytes]]]) -> list[bool]:
        found: list[bool] = verify(
            continued,
            [
                (notes[old], notes[new], [b64encode(each).decode() for each in hashes])
                for old, new, hashes in pairs
            ],
        )
        return found

    sizes = range(len(LEAVES) + 1)
    right = [
        (old, new, consistency_proof(old, new, TREES)) for new in sizes for old in range(new + 1)
    ]
    assert judged(right) == [True] * len(right)
    wrong = [(old, new, [*hashes, bytes(32)]) for old, new, hashes in right]
    wrong += [(new, old, hashes) for old, new, hashes in right if old != new]
    for old, new, hashes in right:
        if hashes:
            wrong.append((old, new, hashes[:-1]))
            wrong += [
                (old, new, [*hashes[:nth], bytes(32), *hashes[nth + 1 :]])
                for nth in range(len(hashes))
            ]
    assert judged(wrong) == [False] * len(wrong)
