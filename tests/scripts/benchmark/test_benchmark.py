"""The benchmark runs, and says what it found in a form that programs read."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.wait import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]
FIELDS = {"name", "value", "unit", "floor", "ratio", "at_least", "p50_ms", "p99_ms", "note"}


LATENCIES = ("frame", "get-beside-subscribers", "proof")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Some of all kinds, by name, of one quick run that leaves no file and no process."""
    directory = tmp_path_factory.mktemp("quick")
    names = ["updates", "copy", *LATENCIES, "archive-short"]
    only = [word for name in names for word in ("--only", name)]
    done = _run(directory, "--quick", *only, "--json")
    assert done.returncode == 0, done.stderr
    assert list(directory.iterdir()) == []
    found = {row["name"]: row for row in json.loads(done.stdout)}
    assert sorted(found) == sorted(names)
    return found


def test_quick_rows_are_well_formed(rows: dict[str, Any]) -> None:
    """Each row asked for has a number, its floor and their ratio."""
    for row in (rows["updates"], rows["copy"]):
        assert row.keys() == FIELDS
        assert row["value"] > 0
        assert row["floor"] > 0
        assert abs(row["ratio"] - row["value"] / row["floor"]) < 1e-9
        assert row["note"].startswith("misses its aim") == (row["ratio"] < row["at_least"])
    assert 0 < rows["updates"]["p50_ms"] <= rows["updates"]["p99_ms"]
    assert rows["copy"]["p99_ms"] is None
    assert "holes kept" in rows["copy"]["note"]


def test_quick_rows_of_latencies(rows: dict[str, Any]) -> None:
    """Frames, GETs beside a crowd, and proofs are shown beside their floors likewise."""
    assert all(rows[name]["value"] > 0 and rows[name]["floor"] > 0 for name in LATENCIES)
    assert rows["frame"]["value"] == rows["frame"]["p50_ms"] <= rows["frame"]["p99_ms"]
    assert "idle subscribers" in rows["get-beside-subscribers"]["note"]
    assert "300,000 leaves" in rows["proof"]["note"]


def test_quick_row_of_an_archive(rows: dict[str, Any]) -> None:
    """What an archive takes is shown beside what its events took in the store; less is better."""
    row = rows["archive-short"]
    assert row["unit"] == "bytes/event"
    assert 0 < row["value"] < row["floor"]
    assert abs(row["ratio"] - row["floor"] / row["value"]) < 1e-9
    assert row["ratio"] >= row["at_least"] == 8
    assert "read back and checked" in row["note"]


def test_only_what_there_is_can_be_measured(tmp_path: Path) -> None:
    done = _run(tmp_path, "--only", "everything")
    assert done.returncode == 2
    assert "updates-library" in done.stderr


def _run(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "benchmark.py"), *arguments],
        env={**os.environ, "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * PATIENCE_S,
    )
