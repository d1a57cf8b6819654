"""Killed at any step, a backup or a restore leaves nothing that is half of one."""

import subprocess
import sys
from pathlib import Path

import pytest

from projections.maintenance.retention.compaction import ARCHIVES
from tests.backup.backups import Ledger, archived, drive
from tests.backup.killing import POOL, pools_in
from tests.backup.test_images import A, B
from tests.images.copies import striped_file
from tests.retention.conftest import Clock
from tests.support.processes import ROOT, environment


def make(data: Path, clock: Clock) -> None:
    """A ledger with an archive and two images, that nobody has open."""
    data.mkdir()
    pool = pools_in(data)[POOL]
    pool.path.mkdir(parents=True)
    with Ledger(data, clock) as ledger:
        archived(ledger, clock, "job")
        for uuid in (A, B):
            drive(ledger, uuid, size=2**20)
            striped_file(pool.image(uuid), 2)
        assert (data / ARCHIVES).is_dir()


@pytest.fixture
def stride(request: pytest.FixtureRequest) -> int:
    """Every step in the long run; otherwise few of them."""
    return 1 if request.config.getoption("--long") else 7


def steps(what: str, source: Path, directory: Path, stride: int) -> int:
    """How many steps there were, all of which may be the last."""
    directory.mkdir()
    command = (sys.executable, "-m", "tests.backup.killing", what, source, directory, str(stride))
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(), cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_killed_backup_is_none(tmp_path: Path, clock: Clock, stride: int) -> None:
    """And is in nobody's way."""
    make(tmp_path / "data", clock)
    assert steps("backup", tmp_path / "data", tmp_path / "backups", stride) > 20


def test_a_killed_restore_is_finished_by_the_next(
    tmp_path: Path, clock: Clock, stride: int
) -> None:
    """Until then there is no ledger; from then on it is complete."""
    data, backup = tmp_path / "data", tmp_path / "backup"
    make(data, clock)
    with Ledger(data, clock) as ledger:
        ledger.back_up(backup, pools_in(data))
    assert steps("restore", backup, tmp_path / "restores", stride) > 20
