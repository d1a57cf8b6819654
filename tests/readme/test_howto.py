"""The how-tos, block by block, as somebody would type them."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.readme.reading import ROOT, blocks
from tests.support.cluster import free_port
from tests.support.wait import PATIENCE_S

END = """
end() { test -s serve.pid && kill "$(cat serve.pid)" 2>/dev/null || true; }
trap end EXIT
"""
MADE = {"bin", "config", "data", "pools", "temporary"}
"""All that is in the folder from which somebody follows them: nothing of it is a backup."""
TOUR_S = 5 * PATIENCE_S


def test_every_block_does_what_it_says(tmp_path: Path, database: str) -> None:
    """All of them succeed; the record is sound in PostgreSQL too, and the proof is intact."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name, words in (("job-ledger", "-m api.cli"), ("python3", "")):
        command = bin_ / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        command.chmod(0o755)
    (tmp_path / "temporary").mkdir()
    kept = {name: value for name, value in os.environ.items() if "JOB_LEDGER" not in name}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", END + blocks("scripts/HOWTO.md")],
        cwd=tmp_path,
        env={
            **kept,
            "PATH": f"{bin_}:{kept['PATH']}",
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "DATA": str(tmp_path / "data"),
            "PORT": str(free_port()),
            "POOLS": str(tmp_path / "pools"),
            "POSTGRES": database,
            "EXAMPLES": str(ROOT / "scripts/examples"),
            "TMPDIR": str(tmp_path / "temporary"),
        },
        capture_output=True,
        text=True,
        timeout=TOUR_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert said.upper().count("INTACT") >= 2
    assert "success 100 %" in said
    [table] = tmp_path.glob("temporary/*/jobs.csv")
    assert table.read_text().startswith("uuid,operation,state")
    assert {each.name for each in tmp_path.iterdir()} == MADE
    assert "logged out" in said
    followed = re.findall(r"^up to position (\d+)$", said, re.MULTILINE)
    assert len(followed) == 2
    assert int(followed[0]) <= int(followed[1])
