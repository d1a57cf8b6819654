"""Resumes an interrupted long run: what has passed is kept and left out."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
KEPT = "job-ledger/long-run"
"""Where pytest's cache holds what passed, for one state of the files."""


class LongRun:
    """Leaves out tests that passed since the files last changed, and reports the total."""

    def __init__(self, config: pytest.Config) -> None:
        self._cache = config.cache
        self._seed = config.option.seed
        self._state = _state_of_files()
        kept = self._cache.get(KEPT, {})
        same = kept.get("state") == self._state
        self._passed: dict[str, dict[str, Any]] = kept["passed"] if same else {}

    @property
    def passed(self) -> list[str]:
        return list(self._passed)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep each test as it passes: the run may be interrupted at any moment."""
        is_part = isinstance(report, pytest.SubtestReport)
        if is_part or report.when != "call" or not report.passed:
            return
        self._passed[report.nodeid] = {
            "seed": self._seed,
            "seconds": round(report.duration, 1),
            "told": [f"{name} {value}" for name, value in report.user_properties],
        }
        self._cache.set(KEPT, {"state": self._state, "passed": self._passed})

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let a run pass in which nothing is left to do."""
        if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._passed:
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        seconds = sum(each["seconds"] for each in self._passed.values())
        seeds = sorted({each["seed"] for each in self._passed.values()})
        terminalreporter.section("long run")
        terminalreporter.line(
            f"{len(self._passed)} tests passed since the files last changed,"
            f" {seconds / 60:.0f} min in all, with seeds {', '.join(map(str, seeds))}"
        )
        for nodeid, each in self._passed.items():
            if each["told"]:
                terminalreporter.line(f"{nodeid}: {', '.join(each['told'])}")


def leave_out(items: list[pytest.Item], passed: list[str], config: pytest.Config) -> None:
    """Deselect tests that have passed."""
    out = set(passed)
    left = [item for item in items if item.nodeid in out]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item.nodeid not in out]


def _state_of_files() -> str:
    """Return a digest of all files that git tracks or would add, as they are now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    digest = hashlib.sha256()
    for name in sorted(set(listed.split(b"\0")) - {b""}):
        path = ROOT / name.decode()
        if path.is_file():
            digest.update(name + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
