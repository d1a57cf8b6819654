"""Walks through all jobs while clients change everything.

Each job that is there for the whole of a walk is seen exactly once.
"""

import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
import requests

from tests.acceptance.running import run_command
from tests.support.wait import PATIENCE_S, wait_for
from tests.trials.place import Place

WALKS = ("/api/2.0/jobs/", "/api/v1/jobs", "/api/v1/jobs?order=ended")


class Size(NamedTuple):
    clients: int
    jobs: int
    """How many are there at first."""
    page: int
    rounds: int
    """How many walks of each kind there are."""


@pytest.fixture(
    params=[Size(3, 20, 6, 1), pytest.param(Size(50, 2_000, 50, 10), marks=pytest.mark.long)],
    ids=["few", "many"],
)
def size(request: pytest.FixtureRequest) -> Size:
    made: Size = request.param
    return made


class Clients:
    """Who change jobs of one account all the time, and what the service has acknowledged."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._local = threading.local()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._numbers = count()
        self._registered: list[str] = []
        self._open: list[str] = []
        self._ended: list[str] = []
        self.changes = 0

    def begin(self, jobs: int, chance: random.Random) -> None:
        """Register the first jobs, of which half have ended."""
        for number in range(jobs):
            job = self._register()
            if number % 2:
                self._end(job)
            else:
                self._keep(self._open, job)
        chance.shuffle(self._open)

    def jobs(self) -> set[str]:
        with self._lock:
            return set(self._registered)

    def ended(self) -> set[str]:
        with self._lock:
            return set(self._ended)

    def have_changed_since(self, changes: int) -> bool:
        return self.changes > changes

    def stop(self) -> None:
        self._stopped.set()

    def change_until_stopped(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - choices, no secrets
        while not self._stopped.is_set():
            self._change(chance)
            with self._lock:
                self.changes += 1

    def _change(self, chance: random.Random) -> None:
        """Register a job, or change one of any age, which nobody else ends meanwhile."""
        job = self._take(chance)
        if job is None or chance.random() < 0.3:
            self._keep(self._open, self._register())
        if job is None:
            return
        if chance.random() < 0.3:
            self._end(job)
            return
        if chance.random() < 0.5:
            self._tell(f"{job}/reports", {"attempt": 1, "progress": {"done": chance.random()}})
        else:
            self._tell(f"{job}/labels", {"set": {"colour": chance.choice(("red", "green"))}})
        self._keep(self._open, job)

    def _take(self, chance: random.Random) -> str | None:
        with self._lock:
            if not self._open:
                return None
            return self._open.pop(chance.randrange(len(self._open)))

    def _register(self) -> str:
        number = next(self._numbers)
        said = {"operation": "backup", "instance": f"client-{number}", "external_id": str(number)}
        job: str = self._tell("", said)["job"]["uuid"]
        self._keep(self._registered, job)
        return job

    def _end(self, job: str) -> None:
        self._tell(f"{job}/end", {"outcome": "succeeded"})
        self._keep(self._ended, job)

    def _keep(self, jobs: list[str], job: str) -> None:
        with self._lock:
            jobs.append(job)

    def _tell(self, path: str, said: Any) -> Any:
        whole = f"/api/v1/jobs/{path}".rstrip("/")
        return self.answered("POST", whole, json=said)

    def answered(self, method: str, path: str, **given: Any) -> Any:
        """Return what the service says to a request of this thread, which it must take."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers["Authorization"] = f"Bearer {self._place.token}"
        answer = self._local.session.request(
            method, f"{self._place.url}{path}", timeout=PATIENCE_S, **given
        )
        assert answer.ok, (path, answer.text)
        return answer.json()


def test_each_job_that_is_there_throughout_is_seen_once(
    place: Place, chance: random.Random, size: Size
) -> None:
    """In walks through both bases, in each of their orders, and in an export."""
    clients = Clients(place)
    clients.begin(size.jobs, chance)
    with ThreadPoolExecutor(size.clients) as pool:
        working = [
            pool.submit(clients.change_until_stopped, chance.getrandbits(32))
            for _ in range(size.clients)
        ]
        try:
            walks = [
                seen_once(clients, partial(walked, clients, path, size.page), path)
                for _ in range(size.rounds)
                for path in WALKS
            ]
            walks.append(seen_once(clients, partial(exported, place), "export"))
        finally:
            clients.stop()
        for each in working:
            each.result(PATIENCE_S)
    sys.stdout.write(
        f"{size.clients} clients made {clients.changes} changes during {len(walks)} walks through"
        f" {min(walks)} to {max(walks)} jobs\n"
    )


def seen_once(clients: Clients, walk: Callable[[], Iterator[str]], name: str) -> int:
    """Check one walk; return how many jobs it saw."""
    there = clients.ended() if name.endswith("ended") else clients.jobs()
    seen = Counter(walk())
    assert not [job for job, times in seen.items() if times > 1], name
    assert not there - seen.keys(), name
    return len(seen)


def walked(clients: Clients, path: str, limit: int) -> Iterator[str]:
    """Yield the jobs of all pages; something has changed between any two of them."""
    after: str | None = ""
    while after is not None:
        changes = clients.changes
        sign = "&" if "?" in path else "?"
        query = urlencode({"limit": limit, "after": after})
        said = clients.answered("GET", f"{path}{sign}{query}")
        for job in said["jobs"] if "jobs" in said else said["objects"]:
            yield job["uuid"]
        after = said["next"] if "jobs" in said else said["meta"]["next"]
        if after is not None:
            wait_for("for a change", partial(clients.have_changed_since, changes))


def exported(place: Place) -> Iterator[str]:
    done = run_command(
        *("export", "--format", "jsonl"),
        env={"JOB_LEDGER_URL": place.url, "JOB_LEDGER_TOKEN": place.token},
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        yield json.loads(line)["uuid"]
