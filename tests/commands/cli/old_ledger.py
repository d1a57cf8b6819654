"""A data directory with jobs that ended ten days ago."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from ledger.domain.commands.jobs import CreateJob, StartAttempt, SucceedJob
from tests.commands.cli.processes import ask
from tests.support.opened import Opened
from tests.support.world import ME

ENDED = datetime.now(UTC) - timedelta(days=10)


def old_ledger(data: Path, *roots: str) -> None:
    """Each root has a job below it, `<root>-below`; all have succeeded."""
    data.mkdir(mode=0o700, exist_ok=True)
    ticks = count()
    with Opened(
        data / "ledger.sqlite", now=lambda: ENDED + timedelta(milliseconds=next(ticks))
    ) as opened:
        for root in roots:
            below = f"{root}-below"
            opened.do(
                CreateJob(ME, root, "x"),
                CreateJob(ME, below, "x", parent=root),
                StartAttempt(below, 1, "w"),
                SucceedJob(below, 1),
            )


def found(data: Path) -> dict[str, Any]:
    """What the doctor finds."""
    answer: dict[str, Any] = json.loads(ask("doctor", "--data", data, "--json").out)
    return answer
