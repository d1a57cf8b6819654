"""A whole server that is killed at random moments, again and again, and stopped in between.

The moments follow from the seed of the run.
"""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime

import pytest
import requests

from tests.acceptance.client import BLOCK, Api, Json, data_blocks, sha256, striped
from tests.acceptance.running import Machine, Server
from tests.support.wait import PATIENCE_S, wait_for

MIB = 1024**2
KILLS = 10
KILLS_LONG = 200
LIFE_S = (0.02, 1.5)
"""A server lives so long after it listens; nobody is to know how far it has come by then."""
SLOW, FAST = "512K", "8M"
ENOUGH = 12
"""Unfinished clones; more are not asked for."""


@pytest.fixture
def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - moments, no secrets


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return KILLS_LONG if request.config.getoption("--long") else KILLS


class Seen:
    """What the client was told, by all servers together."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.digests: dict[str, str] = {}
        """What each drive that was made must hold."""
        self.clones: dict[str, str] = {}
        """The job of each clone that was acknowledged, of servers too."""
        self.deleted: set[str] = set()
        self.dying: set[str] = set()
        """Asked to be deleted without an answer: may be there or not."""
        self.progress: dict[str, int] = {}
        self.ended: set[str] = set()
        self.wrong: list[str] = []

    def look_at(self, job: Json) -> None:
        """Notes what is shown of a job and its children."""
        uuid, progress = job["uuid"], job["data"]["progress"]
        if progress < self.progress.get(uuid, 0):
            self.wrong.append(f"job {uuid} went from {self.progress[uuid]} back: {job}")
        if uuid in self.ended and job["state"] != "success":
            self.wrong.append(f"job {uuid} had ended: {job}")
        if job["state"] not in {"started", "success"}:
            self.wrong.append(f"job {uuid} failed: {job}")
        if job["state"] == "success":
            self.ended.add(uuid)
        self.progress[uuid] = progress
        for child in job["children"]:
            self.look_at(child)

    def unfinished(self) -> int:
        return sum(job not in self.ended for job in self.clones.values())


# The sleeps of the acts make a random mixture of them.
Act = Callable[[Api, Seen, random.Random], None]


def repeated(
    act: Act, server: Server, seen: Seen, seed: int, over: threading.Event
) -> threading.Thread:
    """Does the act over and over in a thread until the server is gone."""
    chance = random.Random(seed)  # noqa: S311

    def run() -> None:
        with server.api.another() as api:
            while not over.is_set():
                try:
                    act(api, seen, chance)
                except requests.RequestException:
                    return  # killed
                except BaseException as error:  # noqa: BLE001 - the test fails with it
                    seen.wrong.append(repr(error))
                    return

    thread = threading.Thread(target=run, name=act.__name__)
    thread.start()
    return thread


def watch(api: Api, seen: Seen, _: random.Random) -> None:
    """Looks at all jobs, one look after the other."""
    for job in api.jobs():
        seen.look_at(job)
    time.sleep(0.01)


def clone_drives(api: Api, seen: Seen, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.1))
    if seen.unfinished() < ENOUGH:
        with seen.lock:
            source = chance.choice(sorted(set(seen.digests) - set(seen.clones)))
        clone = api.clone(source)
        with seen.lock:
            seen.digests[clone.uuid] = seen.digests[source]
            seen.clones[clone.uuid] = clone.job


def clone_servers(api: Api, seen: Seen, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.5))
    if seen.unfinished() < ENOUGH:
        server = api.get("/servers/?limit=0")["objects"]
        original = next(each["uuid"] for each in server if each["name"] == "original")
        clone = api.clone_server(original, name="copy")
        seen.clones[clone.uuid] = clone.job


def delete_clones(api: Api, seen: Seen, chance: random.Random) -> None:
    """Deletes finished clones of drives, so that the disk does not fill up."""
    time.sleep(chance.uniform(0, 0.2))
    with seen.lock:
        finished = [
            drive
            for drive, job in seen.clones.items()
            if job in seen.ended and drive in seen.digests and drive not in seen.dying
        ]
    if len(finished) > ENOUGH:
        drive = chance.choice(finished)
        seen.dying.add(drive)
        api.delete(f"/drives/{drive}/")
        seen.deleted.add(drive)


def upload(api: Api, seen: Seen, chance: random.Random) -> None:
    content = data_blocks(chance.randrange(1, 100), chance.randrange(2**32))
    drive = api.upload(Slow(content, chance))
    seen.digests[drive] = sha256(content)


class Slow:
    """A body that does not come all at once."""

    def __init__(self, content: bytes, chance: random.Random) -> None:
        self._content = content
        self._chance = chance

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, len(self._content), 4 * BLOCK):
            time.sleep(self._chance.uniform(0, 0.01))
            yield self._content[at : at + 4 * BLOCK]


def create_drives(api: Api, seen: Seen, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.02))
    drive = {"name": "blank", "media": "disk", "size": 512 * MIB}
    created = api.post("/drives/", [drive] * chance.randrange(1, 4), status=201)
    for each in created["objects"]:
        seen.digests[each["uuid"]] = ""


def delete_blanks(api: Api, seen: Seen, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.02))
    blanks = [drive for drive, digest in [*seen.digests.items()] if not digest]
    blanks = [drive for drive in blanks if drive not in seen.dying]
    if len(blanks) > ENOUGH:
        drive = chance.choice(blanks)
        seen.dying.add(drive)
        api.delete(f"/drives/{drive}/")
        seen.deleted.add(drive)


def live_and_die(
    machine: Machine, seen: Seen, acts: Sequence[Act], chance: random.Random, *options: str
) -> None:
    """One life of a server, with everybody acting at once, and its sudden end."""
    server = machine.start(*options)
    over = threading.Event()
    threads = [repeated(act, server, seen, chance.randrange(2**32), over) for act in acts]
    time.sleep(chance.uniform(*LIFE_S))
    server.kill()
    over.set()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), f"{thread.name} does not end"
    assert seen.wrong == []


def check_drives(machine: Machine, api: Api, seen: Seen) -> None:
    """What was acknowledged is there and right, what was deleted is gone; no file is too many."""
    drives = {drive["uuid"]: drive for drive in api.drives()}
    assert {drive["status"] for drive in drives.values()} <= {"unmounted", "mounted"}
    assert set(seen.digests) - seen.dying <= set(drives), "acknowledged and lost"
    assert not seen.deleted & set(drives), "deleted and back"
    machine.wait_for_files(*drives)
    for uuid, digest in seen.digests.items():
        if uuid in drives and digest:
            assert sha256(machine.image(uuid).read_bytes()) == digest, drives[uuid]
        elif uuid in drives:
            assert machine.image(uuid).stat().st_size == drives[uuid]["size"]


def test_kill_while_clones_run(machine: Machine, chance: random.Random, kills: int) -> None:
    """Clones survive any number of kills: none is lost, goes back or differs from its source."""
    seen = Seen()
    options = ("--copy-rate", "16M", "--copies-per-pool", "3")
    server = machine.start(*options)
    contents = [striped(5), striped(64, seed=2), data_blocks(200, seed=3)]
    sources = [server.api.upload(content) for content in contents]
    seen.digests = dict(zip(sources, map(sha256, contents), strict=True))
    disks = [server.api.upload(striped(count, seed=count)) for count in (9, 18)]
    seen.digests |= {disk: sha256(machine.image(disk).read_bytes()) for disk in disks}
    server.api.create_server(*disks, name="original")
    server.kill()

    for _ in range(kills):
        acts = [watch, clone_drives, clone_servers, delete_clones]
        live_and_die(machine, seen, acts, chance, *options)

    kill_at_a_copy(machine, seen, sources[-1])
    server = machine.start("--copies-per-pool", "3")
    api = server.api
    wait_for("for all jobs", lambda: all(_ended(job, seen) for job in api.jobs()))
    assert seen.wrong == []
    known = {job["uuid"] for job in api.jobs()}
    assert set(seen.clones.values()) <= known, "acknowledged and lost"
    for uuid, job in seen.clones.items():
        shown = api.job(job)
        assert (shown["state"], shown["data"]) == ("success", {"progress": 100})
        if uuid not in seen.digests:
            check_server(api, machine, uuid, disks)
    check_drives(machine, api, seen)
    assert server.stop() == 0
    assert taken_up_again(machine) > 0
    machine.check_sound()


def kill_at_a_copy(machine: Machine, seen: Seen, source: str) -> None:
    """Whatever the moments were: at least one kill meets a copy."""
    server = machine.start("--copy-rate", SLOW, "--copies-per-pool", "64")
    clone = server.api.clone(source)
    seen.digests[clone.uuid], seen.clones[clone.uuid] = seen.digests[source], clone.job
    wait_for("for its first bytes", lambda: server.api.job(clone.job)["data"].get("bytes_done"))
    server.kill()


def _ended(job: Json, seen: Seen) -> bool:
    seen.look_at(job)
    return bool(job["state"] != "started")


def taken_up_again(machine: Machine) -> int:
    """How often a job was begun that an earlier server had begun."""
    with closing(sqlite3.connect(machine.data / "ledger.sqlite")) as ledger:
        (count,) = ledger.execute(
            "SELECT count(*) FROM stored_events WHERE topic LIKE 'job-attempt-started/%'"
            " AND json_extract(state, '$.event.attempt') > 1"
        ).fetchone()
    return int(count)


def check_server(api: Api, machine: Machine, server: str, disks: list[str]) -> None:
    """The clone's disks are copies of these, mounted at the same places."""
    copies = [mount["drive"]["uuid"] for mount in api.server(server)["drives"]]
    assert len(copies) == len(disks)
    for disk, copy in zip(disks, copies, strict=True):
        assert api.drive(copy)["status"] == "mounted"
        assert machine.image(copy).read_bytes() == machine.image(disk).read_bytes()


