"""Producers as they are: `jl`, and programs with the SDK. They also note what was answered."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tests.sdk.conftest import environment, start_of
from tests.support.wait import PATIENCE_S

_NOTE_ENDS = """
import json, os
answer = jl.Ledger._answer

def noted(self, method, path, body, headers, within_s):
    told = answer(self, method, path, body, headers, within_s)
    if told.is_success and path.endswith("/end") and body.get("final") is not False:
        line = json.dumps([path.split("/")[2], body["outcome"]]) + "\\n"
        number = os.open(os.environ["ANSWERED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(number, line.encode())
        os.close(number)
    return told

jl.Ledger._answer = noted
"""
_PROGRAM = """
import time
steps, pause_s, fails = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "fails"
with jl.job("load", series="trial/load") as job:
    with job.child("part") as part:
        for _ in part.track(range(steps), unit="row"):
            time.sleep(pause_s)
    job.result({"steps": steps})
    if fails:
        raise ValueError("no more")
"""


class End(NamedTuple):
    """How a job has ended, as its producer says."""

    job: str
    outcome: str


class Producers:
    """Processes with one spool, each of which may be killed at any moment."""

    def __init__(self, directory: Path, url: str, token: str) -> None:
        self.spool = directory / "spool"
        self._answered = directory / "answered"
        self._env = environment(
            url, self.spool, JOB_LEDGER_TOKEN=token, ANSWERED=str(self._answered)
        )
        self._jl, self._program = directory / "jl.py", directory / "program.py"
        start = f"{start_of(is_patient=False)}\n{_NOTE_ENDS}"
        self._jl.write_text(f"{start}\nsys.exit(jl.main())\n")
        self._program.write_text(f"{start}\n{_PROGRAM}")
        self.running: list[subprocess.Popen[bytes]] = []

    def begin(self, chance: random.Random) -> None:
        """Start one, of any kind."""
        sleep_s, code = chance.uniform(0, 0.5), chance.choice((0, 0, 0, 1, 75))
        command = f"echo 1/2 > $JOB_LEDGER_PROGRESS_FILE; sleep {sleep_s:.3f}; exit {code}"
        run = self.jl("run", "--series", "trial/run")
        words = chance.choice(
            [
                [*run, "--", "sh", "-c", command],
                [*run, "--", *self.jl("run"), "--", "sh", "-c", command],
                [*run, "--retry", "1", "--", "sh", "-c", command],
                [*run, "--id", f"nightly-{chance.randrange(10)}", "--", "sh", "-c", command],
                [
                    *(sys.executable, "-S", str(self._program), str(chance.randrange(20))),
                    *(f"{chance.uniform(0, 0.03):.3f}", chance.choice(("works", "fails"))),
                ],
                self.jl("flush"),
            ]
        )
        self.running.append(self._start(words))

    def begin_with(self, words: list[str]) -> None:
        self.running.append(self._start(words))

    def jl(self, *words: str) -> list[str]:
        return [sys.executable, "-S", str(self._jl), *words]

    def _start(self, words: list[str]) -> subprocess.Popen[bytes]:
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        return subprocess.Popen(words, env=self._env, **quiet)

    def reap(self) -> None:
        self.running = [each for each in self.running if each.poll() is None]

    def kill_one(self, chance: random.Random) -> None:
        """Kill one that runs. Its command lives on, and ends by itself."""
        self.reap()
        if self.running:
            victim = chance.choice(self.running)
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait(PATIENCE_S)
            self.running.remove(victim)

    def until_ended(self) -> None:
        for each in self.running:
            each.wait(PATIENCE_S)
        self.running.clear()

    def kill_all(self) -> None:
        for each in self.running:
            each.kill()
            each.wait()

    def let_marks_expire(self) -> None:
        """Let it be long ago that the ledger did not answer."""
        for mark in self.spool.glob("unreachable-*"):
            os.utime(mark, (time.time() - 3600,) * 2)

    def flush(self) -> None:
        """Deliver all that is spooled, by two processes at once, and then what is left.

        A job is not registered while another process has the spool with its parent.
        """
        flushing = [self._start(self.jl("flush")) for _ in range(2)]
        for each in flushing:
            each.wait(PATIENCE_S)
        self._start(self.jl("flush")).wait(PATIENCE_S)

    def let_a_day_pass(self) -> None:
        """Let what is left have been observed two days ago: what was above it may never come."""
        for path in self.left():
            lines = [*_read(path)]
            for line in lines:
                if "observed_at" in line["body"]:
                    at = datetime.fromisoformat(line["body"]["observed_at"]) - timedelta(days=2)
                    line["body"]["observed_at"] = at.isoformat(timespec="milliseconds")
            path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def left(self) -> list[Path]:
        """Return the spools that hold something."""
        return [path for path in self.spool.glob("*.jsonl") if path.stat().st_size]

    def spooled(self) -> set[End]:
        """Return the ends that wait to be told."""
        lines = (line for path in self.left() for line in _read(path) if line["kind"] == "end")
        return {
            End(line["job"], line["body"]["outcome"])
            for line in lines
            if line["body"].get("final") is not False
        }

    def answered(self) -> set[End]:
        """Return the ends that the ledger has acknowledged."""
        if not self._answered.exists():
            return set()
        return {End(*json.loads(line)) for line in self._answered.read_text().splitlines()}

    def refused(self) -> list[Any]:
        return [line for path in (self.spool / "refused").glob("*") for line in _read(path)]


def _read(path: Path) -> Iterator[Any]:
    """Yield the whole lines of a file."""
    for line in path.read_text().split("\n")[:-1]:
        yield json.loads(line)
