"""A ledger that nobody has touched is intact, whatever was done to it by the service."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from ledger.merkle.signed_note import Checkpoint
from ledger.proofs.findings import ForgedRestore, PutBack, Restored
from ledger.proofs.verification import CannotVerify
from tests.ledger.proofs.histories import History, archive_names, signed, verified


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "data")
    yield made
    made.close()


def intact(history: History, *checkpoints: Checkpoint, unchecked: int = 0) -> None:
    for checkpoint in checkpoints:
        found = verified(history.data, checkpoint)
        assert (found.findings, found.intact, found.unchecked) == ((), True, unchecked)
        assert found.stored + found.archived + found.unchecked >= found.size == history.size


def hide_archives(history: History) -> int:
    """Takes them all away; how many there were."""
    names = archive_names(history.data)
    for name in names:
        file = history.archives / f"{name}.jsonl.zst"
        file.rename(history.data / file.name)
    return len(names)


# No false alarm


def test_an_empty_ledger(history: History) -> None:
    intact(history, history.checkpoint())


@pytest.mark.parametrize("jobs", [1, 42, 43, 128, 130])
@pytest.mark.parametrize("is_tiled", [True, False], ids=["tiled", "behind"])
def test_a_ledger_without_archives(history: History, jobs: int, *, is_tiled: bool) -> None:
    """Of one tile and of several, whether they are made yet or not."""
    before = history.checkpoint()
    history.jobs(jobs)
    if is_tiled:
        history.tile()
    signed_then = history.checkpoint()
    history.jobs(2)
    intact(history, before, signed_then, history.checkpoint())


@pytest.mark.thorough
def test_every_size_of_a_checkpoint(history: History) -> None:
    """At the ends of tiles too."""
    seen = []
    for _ in range(90):
        history.jobs(1)
        seen.append(history.checkpoint())
    history.discard(50)
    history.compact()
    intact(history, *seen)


def test_compactions_between_checkpoints(history: History) -> None:
    """Old checkpoints stay provable; that of the newest needs no archive."""
    seen = []
    for _ in range(3):
        history.jobs(100)
        seen.append(history.checkpoint())
        history.discard(90)
        seen.append(history.checkpoint())
        history.compact()
        seen.append(history.checkpoint())
    intact(history, *seen)
    found = verified(history.data, seen[-1])
    assert found.archived == 3 * 90 * 6 + 1 + 3  # two sweeps and the first compaction
    assert hide_archives(history) == 3
    intact(history, seen[-1], unchecked=found.archived)


def test_a_checkpoint_that_ends_in_an_archive_cannot_be_verified_without_it(
    history: History,
) -> None:
    history.jobs(50)
    old = history.checkpoint()
    history.jobs(50)
    history.discard()
    history.compact()
    intact(history, old)
    hide_archives(history)
    with pytest.raises(CannotVerify, match="300 events"):
        verified(history.data, old)


@pytest.mark.parametrize("deleted", [0, 1, 250, 256, 299, 300])
def test_a_compaction_that_is_under_way(history: History, deleted: int) -> None:
    """Events are in the store and in the archive; the archive alone may be missing."""
    history.jobs(60)
    history.discard(50)
    before = history.checkpoint()
    history.begin_compaction(deleted)
    intact(history, before, history.checkpoint())
    hide_archives(history)
    intact(history, history.checkpoint(), unchecked=deleted)


def test_an_archive_that_was_not_recorded(history: History) -> None:
    """A crash left it, or it was being written just then."""
    history.jobs(60)
    history.discard(50)
    history.write_archive_only()
    assert len(archive_names(history.data)) == 1
    intact(history, history.checkpoint())


@pytest.mark.parametrize(
    "seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(6, 200))]
)
@pytest.mark.thorough
def test_random_histories(history: History, seed: int) -> None:
    """Whatever the service has done to it, with its archives and without."""
    chance = random.Random(seed)  # noqa: S311 - a test's
    seen, epoch = [history.checkpoint()], 1
    for _ in range(chance.randrange(4, 16)):
        match chance.choice(["jobs", "jobs", "tile", "discard", "compact", "restore"]):
            case "jobs":
                history.jobs(chance.choice([1, 7, 40, 90]), chance.randrange(4))
            case "tile":
                history.tile()
            case "discard":
                history.discard(chance.choice([1, 20, 100, None]))
            case "compact":
                history.compact()
            case "restore":
                epoch += 1
                history.restore(epoch)
        seen.append(history.checkpoint())
    intact(history, *seen)
    newest = verified(history.data, seen[-1])
    for name in archive_names(history.data):
        if chance.random() < 0.5:
            (history.archives / f"{name}.jsonl.zst").unlink()
    for checkpoint in seen:
        try:
            found = verified(history.data, checkpoint)
        except CannotVerify:
            continue
        assert found.findings == ()
        assert found.archived + found.unchecked == newest.archived


def test_beside_compactions(history: History) -> None:
    """Whatever moment of them it sees, everything is somewhere."""
    history.jobs(100)
    checkpoint = history.checkpoint()

    seen = set()
    enough = Event()

    def compact() -> None:
        while not enough.is_set():
            history.jobs(60)
            history.discard(60)
            history.compact()

    with ThreadPoolExecutor(1) as threads:
        compacting = threads.submit(compact)
        try:
            while len(seen) < 4 and not compacting.done():
                found = verified(history.data, checkpoint)
                assert (found.findings, found.unchecked) == ((), 0)
                seen.add((found.stored, found.archived))
        finally:
            enough.set()
        compacting.result()


# Restores


def test_a_restore_is_no_tampering(history: History) -> None:
    """Checkpoints of what the backup had prove as ever, those of what was lost are said to be."""
    history.jobs(20)
    before = history.checkpoint()
    history.jobs(30)
    backup = history.checkpoint()
    lost = signed(backup._replace(size=backup.size + 33, root=bytes(32)))
    history.restore(2)
    history.jobs(10)
    intact(history, before, backup, history.checkpoint())
    assert verified(history.data, lost).findings == (Restored(2, backup.size, 33),)
    second = history.checkpoint()
    lost = signed(second._replace(size=second.size + 1, root=bytes(32)))
    history.restore(3)
    history.jobs(1)
    intact(history, before, backup, second, history.checkpoint())
    found = verified(history.data, lost)
    assert found.findings == (Restored(3, second.size, 1),)
    assert (found.epoch, found.intact) == (3, False)


def test_a_checkpoint_of_a_later_epoch_shows_an_older_state(history: History) -> None:
    history.jobs(20)
    here = history.checkpoint()
    later = signed(here._replace(epoch=2))
    assert verified(history.data, later).findings == (PutBack(1, here.size),)


def test_a_larger_checkpoint_shows_an_older_state(history: History) -> None:
    history.jobs(20)
    here = history.checkpoint()
    larger = signed(here._replace(size=here.size + 1))
    assert verified(history.data, larger).findings == (PutBack(1, here.size),)


def test_a_restore_that_skips_an_epoch_is_none(history: History) -> None:
    history.jobs(1)
    history.restore(3)
    found = verified(history.data, signed(history.checkpoint()._replace(epoch=1)))
    assert [type(finding) for finding in found.findings] == [ForgedRestore]
    assert found.epoch == 1