def test_kill_during_uploads_and_creations(
    machine: Machine, chance: random.Random, kills: int
) -> None:
    """A drive that was answered with survives kills whole, and one that was not leaves nothing."""
    seen = Seen()
    for _ in range(kills):
        acts = [upload, upload, create_drives, delete_blanks]
        live_and_die(machine, seen, acts, chance)

    server = machine.start()
    wait_for(
        "for all drives",
        lambda: {drive["status"] for drive in server.api.drives()} <= {"unmounted"},
    )
    check_drives(machine, server.api, seen)
    assert server.stop() == 0
    machine.check_sound()


def test_stop_in_the_middle_of_a_copy(machine: Machine) -> None:
    """Asked to stop, the server ends in time, and its next start goes on from the checkpoint."""
    rate, content = 8 * MIB, data_blocks(16 * MIB // BLOCK)
    server = machine.start("--copy-rate", SLOW)
    clone = server.api.clone(server.api.upload(content))
    wait_for(
        "for some of the copy",
        lambda: server.api.job(clone.job)["data"].get("bytes_done", 0) >= MIB,
    )
    assert server.stop() == 0
    assert machine.files() > {f"{clone.uuid}.1.part"}
    stopped_at = machine.history(clone.job)[-1].fields
    assert MIB <= stopped_at["offset"] < len(content)

    api = machine.start("--copy-rate", str(rate)).api
    seen = [each["data"] for each in api.follow(clone.job)]
    assert all(data.get("bytes_done", len(content)) >= stopped_at["bytes_done"] for data in seen)
    assert all(data["progress"] >= stopped_at["progress"] for data in seen)
    history = machine.history(clone.job)
    assert [event.name for event in history if event.name != "progress-updated"] == [
        "job-created",
        "job-attempt-started",
        "job-attempt-started",
        "job-succeeded",
    ]
    reports = [event.fields for event in history if event.name == "progress-updated"]
    offsets = [report["offset"] for report in reports]
    assert offsets == sorted(offsets)
    again = history[[event.fields.get("attempt") for event in history].index(2)]
    left_s = (len(content) - stopped_at["offset"]) / rate
    took_s = _seconds(again.recorded_at, history[-1].recorded_at)
    assert left_s * 0.8 - 0.2 < took_s
    assert sha256(api.download(clone.uuid)) == sha256(content)


def test_kill_in_the_middle_of_a_copy(machine: Machine) -> None:
    """Killed in the middle of a copy, the server goes on from the last checkpoint."""
    content = data_blocks(16 * MIB // BLOCK)
    server = machine.start("--copy-rate", SLOW)
    api = server.api
    clone = api.clone(api.upload(content))
    history = f"/jobs/{clone.job}/history/"
    wait_for(
        "for a checkpoint",
        lambda: api.get(history)["objects"][-1]["event"].startswith("progress-updated"),
    )
    server.kill()
    last = machine.history(clone.job)[-1]
    assert last.name == "progress-updated"
    killed_at = last.fields
    assert killed_at["bytes_done"] < len(content)

    api = machine.start("--copy-rate", FAST).api
    seen = [each["data"] for each in api.follow(clone.job)]
    assert all(data["progress"] >= killed_at["progress"] for data in seen)
    assert all(data.get("bytes_done", len(content)) >= killed_at["bytes_done"] for data in seen)
    assert sha256(api.download(clone.uuid)) == sha256(content)


def _seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
