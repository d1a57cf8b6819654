"""`job-ledger run` is the command of the SDK, without what a service is made of."""

import json
import subprocess
import sys

import pytest

from api.cli import COMMANDS
from tests.support import processes
from tests.support.wait import PATIENCE_S

pytestmark = pytest.mark.process

SHOW = """
import json, os, sys
def show(program, words):
    print(json.dumps([words[-3:], sorted(sys.modules)]))
    sys.exit(0)
os.execv = show
sys.argv = ["job-ledger", "run", "--", "true"]
from api.launcher import main
main()
"""


def test_it_is_handed_over_before_anything_else_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", SHOW],
        cwd=processes.ROOT,
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )
    words, modules = json.loads(done.stdout)
    assert words == ["run", "--", "true"]
    ours = {name for name in modules if name.partition(".")[0] in {"api", "ledger", "projections"}}
    assert ours == {"api", "api.launcher", "api.sdk_file"}
    assert not {"click", "asyncio", "aiohttp", "pathlib"} & {*modules}


def test_it_runs_a_command_and_is_listed() -> None:
    script = "echo out; echo err >&2; exit 3"
    done = processes.run("run", "--", "sh", "-c", script, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    done = processes.run("run", "--help", timeout=PATIENCE_S)
    assert "usage: jl run" in done.stdout
    assert "run" in COMMANDS
