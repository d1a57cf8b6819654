"""What a running job tells of itself while real copies are made, and whether it was right."""

import time
from collections.abc import Callable
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
"""A machine on which copies took so much longer than their limit says stood still for a while."""


class Told(NamedTuple):
    """An answer, and when it came."""

    at: float
    job: Json

    @property
    def data(self) -> Json:
        data: Json = self.job["data"]
        return data


def follow(api: Api, job: str, then: Callable[[Told], None] = lambda _: None) -> list[Told]:
    """Return all that is told until the job has ended, each time by a new connection.

    `then` is called with each answer.
    """
    seen: list[Told] = []

    def has_ended() -> bool:
        answer = requests.get(f"{api.root}/jobs/{job}/", auth=(EMAIL, PASSWORD), timeout=PATIENCE_S)
        seen.append(Told(time.monotonic(), answer.json()))
        then(seen[-1])
        return bool(seen[-1].job["state"] != "started")

    wait_for(f"for job {job} to end", has_ended, pause_s=LOOKS_S)
    return seen


def check(seen: list[Told], total: int) -> None:
    """Check all that needs no clock: the total is told once, and nothing ever falls."""
    running = [told.data for told in seen if told.job["state"] == "started"]
    assert seen[-1].job["state"] == "success"
    assert {data["bytes_total"] for data in running} == {total}
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


def check_time_left(seen: list[Told], total: int, rate: int) -> int:
    """Check the time left once a tenth is done; return how often it was told.

    A machine that was held up could not have known: then there is nothing to check.
    """
    end = seen[-1].at
    if end - seen[0].at > STEADY * total / rate + SLACK_S:
        return 0
    told = [each for each in seen[:-1] if each.data["bytes_done"] >= TENTH * total]
    known = [each for each in told if each.data["eta_s"] is not None]
    for each in known:
        left, eta_s = end - each.at, each.data["eta_s"]
        assert left / FACTOR - SLACK_S <= eta_s <= left * FACTOR + SLACK_S, (left, each)
    return len(known)
