"""Services and producers that are killed at random moments: each job ends once, as it has ended.

The moments follow from the seed of the run.
"""

import random
import shutil
import sys
import time
from itertools import islice
from typing import Any

import pytest

from tests.trials.place import Place, until_closed
from tests.trials.producers import Producers

AT_ONCE = 4
"""Producers that are there at the same time."""
SEEN = 100
"""Jobs at which somebody looks at each moment."""
MOMENT_S = 0.25


@pytest.fixture(
    params=[
        6,
        pytest.param(200, marks=pytest.mark.long),
        pytest.param(2_000, marks=pytest.mark.long),
    ]
)
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_each_job_ends_once_and_as_its_producer_says(
    place: Place, producers: Producers, chance: random.Random, kills: int
) -> None:
    """No end that was acknowledged is lost, and a success that came too late is shown as such."""
    shown: dict[str, str] = {}
    for _ in range(kills):
        one_moment(place, producers, chance)
        if place.is_there:
            shown |= {
                job["uuid"]: job["state"] for job in islice(place.jobs(), SEEN) if job["done"]
            }
    if not place.is_there:
        place.start()
    producers.until_ended()
    producers.let_marks_expire()
    told = producers.spooled()
    put_off = producers.left()[::2]
    aside = producers.spool.with_name("aside")
    aside.mkdir()
    for path in put_off:
        path.rename(aside / path.name)
    producers.flush()
    until_closed(place)
    shutil.copytree(aside, producers.spool, dirs_exist_ok=True)
    producers.flush()
    producers.let_a_day_pass()  # a parent may have been killed before it said anything
    producers.flush()
    assert producers.left() == []
    until_closed(place)
    told |= producers.answered()
    jobs = {job["uuid"]: job for job in place.jobs()}
    for job, outcome in told:
        assert job in jobs, "lost"
        assert outcome in said_of(jobs[job]), (outcome, jobs[job])
    assert {uuid: jobs[uuid]["state"] for uuid in shown} == shown
    assert place.ends() == dict.fromkeys(jobs, 1)
    assert [each for each in producers.refused() if not is_of_an_attempt(each)] == []
    late = sum(job["late"] is not None for job in jobs.values())
    sys.stdout.write(f"{kills} moments, {len(jobs)} jobs, {len(told)} ends, {late} of them late\n")
    place.stop()
    place.machine.check_sound()


def one_moment(place: Place, producers: Producers, chance: random.Random) -> None:
    """Let somebody be killed, or a service that is away come back."""
    producers.reap()
    while len(producers.running) < AT_ONCE:
        producers.begin(chance)
    time.sleep(chance.uniform(0, MOMENT_S))  # the moment of the kill
    if not place.is_there:
        place.start()
        producers.let_marks_expire()
        return
    who = chance.choice(("service", "producer", "both"))
    if who != "service":
        producers.kill_one(chance)
    if who != "producer":
        place.kill()


def said_of(job: dict[str, Any]) -> set[object]:
    """Return how the job has ended, and how its producer has said later that it had."""
    return {job["outcome"], job["late"]}


def is_of_an_attempt(refused: dict[str, Any]) -> bool:
    """Return whether it tells of an attempt, not the end of a job, after that or the next one."""
    problem = refused["answer"]["type"].rpartition("/")[2]
    is_end = refused["kind"] == "end" and refused["body"].get("final") is not False
    return not is_end and problem in ("job-over", "attempt-replaced", "conflict")
