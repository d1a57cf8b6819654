"""The reference says what the code says."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_reference_is_current() -> None:
    """`scripts/reference.py > api/REFERENCE.md` renews it."""
    done = subprocess.run(
        [sys.executable, "scripts/reference.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.stdout == (ROOT / "api" / "REFERENCE.md").read_text(encoding="utf-8")
