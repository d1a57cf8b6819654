"""Nobody is lost who could not report, and everybody is who does not: end to end, on both stores.

The hours pass in the store, whose clock and rows are all that decides about leases.
"""

import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.postgres.test_many_serving import joined
from tests.sdk.conftest import start_of
from tests.support.wait import wait_for
from tests.trials.place import DAY_S, Place
from tests.trials.producers import Producers

LEASE_S = 90
BEATS = """
import time
with jl.job("beats", lease=15):
    time.sleep(100_000)  # until it is killed
"""
_numbers = count(1)


def working(place: Place) -> str:
    """Return a new job of a process that beats."""
    uuid = f"{next(_numbers):08}-066e-4c5b-a848-192bfa2112b8"
    place.tell("PUT", f"/jobs/{uuid}", {"operation": "x", "instance": uuid, "lease_s": LEASE_S})
    return uuid


def shown(place: Place, uuid: str) -> Any:
    return place.ask(f"/jobs/{uuid}")


def is_lost(place: Place, uuid: str) -> bool:
    return "lost" in {each["type"] for each in shown(place, uuid)["conditions"]}


def let_it_fall_silent(place: Place, uuid: str) -> None:
    """Let the clock go on beyond its lease, for this job alone; all are looked at together.

    A beat that was held is written afterwards: then once more.
    """

    def has_fallen_silent() -> bool:
        place.let_leases_run_out(LEASE_S + 6, only=uuid)
        return is_lost(place, uuid)

    wait_for("until it is lost", has_fallen_silent, pause_s=0.5)


LONG, POSTGRES = pytest.mark.long, pytest.mark.postgres


@pytest.mark.parametrize(
    ("place", "absence"),
    [
        ("sqlite", "killed"),
        pytest.param("sqlite", "stopped", marks=LONG),
        pytest.param("sqlite", "asleep", marks=LONG),
        pytest.param("postgres", "killed", marks=[POSTGRES, LONG]),
        pytest.param("postgres", "stopped", marks=[POSTGRES, LONG]),
        pytest.param("postgres", "asleep", marks=POSTGRES),
    ],
    indirect=["place"],
)
def test_an_absence_costs_nobody_a_lease(place: Place, absence: str) -> None:
    """However long: neither who beats, nor who was lost before and may still return."""
    beats, lost = working(place), working(place)
    let_it_fall_silent(place, lost)
    silent = working(place)
    if absence == "stopped":
        place.stop()
    elif absence == "killed":
        place.kill()
    place.let_time_pass_unseen(100 * DAY_S)
    if not place.is_there:
        place.start()
    let_it_fall_silent(place, silent)
    assert not is_lost(place, beats)
    assert (shown(place, lost)["state"], is_lost(place, lost)) == ("running", True)
    for uuid in (beats, lost, silent):
        place.tell("POST", f"/jobs/{uuid}/reports", {})
        assert not is_lost(place, uuid)
    let_it_fall_silent(place, silent)

    def is_abandoned() -> bool:
        place.let_leases_run_out(8 * DAY_S, only=silent)  # again, if a held beat took it back
        return bool(shown(place, silent)["reason"] == "lost")

    wait_for("until it is abandoned", is_abandoned, pause_s=0.5)
    assert not is_lost(place, beats)
    assert not is_lost(place, lost)


@POSTGRES
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.parametrize("starts", [2, pytest.param(100, marks=LONG)])
def test_a_node_that_dies_again_and_again_beside_another_costs_nobody_his_loss(
    place: Place, producers: Producers, tmp_path: Path, starts: int
) -> None:
    """Nobody is lost who beats, and whoever does not is lost in time: its starts move nothing."""
    producers.begin_with([sys.executable, "-S", "-c", f"{start_of()}\n{BEATS}"])
    wait_for("for it", lambda: [job for job in place.jobs() if job["operation"] == "beats"])
    [beating] = [job["uuid"] for job in place.jobs() if job["operation"] == "beats"]
    for nth in range(starts):
        silent = working(place)
        place.let_leases_run_out(LEASE_S + 4, only=silent)  # so that it is due in a second
        node = joined(tmp_path / f"node-{nth}", place.machine, place.database)
        try:
            assert node.api.get("/jobs/")
            node.server.kill()
            wait_for("until it is lost", lambda silent=silent: is_lost(place, silent))
        finally:
            node.machine.close()
    told = place.sql(f"SELECT topic FROM stored_events WHERE originator_id = 'job-{beating}'")
    assert not [topic for (topic,) in told if topic.startswith("job-attempt-lost/")]
    assert shown(place, beating)["state"] == "running"
