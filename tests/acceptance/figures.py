"""What a running job tells of itself while real copies are made, and whether it was right."""

import time
from typing import NamedTuple

import requests

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


class Told(NamedTuple):
    """An answer, and when it came."""

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
        answer = requests.get(f"{api.root}/jobs/{job}/", auth=(EMAIL, PASSWORD), timeout=PATIENCE_S)
        seen.append(Told(time.monotonic(), answer.json()))
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
    first, last = seen[0], seen[-1]
    for told in seen[1:-1]:
        eta_s, done = told.data["eta_s"], told.data["bytes_done"]
        if eta_s is None or done < TENTH * total:
            continue
        left = last.at - told.at
        before = (done - first.data["bytes_done"]) / (told.at - first.at)
        after = (total - done) / left
        if max(before, after) <= STEADY * min(before, after):
            assert left / FACTOR - SLACK_S <= eta_s <= left * FACTOR + SLACK_S, (left, told)
