"""Copies that leave room for the ledger: how large their steps are, and whose turn it is."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from ledger.images import copy
from ledger.images.background_sync import Checkpoint
from ledger.images.errors import CopyStopped
from ledger.images.steps import IN_USE_S, BesideCommits, leaves_room
from tests.images.copies import PAGE, copied, padded_sha256, sha256, striped_file
from tests.support.wait import PATIENCE_S, wait_for


class Commits:
    """A ledger that is in use, or not, and commits as long as the test says."""

    def __init__(self, unasked_s: float) -> None:
        self.unasked_s = unasked_s
        self.paused = threading.Event()
        self.paused.set()
        self.awaited = 0

    def await_pause(self, most_s: float) -> None:
        self.awaited += 1
        assert self.paused.wait(PATIENCE_S)


@pytest.mark.parametrize(("unasked_s", "expected"), [(0.0, True), (IN_USE_S, False)])
def test_steps_are_small_while_the_ledger_is_in_use(unasked_s: float, *, expected: bool) -> None:
    assert leaves_room(unasked_s) == expected
    with BesideCommits(Commits(unasked_s)).step() as durable:
        assert durable == expected


@contextmanager
def held(steps: BesideCommits) -> Iterator[None]:
    """Hold a step, in a thread of its own, until the block is left."""
    begun, end = threading.Event(), threading.Event()

    def hold() -> None:
        with steps.step():
            begun.set()
            assert end.wait(PATIENCE_S)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(PATIENCE_S)
    try:
        yield
    finally:
        end.set()
        thread.join()


def _that_many_wait(commits: Commits, steps: BesideCommits, number: int) -> Callable[[], bool]:
    return lambda: commits.awaited + len(steps.turns.waiting) == number


def test_small_steps_of_copies_follow_each_other_in_turn() -> None:
    """A copy that has just had a turn waits for all that waited before."""
    commits = Commits(0.0)
    steps, order = BesideCommits(commits), list[str]()

    def copy_twice(name: str) -> None:
        for _ in range(2):
            with steps.step():
                order.append(name)

    threads = [threading.Thread(target=copy_twice, args=(name,)) for name in "ab"]
    commits.paused.clear()
    for number, thread in enumerate(threads, 1):
        thread.start()
        wait_for("it waits", _that_many_wait(commits, steps, number))
    commits.paused.set()
    for thread in threads:
        thread.join()
    assert order == ["a", "b", "a", "b"]


def test_large_steps_overlap() -> None:
    steps = BesideCommits(Commits(IN_USE_S))
    with held(steps), held(steps):
        pass


def test_no_step_begins_while_the_ledger_commits() -> None:
    commits = Commits(0.0)
    steps, begun = BesideCommits(commits), threading.Event()

    def step() -> None:
        with steps.step():
            assert commits.paused.is_set()
            begun.set()

    commits.paused.clear()
    thread = threading.Thread(target=step)
    thread.start()
    wait_for("the step waits", lambda: commits.awaited == 1)
    assert not begun.is_set()
    commits.paused.set()
    thread.join()
    assert begun.is_set()


def test_a_copy_in_small_steps_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is durable before the next begins. Checkpoints are those of large steps."""
    source, part = tmp_path / "source", tmp_path / "part"
    stripe = 16 * PAGE
    size = striped_file(source, stripes=6, stripe=stripe)
    monkeypatch.setattr(copy, "STEP_BYTES", 2 * stripe)
    monkeypatch.setattr(copy, "CHECKPOINT_BYTES", 3 * stripe)
    large = copied(source, tmp_path / "other", size=size + PAGE)
    done: list[str] = []
    sync = os.fdatasync

    def note(fd: int) -> None:
        if threading.current_thread() is threading.main_thread():  # not that of a checkpoint
            done.append("sync")
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", note)
    small = copied(
        source,
        part,
        size=size + PAGE,
        on_moved=lambda _: done.append("moved"),
        steps=BesideCommits(Commits(0.0)),
    )
    assert small == large
    assert padded_sha256(source, size + PAGE) == padded_sha256(part, size + PAGE)
    assert done == ["moved", "moved", "sync"] * 3


def test_a_copy_in_small_steps_resumes_at_any_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, part = tmp_path / "source", tmp_path / "part"
    striped_file(source, stripes=6)
    monkeypatch.setattr(copy, "STEP_BYTES", 20 * PAGE)
    monkeypatch.setattr(copy, "CHECKPOINT_BYTES", 16 * PAGE)
    steps, stop, moves = BesideCommits(Commits(0.0)), threading.Event(), count(1)

    def stop_after_four(_: int) -> None:
        if next(moves) == 4:
            stop.set()

    seen: list[Checkpoint] = []
    with pytest.raises(CopyStopped):
        copied(
            source,
            part,
            on_checkpoint=seen.append,
            on_moved=stop_after_four,
            stop=stop,
            steps=steps,
        )
    left = part.read_bytes()
    for resume in seen:
        part.write_bytes(left)
        assert copied(source, part, resume=resume, steps=steps)[-1].bytes_done == 6 * 16 * PAGE
        assert sha256(part) == sha256(source)
    assert seen[-1].bytes_done == 4 * 16 * PAGE
