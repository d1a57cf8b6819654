"""A disk that fails the ledger: the service stops by itself, and what it acknowledged is there."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest
import requests

from api.cli import signals
from tests.acceptance.client import Api, data_blocks, striped
from tests.acceptance.running import Machine, Server
from tests.support.wait import PATIENCE_S

MIB = 1024**2
STORE_FAILED = 70
CLIENTS = 6
DRIVE = {"media": "disk", "size": 512 * MIB}


class Told(NamedTuple):
    """What clients were told: uuids of drives that they have, names of those that they have not."""

    made: set[str]
    undone: set[str]

    def and_made(self, uuid: str) -> "Told":
        return Told(self.made | {uuid}, self.undone)


async def test_requests_are_answered_before_the_process_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What their clients are told then is known; a lost connection would tell them nothing."""
    order: list[str] = []

    def end(code: int) -> NoReturn:
        order.append(f"exit {code}")
        raise InterruptedError

    monkeypatch.setattr(signals.os, "_exit", end)
    monkeypatch.setattr(signals.logging, "shutdown", lambda: None)
    failed = asyncio.Event()
    failed.set()
    asyncio.get_running_loop().call_later(signals.ANSWERING_S / 2, order.append, "answered")
    with pytest.raises(InterruptedError):
        await signals.end_with_store(failed)
    assert order == ["answered", f"exit {STORE_FAILED}"]


def create_until_refused(api: Api, client: int) -> Told:
    """Creates drives until one is not acknowledged."""
    told = Told(set(), {"too late"})
    for nth in range(10_000):
        name = f"{client}-{nth}"
        try:
            answer = api.call("POST", "/drives/", json={**DRIVE, "name": name})
        except requests.ConnectionError:
            return told
        if answer.status_code != 201:
            assert answer.status_code == 503, answer.text
            if answer.headers["X-Ledger-Outcome"] == "not-recorded":
                told.undone.add(name)
            check_nothing_more(api)
            return told
        told.made.add(answer.json()["objects"][0]["uuid"])
    pytest.fail("the store never failed")


def check_nothing_more(api: Api) -> None:
    """A server whose store has failed acknowledges nothing any more."""
    try:
        answer = api.call("POST", "/drives/", json={**DRIVE, "name": "too late"})
    except requests.ConnectionError:
        return
    assert answer.status_code == 503, answer.text
    assert answer.headers["X-Ledger-Outcome"] == "not-recorded"


def told_to_clients(server: Server) -> Told:
    """What many clients at once were told, until the server failed."""

    def create(client: int) -> Told:
        with server.api.another() as api:
            return create_until_refused(api, client)

    with ThreadPoolExecutor(CLIENTS) as threads:
        told = list(threads.map(create, range(CLIENTS)))
    return Told(
        {uuid for each in told for uuid in each.made},
        {name for each in told for name in each.undone},
    )


def check_recovered(machine: Machine, told: Told) -> None:
    """The next start shows all that was acknowledged, works, and is sound."""
    server = machine.start()
    shown = {drive["uuid"]: drive["name"] for drive in server.api.drives()}
    assert told.made <= set(shown)
    assert told.undone.isdisjoint(shown.values())
    clone = server.api.clone(server.api.upload(striped(1)))
    server.api.succeed(clone.job)
    machine.wait_for_files(*(drive["uuid"] for drive in server.api.drives()))
    assert server.stop() == 0
    machine.check_sound()


@contextmanager
def failing_syncs(machine: Machine, server: Server, when: str) -> Iterator[None]:
    """Makes syncs of the ledger's log fail from now on; `when` counts them in each thread."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace to make system calls fail")
    strace = subprocess.Popen(
        [
            *("strace", "-f", "-o", "/dev/null", "-p", str(server.pid)),
            *("-P", str(machine.data / "ledger.sqlite-wal"), "-e", "trace=fsync,fdatasync"),
            *("-e", f"inject=fsync,fdatasync:error=EIO:when={when}"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert strace.stderr is not None
    said = strace.stderr.readline()
    try:
        if "attached" not in said:
            pytest.skip(f"strace may not trace here: {said.strip()}")
        yield
    finally:
        if server.process.poll() is None:
            server.kill()  # strace ends with it
        strace.communicate(timeout=PATIENCE_S)


@pytest.mark.parametrize("when", ["1", "20", "20+"], ids=["first", "once", "for good"])
def test_failing_sync(machine: Machine, when: str) -> None:
    """A commit whose sync fails, be it only once, ends the process and is nobody's success."""
    server = machine.start()
    first = server.api.upload(striped(1))
    with failing_syncs(machine, server, when):
        told = told_to_clients(server)
        assert server.ended() == STORE_FAILED
    assert (len(told.made) > 0) == (when != "1")
    check_recovered(machine, told.and_made(first))


def test_failing_sync_during_a_copy(machine: Machine) -> None:
    """A sync that fails under a worker's report ends the process; the next start ends the job."""
    server = machine.start("--copy-rate", "3M")
    source = server.api.upload(data_blocks(128))  # 8 MiB
    # The first two are of the clone and of the attempt, the third is of a checkpoint.
    with failing_syncs(machine, server, "3"):
        clone = server.api.clone(source)
        assert server.ended() == STORE_FAILED
    names = [event.name for event in machine.history(clone.job)]
    assert names[:2] == ["job-created", "job-attempt-started"]
    assert "job-succeeded" not in names

    server = machine.start()
    server.api.succeed(clone.job)
    assert server.api.download(clone.uuid) == server.api.download(source)
    machine.wait_for_files(source, clone.uuid)
    assert server.stop() == 0
    machine.check_sound()


@pytest.fixture
def small_data(machine: Machine, small_disk: Path) -> Iterator[Machine]:
    """A machine whose data directory is on the small disk; the pool is not."""
    data = small_disk / "data"
    shutil.copytree(machine.data, data)
    machine.data = data
    yield machine
    machine.close()


def test_start_on_a_full_disk(small_data: Machine, small_disk: Path) -> None:
    """A start without any room serves what is there; afterwards nothing is missing."""
    server = small_data.start()
    drive = server.api.upload(striped(1))
    server.kill()
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free))
    server = small_data.start()
    assert [each["uuid"] for each in server.api.drives()] == [drive]
    server.kill()
    filler.unlink()
    check_recovered(small_data, Told({drive}, set()))
