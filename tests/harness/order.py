"""Which test runs where and when: long files in parts, longest first, or everything shuffled."""

import hashlib
import json
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

RECORDED = Path(__file__).with_name("durations.json")
"""Seconds that each file took when `--record-durations` was last given, for the order alone."""
PART_S = 80.0
"""A file that takes longer is divided among processes, each of which makes its fixtures anew."""
UNKNOWN_S = 5.0


def shuffle(items: list[pytest.Item], seed: int) -> None:
    """Shuffle the files, and the tests of each, in the same way in every process."""
    files = list(_by_file(items).values())
    chance = random.Random(seed)  # noqa: S311 - an order, no secret
    chance.shuffle(files)
    for tests in files:
        chance.shuffle(tests)
    items[:] = [item for tests in files for item in tests]


def put_longest_first(items: list[pytest.Item]) -> None:
    """Begin with the longest parts, so that the end of the run does not wait for one alone."""
    by_id = {item.nodeid: item for item in items}
    longest_first = sorted(parts(list(by_id)), key=lambda part: -part[0])
    items[:] = [by_id[nodeid] for _, tests in longest_first for nodeid in tests]


def seed_of(nodeid: str, seed: int) -> int:
    """Return the seed of one test in a run with this seed."""
    return int.from_bytes(hashlib.sha256(f"{seed} {nodeid}".encode()).digest()[:4])


class Scheduling(LoadScopeScheduling):
    """Gives each process one part of a file after another, in the order of the tests."""

    def schedule(self) -> None:
        self.config.option.loadscopereorder = False  # they are in order
        if self.collection is None:
            collected = next(iter(self.registered_collections.values()))
            self._part_of = {
                nodeid: f"part {number}"
                for number, (_, tests) in enumerate(parts(collected))
                for nodeid in tests
            }
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self._part_of[nodeid]


class Durations:
    """Adds up how long each file takes, and records it at the end."""

    def __init__(self) -> None:
        self._taken: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not isinstance(report, pytest.SubtestReport):
            self._taken[_file(report.nodeid)] += report.duration

    def pytest_sessionfinish(self) -> None:
        rounded = {file: round(taken, 1) for file, taken in sorted(self._taken.items())}
        RECORDED.write_text(json.dumps(rounded, indent=0) + "\n")


def recorded_seconds() -> dict[str, float]:
    recorded: dict[str, float] = json.loads(RECORDED.read_text())
    return recorded


def parts(nodeids: Sequence[str]) -> list[tuple[float, list[str]]]:
    """Divide the tests of each file; return each part with the seconds that it takes."""
    recorded = recorded_seconds()
    files: defaultdict[str, list[str]] = defaultdict(list)
    for nodeid in nodeids:
        files[_file(nodeid)].append(nodeid)
    divided = []
    for file, tests in files.items():
        takes_s = recorded.get(file, UNKNOWN_S)
        count = max(1, min(len(tests), math.ceil(takes_s / PART_S)))
        size = math.ceil(len(tests) / count)
        slices = [tests[start : start + size] for start in range(0, len(tests), size)]
        divided += [(takes_s / len(slices), part) for part in slices]
    return divided


def _by_file(items: Sequence[pytest.Item]) -> dict[str, list[pytest.Item]]:
    files: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        files[_file(item.nodeid)].append(item)
    return files


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
