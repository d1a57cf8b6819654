"""Whatever somebody does to a ledger or its archives is found by who has kept a checkpoint."""

import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from random import Random

import pytest

from ledger.proofs.verification import CannotVerify
from tests.ledger.proofs.histories import History, Sealed, verified
from tests.ledger.proofs.tampering import IN_ANY_LEDGER, WITH_ARCHIVES, WITH_NODES, Tamper

SEEDS, LONG_SEEDS = 2, 20


def _young(history: History) -> None:
    """A tile that is not full, and no archive."""
    history.jobs(20)
    history.tile()
    history.jobs(3)


def _grown(history: History) -> None:
    """Several tiles, the newest not made yet."""
    history.jobs(90)
    history.tile()
    history.jobs(50)


def _compacted(history: History) -> None:
    """Two archives, tiles that were dropped, and events that came after."""
    history.jobs(100)
    history.discard(90)
    history.compact()
    history.jobs(30)
    history.discard()
    history.compact()
    history.jobs(20)
    history.tile()
    history.jobs(1)


def _compacting(history: History) -> None:
    """One archive, and another whose events are being deleted."""
    history.jobs(100)
    history.discard(60)
    history.compact()
    history.discard(30)
    history.begin_compaction(100)


def _restored(history: History) -> None:
    history.jobs(70)
    history.restore(2)
    history.jobs(3)
    history.tile()


Make = Callable[[History], None]
WITHOUT: tuple[Make, ...] = (_young, _grown, _restored)
WITH: tuple[Make, ...] = (_compacted, _compacting)


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> dict[Make, Sealed]:
    return {make: sealed(tmp_path_factory.mktemp("ledger"), make) for make in (*WITHOUT, *WITH)}


def sealed(directory: Path, make: Make) -> Sealed:
    history = History(directory / "data")
    make(history)
    history.close()
    shutil.copytree(history.data, directory / "older")
    history = History(directory / "data", 90_000)
    history.jobs(2)
    checkpoint = history.checkpoint()
    history.close()
    return Sealed(history.data, directory / "older", checkpoint)


CASES = [
    *product((*WITHOUT, *WITH), IN_ANY_LEDGER),
    *product((*WITHOUT[1:], *WITH), WITH_NODES),
    *product(WITH, WITH_ARCHIVES),
]


@pytest.mark.parametrize(("make", "tamper"), CASES, ids=lambda it: it.__name__.strip("_"))
@pytest.mark.thorough
def test_all_tampering_is_found(
    ledgers: dict[Make, Sealed],
    tmp_path: Path,
    pytestconfig: pytest.Config,
    make: Make,
    tamper: Tamper,
) -> None:
    """Every way to do it, in every ledger it can be done to."""
    assert len(CASES) * SEEDS >= 200
    for seed in range(LONG_SEEDS if pytestconfig.getoption("--long") else SEEDS):
        with ledgers[make].copy(tmp_path / "data") as copy:
            tamper(copy, Random(seed))  # noqa: S311 - a test's
            assert is_found(copy), f"seed {seed}"


@pytest.mark.parametrize("make", [*WITHOUT, *WITH], ids=lambda it: it.__name__.strip("_"))
def test_without_it_nothing_is(ledgers: dict[Make, Sealed], make: Make) -> None:
    found = verified(ledgers[make].data, ledgers[make].checkpoint)
    assert (found.findings, found.unchecked) == ((), 0)


def is_found(copy: Sealed) -> bool:
    try:
        found = verified(copy.data, copy.checkpoint)
    except CannotVerify:
        return True
    return not found.intact or found.unchecked > 0
