"""The order of a run: the same for the same seed; long parts first."""

from typing import NamedTuple

import pytest

from tests.harness import order


class Item(NamedTuple):
    """A test, as far as the order needs it."""

    nodeid: str


def items(**files: int) -> list[Item]:
    return [Item(f"{file}.py::{nth:02}") for file, count in files.items() for nth in range(count)]


def shuffled(seed: int) -> list[Item]:
    tests = items(a=20, b=20)
    order.shuffle(tests, seed)  # type: ignore[arg-type]
    return tests


def test_a_seed_repeats_its_order() -> None:
    """Files stay together: what is made once for a file is."""
    assert shuffled(7) == shuffled(7)
    assert shuffled(7) != shuffled(8)
    assert sorted(shuffled(7)) == items(a=20, b=20)
    files = [test.nodeid[0] for test in shuffled(7)]
    assert files in (["a"] * 20 + ["b"] * 20, ["b"] * 20 + ["a"] * 20)


def test_long_parts_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long file is divided, each part in its own order."""
    recorded = {"short.py": 2.0, "long.py": 2.5 * order.PART_S}
    monkeypatch.setattr(order, "recorded_seconds", lambda: recorded)
    tests = items(short=2, long=6)
    order.put_longest_first(tests)  # type: ignore[arg-type]
    assert tests == items(long=6, short=2)
    divided = [part for _, part in order.parts([test.nodeid for test in tests])]
    assert [len(part) for part in divided] == [2, 2, 2, 2]


def test_seeds_differ_by_test_and_run() -> None:
    assert order.seed_of("one", 1) == order.seed_of("one", 1)
    assert len({order.seed_of(test, run) for test in ("one", "other") for run in range(10)}) == 20


def test_a_test_draws_from_its_seed(seed: int, request: pytest.FixtureRequest) -> None:
    assert seed == order.seed_of(request.node.nodeid, request.config.option.seed)
