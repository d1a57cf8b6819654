"""The file runs under every Python from 3.9 on, and mypy finds nothing that one of them lacks."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.sdk.conftest import environment, start_of
from tests.sdk.fake_ledger import FakeLedger
from tests.support.wait import PATIENCE_S

pytestmark = pytest.mark.process

MINORS = range(9, 15)
SMOKE = f"""
import asyncio, sys
{start_of()}

@jl.tracked("tracked")
async def tracked():
    return 1

with jl.job("a", title="A", labels={{"env": "home"}}) as job:
    with job.phase("one", of=1), job.child("b") as child:
        assert [*child.track([1, 2])] == [1, 2]
    assert asyncio.run(tracked()) == 1
    assert jl.extract(jl.inject(headers=True)).uuid == job.uuid
assert jl.flush(60)
sys.exit(jl.main(["run", "--", "sh", "-c", "exit 5"]))
"""


def python_of(minor: int) -> str | None:
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    places = (
        *versions.glob(f"3.{minor}.*/bin/python3"),
        *(Path(folder, f"python3.{minor}") for folder in os.get_exec_path()),
    )
    show = ("-S", "-I", "-c", f"import sys; sys.exit(sys.version_info[1] != {minor})")
    return next(
        (
            str(place)
            for place in places
            if place.exists()
            and not subprocess.run([place, *show], capture_output=True, check=False).returncode
        ),
        None,
    )


@pytest.mark.parametrize("minor", MINORS, ids=lambda minor: f"3.{minor}")
def test_it_works_there(minor: int, ledger: FakeLedger, spool: Path) -> None:
    python = python_of(minor)
    if python is None:
        pytest.skip(f"there is no Python 3.{minor} here")
    done = subprocess.run(
        [python, "-S", "-W", "error", "-c", SMOKE],
        env=environment(ledger.url, spool),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (5, "")
    outcomes = [body["outcome"] for body in ledger.bodies("end")]
    assert outcomes == ["succeeded", "succeeded", "succeeded", "failed"]
    assert [*spool.iterdir()] == []
