"""The README's commands, run as a reader would run them."""

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.cluster import free_port
from tests.support.wait import PATIENCE_S, wait_for

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = "\n".join(re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
TOUR_S = 5 * PATIENCE_S


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def served(tmp_path, port):
    """What `scripts/serve` starts, with its data and its port where the test wants them."""
    environment = {
        **os.environ,
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
    """Every command of the README's tour succeeds, and the clone has the same bytes."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", TOUR],
        cwd=tmp_path,
        env=served,
        capture_output=True,
        text=True,
        timeout=TOUR_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same bytes" in done.stdout
    assert '"progress":100' in done.stdout
    frames = (tmp_path / "frames.txt").read_text()
    assert "cloning_dst" in frames
    assert "'progress': 100" in frames


def test_the_map_of_the_folders_is_true():
    """The README's map of the folders names every module of the core."""
    for package in ("ledger", "projections"):
        named = re.search(rf"^{package}/ .*?(?=^\w+/|^```)", README, re.MULTILINE | re.DOTALL)
        for module in (ROOT / package).iterdir():
            if not module.name.startswith("_"):
                assert re.search(rf"\b{module.stem}\b", named.group()), module
