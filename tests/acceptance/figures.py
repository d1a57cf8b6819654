"""What a running job tells of itself while real copies are made, and whether it was right."""

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import requests

from projections.estimates import MEASURED_S
from tests.acceptance.client import Api, Json
from tests.acceptance.running import EMAIL, PASSWORD
from tests.support.wait import PATIENCE_S, wait_for

LOOKS_S = 0.1
FACTOR = 2
SLACK_S = 2.0
"""A job is seen a little late, and what it tells is in whole seconds."""
TENTH = 0.1
STEADY = 1.5
"""A copy that was so much faster before a moment than after it, or slower, is not steady."""
LONG_S = 30.0
"""However slow the machine, an answer to a copy that takes so long tells the time left."""


class Told(NamedTuple):
    """An answer, and when it was asked for and came."""

    asked: float
    at: float
    job: Json

    @property
    def data(self) -> Json:
        data: Json = self.job["data"]
        return data


def follow(api: Api, job: str) -> list[Told]:
    """Return all that is told until the job has ended, each time by a new connection."""
    seen: list[Told] = []

    def has_ended() -> bool:
        asked = time.monotonic()
        answer = requests.get(f"{api.root}/jobs/{job}/", auth=(EMAIL, PASSWORD), timeout=PATIENCE_S)
        seen.append(Told(asked, time.monotonic(), answer.json()))
        return bool(seen[-1].job["state"] != "started")

    wait_for(f"for job {job} to end", has_ended, pause_s=LOOKS_S)
    return seen


def recorded(api: Api, job: Json) -> list[Json]:
    """Return a job that is over as it was after each event, once all its sub-jobs were there.

    Nobody may have looked in time.
    """
    ends = f"/jobs/{job['uuid']}/history/?limit=1&order_by="
    first, last = (api.get(ends + by)["objects"][0]["position"] for by in ("version", "-version"))
    past = [
        api.get(f"/jobs/{job['uuid']}/?as_of={position}") for position in range(first, last + 1)
    ]
    return [then for then in past if len(then["children"]) == len(job["children"])]


def check(api: Api, seen: list[Told], total: int) -> list[Json]:
    """Check all that needs no clock: the total is told once, and nothing ever falls.

    Return the job as it was after each event.
    """
    past = recorded(api, seen[-1].job)
    assert past[0]["state"] == "started"
    for jobs in (past, [told.job for told in seen]):
        check_told(jobs, total)
    return past


def check_told(jobs: list[Json], total: int) -> None:
    """Check the same of what was told of a job, up to its end."""
    assert jobs[-1]["state"] == "success"
    running = [job["data"] for job in jobs if job["state"] == "started"]
    assert {data["bytes_total"] for data in running} <= {total}
    for name in ("progress", "bytes_done"):
        values = [data[name] for data in running]
        assert values == sorted(values), (name, values)
    assert all(data["bytes_done"] <= total for data in running)
    assert all(data["eta_s"] is None or data["eta_s"] > 0 for data in running), running
    assert all(data["bytes_per_s"] is None or data["bytes_per_s"] > 0 for data in running), running
    for data in running:
        if "bytes_verified" not in data:
            whole = data["bytes_done"] * 100 // total
            assert whole - 1 <= data["progress"] <= whole, data


def check_time_left(seen: list[Told], total: int) -> None:
    """Check the time left once a tenth is done, wherever the copy went on as it had gone before.

    A machine that is held up, before or afterwards, cannot have known.
    """
    last = seen[-1]
    must_tell = []
    for before, told in _steady(seen, total):
        eta_s, left = told.data["eta_s"], last.at - told.at
        if eta_s is not None:
            assert left / FACTOR - SLACK_S <= eta_s <= left * FACTOR + SLACK_S, (left, told)
        if _is_measured(seen, before, told) and left > FACTOR * (told.at - before.asked):
            must_tell.append(told)
    assert all(told.data["eta_s"] is not None for told in must_tell), must_tell
    is_long = last.at - seen[0].at > LONG_S
    assert must_tell or not is_long, "nothing could be checked"


def _steady(seen: list[Told], total: int) -> Iterator[tuple[Told, Told]]:
    """Yield each answer before which the copy was as fast as after it, and the one before."""
    first, last = seen[0], seen[-1]
    for before, told in pairwise(seen[:-1]):
        done = told.data["bytes_done"]
        past = (done - first.data["bytes_done"]) / (told.at - first.at)
        future = (total - done) / (last.at - told.at)
        if done >= TENTH * total and max(past, future) <= STEADY * min(past, future):
            yield before, told


def _is_measured(seen: list[Told], before: Told, told: Told) -> bool:
    """Return whether a worker has just reported, and had then been at work for long enough.

    Silence would be a reason to tell nothing; so would a verification that has not begun.
    """
    began = next((each.at for each in seen if each.data.get("phase") == "working"), told.at)
    has_reported = told.data["bytes_done"] > before.data["bytes_done"]
    return (
        has_reported and before.asked - began >= MEASURED_S and told.data.get("bytes_verified") != 0
    )
