"""The benchmark runs, and says what it found in a form that programs read."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.wait import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]
FIELDS = {"name", "value", "unit", "floor", "ratio", "at_least", "p50_ms", "p99_ms", "note"}


def test_quick_rows_are_well_formed(tmp_path: Path) -> None:
    """Each row asked for has a number, its floor and their ratio; no file and no process stays."""
    done = _run(tmp_path, "--quick", "--only", "updates", "--only", "copy", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["name"] for row in rows] == ["updates", "copy"]
    for row in rows:
        assert row.keys() == FIELDS
        assert row["value"] > 0
        assert row["floor"] > 0
        assert abs(row["ratio"] - row["value"] / row["floor"]) < 1e-9
        assert row["note"].startswith("misses its aim") == (row["ratio"] < row["at_least"])
    assert 0 < rows[0]["p50_ms"] <= rows[0]["p99_ms"]
    assert rows[1]["p99_ms"] is None
    assert "holes kept" in rows[1]["note"]
    assert list(tmp_path.iterdir()) == []


def test_quick_rows_of_latencies(tmp_path: Path) -> None:
    """Frames, GETs beside a crowd, and proofs are shown beside their floors likewise."""
    names = ["frame", "get-beside-subscribers", "proof"]
    only = [word for name in names for word in ("--only", name)]
    done = _run(tmp_path, "--quick", *only, "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert list(rows) == names
    assert all(row["value"] > 0 and row["floor"] > 0 for row in rows.values())
    assert rows["frame"]["value"] == rows["frame"]["p50_ms"] <= rows["frame"]["p99_ms"]
    assert "idle subscribers" in rows["get-beside-subscribers"]["note"]
    assert "300,000 leaves" in rows["proof"]["note"]
    assert list(tmp_path.iterdir()) == []


def test_quick_row_of_an_archive(tmp_path: Path) -> None:
    """What an archive takes is shown beside what its events took in the store; less is better."""
    done = _run(tmp_path, "--quick", "--only", "archive-short", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["unit"] == "bytes/event"
    assert 0 < row["value"] < row["floor"]
    assert abs(row["ratio"] - row["floor"] / row["value"]) < 1e-9
    assert row["ratio"] >= row["at_least"] == 8
    assert "read back and checked" in row["note"]
    assert list(tmp_path.iterdir()) == []


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
