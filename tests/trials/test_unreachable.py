"""A ledger of which nothing is heard for an hour, under `jl run` and a program.

Packets get lost; nothing is refused. For the programs, the hour passes in seconds.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from tests.sdk.conftest import FILE, environment
from tests.support.between import Between
from tests.support.wait import PATIENCE_S, wait_for
from tests.trials.place import Place

HOUR_S = 3600
ANSWER_S = 0.2
"""For so long at least an answer is waited for, so that one that comes can be in time."""
COMMAND = """
for step in $(seq {steps}); do
    echo $step/{steps} step $step > $JOB_LEDGER_PROGRESS_FILE; sleep {step_s}
done
exit 23
"""
PROGRAM = """
import contextlib, os, time, job_ledger as jl
steps, step_s, back = int(os.environ["STEPS"]), float(os.environ["STEP_S"]), os.environ["BACK"]
with jl.job("load", title="The whole load") as job:
    for step in range(steps):
        with contextlib.suppress(ValueError), job.child("part") as part:
            part.progress(step, steps, unit="row")
            time.sleep(step_s)
            if step == 5:
                raise ValueError("no more")
    job.label(team="a")
    while back and not os.path.exists(back):
        job.progress(steps, message="waits")
        time.sleep(step_s)
"""


class Hour:
    """Processes for which time goes faster, and what lies between them and the ledger."""

    def __init__(
        self, directory: Path, place: Place, between: Between, *, faster: int, steps: int
    ) -> None:
        self.between = between
        self.directory = directory
        self.faster, self.steps = faster, steps
        self.spool = directory / "spool"
        self.back = directory / "back"
        self.step_s = HOUR_S / steps / faster
        self.began_at = datetime.now(UTC)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._program = directory / "program.py"
        self._program.write_text(PROGRAM)
        self._env = environment(
            between.address,
            self.spool,
            JOB_LEDGER_TOKEN=place.token,
            BEGAN=str(time.monotonic()),
            BEGAN_AT=self.began_at.isoformat(),
            STEPS=str(steps),
            STEP_S=str(self.step_s),
            LEAST_S=str(ANSWER_S),
        )

    def begin(self, name: str, *words: str, **more: str) -> "subprocess.Popen[bytes]":
        env = {**self._env, "WAITED": str(self.directory / name), **more}
        command = [sys.executable, "-S", str(Path(__file__).with_name("hour.py"))]
        begun = subprocess.Popen([*command, str(FILE.parent), str(self.faster), *words], env=env)
        self._processes.append(begun)
        return begun

    def run(self, name: str) -> "subprocess.Popen[bytes]":
        command = COMMAND.format(steps=self.steps, step_s=self.step_s)
        return self.begin(name, "run", "--operation", name, "--", "sh", "-c", command)

    def program(self, name: str, back: str = "") -> "subprocess.Popen[bytes]":
        return self.begin(name, str(self._program), BACK=back)

    def flush(self) -> None:
        """By two processes at once, and then what one has left because the other had it."""
        for each in [self._flush(), self._flush()]:
            each.wait(PATIENCE_S)
        assert self._flush().wait(PATIENCE_S) == 0

    def _flush(self) -> "subprocess.Popen[bytes]":
        return self.begin("flush", "flush", LEAST_S=str(PATIENCE_S))

    def waited_s(self, name: str) -> float:
        return float((self.directory / name).read_text())

    def end(self) -> None:
        for each in self._processes:
            if each.poll() is None:
                each.kill()
            each.wait()


@pytest.fixture(params=[(2400, 10), pytest.param((60, 60), marks=pytest.mark.long)], ids=str)
def hour(request: pytest.FixtureRequest, tmp_path: Path, place: Place) -> Iterator[Hour]:
    with Between(place.port).running() as between:
        faster, steps = request.param
        made = Hour(tmp_path, place, between, faster=faster, steps=steps)
        try:
            yield made
        finally:
            made.end()


@pytest.mark.parametrize(
    "place",
    ["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.long])],
    indirect=True,
)
def test_it_changes_nothing_and_the_record_is_complete_afterwards(place: Place, hour: Hour) -> None:
    """Nobody waits for what is known to be away; what happened is told later, however often."""
    run, program = hour.run("run"), hour.program("program", str(hour.back))
    wait_for("until both report", lambda: {"run", "part"} <= reporting_among(place.jobs()))
    hour.between.swallow()
    wait_for("until that is noticed", lambda: list(hour.spool.glob("unreachable-*")))
    away_run, away_program = hour.run("away"), hour.program("away program")
    assert [each.wait(PATIENCE_S) for each in (run, away_run, away_program)] == [23, 23, 0]
    assert [hour.waited_s(name) for name in ("away", "away program")] == [0, 0]
    spooled = copytree(hour.spool, hour.directory / "spooled")
    place.let_leases_run_out(HOUR_S)
    lost = {"run", "load"}
    wait_for("until they are lost", lambda: lost <= lost_among(place.jobs()))

    hour.between.mend()
    hour.back.touch()
    assert program.wait(PATIENCE_S) == 0
    hour.flush()
    check_complete(place, hour)
    before = record_of(place)
    for path in spooled.glob("*.jsonl"):
        path.rename(hour.spool / path.name)
    hour.flush()
    check_complete(place, hour)
    assert record_of(place) == before
    assert not (hour.spool / "refused").exists()
    place.stop()
    place.machine.check_sound()


def reporting_among(jobs: Iterator[Any]) -> set[str]:
    return {job["operation"] for job in jobs if job["progress"] is not None}


def lost_among(jobs: Iterator[Any]) -> set[str]:
    return {
        job["operation"]
        for job in jobs
        if "lost" in {condition["type"] for condition in job["conditions"]}
    }


def check_complete(place: Place, hour: Hour) -> None:
    """Each job is there, as it has ended, with what it said last."""
    by_operation: dict[str, list[Any]] = {}
    for each in place.jobs():
        by_operation.setdefault(each["operation"], []).append(each)
    for name in ("run", "away"):
        [job] = by_operation[name]
        assert (job["state"], job["exit"]["code"], job["late"]) == ("failed", 23, None), job
        assert (job["progress"]["done"], job["message"]) == (hour.steps, f"step {hour.steps}")
    assert lasted_s(job) > (datetime.now(UTC) - hour.began_at).total_seconds()
    loads = by_operation["load"]
    assert len(loads) == 2
    parts = by_operation["part"]
    for load in loads:
        assert (load["state"], load["title"]) == ("succeeded", "The whole load")
        assert load["labels"] == {"team": "a"}
        below = [part for part in parts if part["parent"] == load["uuid"]]
        assert len(below) == hour.steps
        assert {part["progress"]["done"] for part in below} == set(range(hour.steps))
        assert sorted(part["state"] for part in below) == [
            "failed",
            *["succeeded"] * (hour.steps - 1),
        ]


def lasted_s(job: Any) -> float:
    began, ended = (datetime.fromisoformat(job[name]) for name in ("started_at", "ended_at"))
    return (ended - began).total_seconds()


def record_of(place: Place) -> list[tuple[Any, ...]]:
    """Return all events of jobs."""
    return place.sql(
        "SELECT originator_id, originator_version, topic FROM stored_events"
        " WHERE originator_id LIKE 'job-%' ORDER BY position"
    )
