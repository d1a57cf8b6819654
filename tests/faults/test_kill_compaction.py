"""A process that is killed while it discards and archives: at each step it has left what is right.

A step is a system call by which something becomes durable or visible.
"""

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from ledger.archives import Shelf
from ledger.store.seam import LoggedEvent
from projections.time_travel.past import Past
from projections.views.read_models import JobTree
from tests.faults.retaining import LATER
from tests.retention.conftest import Clock
from tests.retention.telling import family
from tests.support.retained import Retained
from tests.support.story import STORY
from tests.support.wait import PATIENCE_S
from tests.support.world import ME, Ticking

COMMITS = "fdatasync"
FILES = "fsync,rename,unlink"
"""What makes a commit durable, and an archive; each is done in a thread of its own."""
EACH = {COMMITS: 7, FILES: 1}
"""Every so many steps one is tried, but for the long run."""
STEPS = {COMMITS: 12, FILES: 3}
"""There are at least so many."""
STEPS_MOST = 400
DAYS_BEFORE = 6


class Found(NamedTuple):
    """All that can be read of a ledger: its events, what it shows, and what it showed."""

    events: dict[int, LoggedEvent]
    then: list[JobTree]


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A ledger with many things that are over, earlier sweeps and compactions among them."""
    file = tmp_path / "told" / "ledger.sqlite"
    file.parent.mkdir()
    clock = Clock()
    with Retained(file, clock) as retained:
        for day in range(DAYS_BEFORE):
            family(retained, f"day-{day}")
            clock.advance(days=1)
            retained.run()
        retained.do(*STORY)
    return file


def found(retained: Retained, position: int) -> Found:
    """What there is, wherever it is; checked for soundness on the way."""
    assert retained.replay().divergence is None
    assert retained.replay(retained.archives).divergence is None
    rebuilt = retained.rebuild()
    assert rebuilt.before == rebuilt.after
    with retained.ledger.log() as log:
        events = {event.position: event for event in (*retained.shelf.events(), *log.events())}
    with retained.views.long_snapshot() as snapshot:
        past = Past(snapshot, Shelf(retained.archives), position)
        then = past.jobs(ME, None, limit=100, offset=0).trees
    return Found({at: event for at, event in events.items() if at <= position}, then)


def killed_at(step: int, of: str, file: Path) -> bool:
    """Runs a sweep and a compaction that are killed at a step; False if there are fewer steps."""
    done = subprocess.run(
        [
            *("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={of}"),
            *("-e", f"inject={of}:signal=KILL:when={step}"),
            *(sys.executable, "-m", "tests.faults.retaining", str(file)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("of", [COMMITS, FILES], ids=["commit", "file"])
def test_killed_at_any_step(
    told: Path, tmp_path: Path, request: pytest.FixtureRequest, of: str
) -> None:
    """Nothing is lost, all of it is sound, and the next run finishes what was begun."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace to kill at a system call")
    with Retained(told, Ticking()) as retained:
        with retained.ledger.log() as log:
            position = log.last_position()
        expected = found(retained, position)
    each = 1 if request.config.getoption("--long") else EACH[of]
    for step in range(1, STEPS_MOST, each):
        file = tmp_path / f"step-{step}" / "ledger.sqlite"
        shutil.copytree(told.parent, file.parent)
        killed = killed_at(step, of, file)
        check(file, position, expected)
        shutil.rmtree(file.parent)
        if not killed:
            break
    assert STEPS_MOST > step > STEPS[of]


def check(file: Path, position: int, expected: Found) -> None:
    with Retained(file, Ticking(LATER + timedelta(days=1)), acts="again") as retained:
        assert found(retained, position) == expected
        retained.run()
        assert found(retained, position) == expected
        assert list(retained.archives.glob("*.part")) == []
        with retained.ledger.log() as log:
            left = {event.stream for event in log.events() if event.position <= position}
        assert "job-clone-of-s" not in left
        assert "job-root" in left
