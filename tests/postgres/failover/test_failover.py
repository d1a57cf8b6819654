"""The primary dies under load and its standby is promoted: clients notice only a pause.

No acknowledged clone is lost. Clients that got no answer, or a 503, repeat the request with the
same key and have their clone once.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from threading import Event, Thread

import pytest
import requests

from tests.acceptance.client import Api, Json, sha256, striped
from tests.acceptance.running import Machine
from tests.postgres.beginning import begin
from tests.support.cluster import Cluster, cluster
from tests.support.wait import wait_for

CLIENTS = 4
BEFORE = 10
"""Clones that are acknowledged before the primary dies, and as many afterwards."""
AGAIN = 503
PAUSE_S = 0.05
CLIENT_S = 20.0
"""After so long a client asks again."""


@pytest.fixture
def servers() -> Iterator[Cluster]:
    with cluster() as servers:
        yield servers


class Cloning:
    """Clients that clone a drive until asked to stop, each clone under its own key."""

    def __init__(self, api: Api, drive: str, random: random.Random) -> None:
        self._path = f"/drives/{drive}/action/?do=clone"
        self._stop = Event()
        self._random = random
        self.acknowledged: dict[str, Json] = {}
        self.repeated: Counter[str] = Counter()
        self._threads = [Thread(target=self._run, args=(api.another(),)) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Each client repeats its request until it gets an answer."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, api: Api) -> None:
        with api:
            while not self._stop.is_set():
                key = f"key-{self._random.getrandbits(64)}"
                self.acknowledged[key] = self._clone(api, key)

    def _clone(self, api: Api, key: str) -> Json:
        while True:
            try:
                answer = api.call(
                    "POST", self._path, headers={"Idempotency-Key": key}, timeout=CLIENT_S
                )
            except requests.RequestException:
                self.repeated[key] += 1
                continue
            if answer.status_code == AGAIN:
                self.repeated[key] += 1
                self._stop.wait(PAUSE_S)
                continue
            assert answer.status_code == 202, answer.text
            found: Json = answer.json()["objects"][0]
            return found


def fail_over(servers: Cluster, api: Api, drive: str, seed: int) -> Cloning:
    """Clone, lose the primary at some moment, and continue until there are as many clones again."""
    cloning = Cloning(api, drive, random.Random(seed))  # noqa: S311 - to be run again
    try:
        wait_for("for clones", at_least(cloning, BEFORE))
        before = dict(cloning.acknowledged)
        servers.fail_over()
        wait_for("for clones", at_least(cloning, len(before) + CLIENTS + BEFORE))
    finally:
        cloning.stop()
    return cloning


def at_least(cloning: Cloning, count: int) -> Callable[[], bool]:
    return lambda: len(cloning.acknowledged) >= count


@pytest.mark.parametrize(
    "failures", [1, pytest.param(10, marks=pytest.mark.long)], ids=["once", "ten times"]
)
def test_nothing_is_lost_and_nothing_is_done_twice(
    servers: Cluster, machine: Machine, failures: int
) -> None:
    """The service continues by itself; its record is sound, and every image exists."""
    server = begin(machine, servers.url)
    content = striped(2)
    source = server.api.upload(content)

    acknowledged: dict[str, Json] = {}
    repeated = 0
    for seed in range(failures):
        if seed:
            servers.add_standby()
        cloning = fail_over(servers, server.api, source, seed)
        acknowledged |= cloning.acknowledged
        repeated += len(cloning.repeated)

    print(f"{len(acknowledged)} clones, {repeated} of them asked for again")  # noqa: T201
    assert server.process.poll() is None
    expected = {clone["uuid"] for clone in acknowledged.values()}
    assert len(expected) == len(acknowledged)
    assert {drive["uuid"] for drive in server.api.drives()} == expected | {source}
    server.api.succeed(*(clone["jobs"][0]["uuid"] for clone in acknowledged.values()))
    for uuid in expected:
        assert sha256(machine.image(uuid).read_bytes()) == sha256(content), uuid
    machine.check_sound()
    assert server.stop() == 0
