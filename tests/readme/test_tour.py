"""The documents' commands, run as a reader would run them."""

import asyncio
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.api.limits.misbehaving import Misbehaving, Target
from tests.readme.reading import ROOT, blocks, documents
from tests.support.cluster import free_port
from tests.support.wait import PATIENCE_S, wait_for, wait_until

TOUR = ("README.md", "api/README.md", "scripts/OPERATING.md")
"""In the order in which a reader follows them, in one shell."""
OTHERS = {"scripts/HOWTO.md", "scripts/deploy/README.md"}
"""Those that tests of their own run."""
BESIDE = {
    "JOB_LEDGER_TRUSTED_PROXIES": "127.0.0.1/32",
    "JOB_LEDGER_LIMITS": "drives-per-account=100;tags-per-account=100",
}
"""So that the account that misbehaves comes from elsewhere, and has had its fill in time."""
REFUSED = {"_websockets", "_slow_uploads", "_bombs", "_wrong_passwords", "_drives", "_tags"}
TOUR_S = 5 * PATIENCE_S


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def settings():
    """More settings of the service."""
    return {}


@pytest.fixture
def served(tmp_path, port, settings):
    """What `scripts/serve` starts, with its data and its port where the test wants them."""
    environment = {
        **os.environ,
        **settings,
        "JOB_LEDGER_DATA": str(tmp_path / "data"),
        "JOB_LEDGER_PORT": str(port),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    log = (tmp_path / "serve.log").open("wb")
    with log, subprocess.Popen([ROOT / "scripts/serve"], env=environment, stdout=log) as service:
        try:
            _wait_until_it_answers(port, service)
            yield environment
        finally:
            service.send_signal(signal.SIGTERM)
            assert service.wait(PATIENCE_S) == 0


def _wait_until_it_answers(port, service):
    url = f"http://127.0.0.1:{port}/api/2.0/jobs/"

    def answers():
        assert service.poll() is None, "scripts/serve ended"
        try:
            urllib.request.urlopen(url, timeout=PATIENCE_S)
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code == 401
        except OSError:
            return False

    wait_for("for scripts/serve to answer", answers)


def test_the_tour_does_what_it_says(served, tmp_path):
    """Every command succeeds; the clone has the same bytes, and the proofs hold."""
    done = follow(TOUR, served, tmp_path)
    assert done.upper().count("INTACT") >= 2


@pytest.mark.long
@pytest.mark.parametrize("settings", [BESIDE])
async def test_the_tour_beside_an_account_that_misbehaves(served, tmp_path, port):
    """It wants a hundred of everything at once, from elsewhere; nothing of the tour is refused."""
    mallory = "mallory@example.test"

    def command(*words):
        return subprocess.run(
            [ROOT / ".venv/bin/job-ledger", *words, "--data", tmp_path / "data"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    command("account", "add", mallory)
    token = re.search(r"^token: (\S+)$", command("token", "add", mallory), re.MULTILINE)[1]
    target = Target("127.0.0.1", port, f"Bearer {token}", "demo@example.test", most=100)
    misbehaving = Misbehaving(target)
    async with misbehaving.at_it():
        await asyncio.to_thread(follow, TOUR[:2], served, tmp_path)
        await wait_until("it has met its limits", lambda: misbehaving.refused >= REFUSED)


def follow(tour, served, tmp_path):
    """Run all commands of these documents; return what they print."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "temporary").mkdir()
    commands = "\n".join(f"echo '== {document}'\n{blocks(document)}" for document in tour)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=tmp_path,
        env={**served, "TMPDIR": str(tmp_path / "temporary")},
        capture_output=True,
        text=True,
        timeout=TOUR_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same bytes" in done.stdout
    assert '"progress":100' in done.stdout
    left = {each.name for each in tmp_path.iterdir()} - {".venv", "config", "data", "serve.log"}
    assert left == {"temporary"}  # the folder of whoever follows it gets nothing, and no key
    [frames] = tmp_path.glob("temporary/*/frames.txt")
    assert "cloning_dst" in frames.read_text()
    assert "'progress': 100" in frames.read_text()
    return done.stdout


def test_no_commands_are_left_out():
    """Whatever document has a block for the shell is run by a test."""
    assert {name for name in documents() if blocks(name)} == {*TOUR, *OTHERS}
