"""`start`, `report`, `end`, `cancelled` and `flush`, as shell scripts use them."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.sdk.conftest import FILE, REFUSED, environment, jl_words, lines_in, run_jl
from tests.sdk.fake_ledger import Answered, FakeLedger
from tests.support.wait import PATIENCE_S

pytestmark = pytest.mark.process

SCRIPT = """
set -e
ID=$(jl start backup --title Photos --series nas/photos --label env=home)
jl report $ID --done 3 --total 8 --unit item --phase copy --message photos/2019
JOB_LEDGER_JOB=$ID jl report
jl cancelled $ID || echo goes on
jl end $ID --exit 23 --message 'no room' --result '{"files": 3}'
echo $ID
"""


def run_script(script: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    jl = shlex.join(jl_words())
    return subprocess.run(
        ["sh", "-c", f'jl() {{ {jl} "$@"; }}\n{script}'],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_script_tells_of_its_job(ledger: FakeLedger, spool: Path) -> None:
    """Whoever has the token may; no beats are expected of it."""
    done = run_script(SCRIPT, environment(ledger.url, spool))
    assert done.returncode == 0, done.stderr
    said, uuid = done.stdout.split("\n")[:2]
    assert said == "goes on"
    [registered], [first, beat] = ledger.bodies("jobs"), ledger.reports()
    assert registered["lease_s"] is None
    assert "instance" not in registered
    assert registered["labels"] == {"env": "home"}
    assert first["progress"] == {"done": 3, "total": 8, "unit": "item"}
    assert (first["phase"], first["message"]) == ({"name": "copy"}, "photos/2019")
    assert set(beat) == {"observed_at", "sent_at"}, "it is live"
    [ended] = ledger.bodies("end")
    assert (ended["outcome"], ended["exit"]["code"]) == ("failed", 23)
    assert (ended["error"]["message"], ended["result"]) == ("no room", {"files": 3})
    assert {asked.path.split("/")[4] for asked in ledger.asked} == {uuid}
    assert [*spool.iterdir()] == []


def test_a_script_goes_on_without_its_ledger(ledger: FakeLedger, spool: Path) -> None:
    """What it has said is told by the next flush, whole."""
    done = run_script(SCRIPT, environment(REFUSED, spool))
    assert done.returncode == 0, done.stderr
    assert len(lines_in(spool)) == 4
    for path in spool.glob("*.jsonl"):
        path.write_text(path.read_text().replace(REFUSED, ledger.url))
    done = run_jl("flush", env=environment(ledger.url, spool), text=True)
    assert (done.returncode, done.stderr) == (0, "4 delivered, 0 refused, 0 left\n")
    assert [len(ledger.bodies(kind)) for kind in ("jobs", "reports", "end")] == [1, 2, 1]
    ledger.answer = lambda _: Answered(503)
    run_script("jl end x", environment(ledger.url, spool))
    assert run_jl("flush", env=environment(ledger.url, spool)).returncode == 1


def test_a_script_learns_that_it_is_to_stop(ledger: FakeLedger, spool: Path) -> None:
    ledger.answer = lambda _: Answered(body={"cancel": {"by": "ops"}})
    env = environment(ledger.url, spool, JOB_LEDGER_JOB="x")
    assert run_jl("cancelled", env=env).returncode == 0


def test_without_a_url_a_script_runs_as_it_is(spool: Path) -> None:
    done = run_script(SCRIPT, environment("", JOB_LEDGER_SPOOL=str(spool)))
    assert (done.returncode, done.stderr) == (0, "")
    assert not spool.exists()


def test_who_asks_is_told_how_to_use_it() -> None:
    assert b"usage: jl COMMAND" in run_jl("--help").stdout
    assert run_jl("no-such-command").returncode == 2
    assert run_jl("run", "--help").stdout.count(b"--cancel-signal") == 2
    shown = run_jl("--version", text=True).stdout
    assert json.dumps(shown.split()[1]) in FILE.read_text()
