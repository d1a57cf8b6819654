"""One account fills a disk: the others read and delete, nothing is lost, and it passes by itself.

The ledger is on a small disk, or the pool, or both. The process is killed in each state.
"""

import os
import shutil
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.client import BLOCK, Api, data_blocks
from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server
from tests.faults.conftest import mounted
from tests.support.wait import PATIENCE_S, wait_for

MIB = 1024**2
RESERVE = 4 * MIB
DISK = f"size={24 * MIB}"
HOG = "hog@example.test"
SERVE = ("--reserve", "128M")
DRIVE = {"media": "disk", "size": 512 * MIB}
META = {"notes": "x" * 60_000}
"""It makes a ledger grow fast, and an archive of it short."""
IMAGE = data_blocks(2 * MIB // BLOCK)
INODES = 30


class Filled:
    """A machine with something on a small disk, where two accounts have drives."""

    def __init__(self, machine: Machine, disk: Path) -> None:
        self.machine = machine
        self.disk = disk
        added = machine.command("account", "add", HOG, "--password-stdin", stdin=f"{PASSWORD}\n")
        assert added.returncode == 0, added.stderr
        self.there: set[str] = set()
        """The drives that somebody was told to have."""
        self.start()

    def start(self) -> None:
        self.server: Server = self.machine.start(*SERVE)
        self.other = self.server.api
        self.hog = Api(self.other.address, HOG, PASSWORD)
        self.check_nothing_is_lost()

    def kill_and_start(self) -> None:
        self.hog.close()
        self.server.kill()
        self.start()

    def check_nothing_is_lost(self) -> None:
        shown = {drive["uuid"] for api in (self.other, self.hog) for drive in api.drives()}
        assert shown == self.there

    def free(self) -> int:
        found = os.statvfs(self.disk)
        return found.f_bavail * found.f_frsize

    def take_all_but(self, left: int) -> None:
        """What is not ours takes the rest of the disk."""
        with (self.disk / "filler").open("ab", buffering=0) as filler:
            while self.free() > left:
                filler.write(bytes(min(self.free() - left, MIB)))

    def give_all_back(self) -> None:
        (self.disk / "filler").unlink()

    def create(self, api: Api, **said: object) -> str:
        (drive,) = api.post("/drives/", {**DRIVE, "name": "elm", **said}, status=201)["objects"]
        self.there.add(drive["uuid"])
        return str(drive["uuid"])

    def wait_for_room(self, api: Api) -> None:
        """Until something new is recorded again: then the reserve has been made."""

        def is_recorded() -> bool:
            made = api.call("POST", "/drives/", json={**DRIVE, "name": "elm"})
            if made.status_code == 507:
                return False
            api.delete(f"/drives/{made.json()['objects'][0]['uuid']}/")
            return True

        wait_for("for room on the disk", is_recorded)

    def delete(self, api: Api, *drives: str) -> None:
        for drive in drives:
            api.delete(f"/drives/{drive}/")
            self.there.discard(drive)

    def hog_records(self) -> list[str]:
        """The hog makes drives until it is told that there is no room."""
        made = []
        while True:
            answer = self.hog.call("POST", "/drives/", json={**DRIVE, "name": "oak", "meta": META})
            if answer.status_code != 201:
                check_told_what_helps(answer.status_code, answer.text, "ledger's disk is full")
                assert answer.headers["X-Ledger-Outcome"] == "not-recorded"
                return made
            made.append(answer.json()["objects"][0]["uuid"])
            self.there.add(made[-1])

    def hog_uploads(self) -> list[str]:
        """The hog uploads images until none is begun any more: the pool is known to be full."""
        made = []
        while True:
            answer = self.hog.call("POST", "/drives/upload/oak", data=IMAGE)
            if answer.status_code != 200:
                check_told_what_helps(answer.status_code, answer.text, "delete drives")
                if "every other" in answer.text:
                    return made
            else:
                made.append(answer.text.strip())
                self.there.add(made[-1])

    def discard_the_deleted(self) -> None:
        ran = self.machine.command("retention", "run")
        assert ran.returncode == 0, ran.stderr

    def end(self) -> None:
        self.check_nothing_is_lost()
        self.hog.close()
        assert self.server.stop() == 0
        self.machine.check_sound()


def check_told_what_helps(status: int, text: str, words: str) -> None:
    assert status == 507, text
    assert words in text


def cycles() -> list[object]:
    return [2, pytest.param(20, marks=pytest.mark.long)]


@pytest.fixture
def disk(machine: Machine, tmp_path: Path) -> Iterator[Path]:
    """A small disk, to be filled; what uses it is closed before it is unmounted."""
    with mounted(tmp_path / "disk", DISK) as disk:
        yield disk
        machine.close()


def with_data_on(disk: Path, machine: Machine) -> Machine:
    machine.data = shutil.copytree(machine.data, disk / "data")
    return machine


def with_pool_on(disk: Path, machine: Machine) -> Machine:
    machine.pool = disk / "pool"
    return machine


@pytest.mark.parametrize("cycles", cycles())
def test_one_account_fills_the_disk_of_the_ledger(
    machine: Machine, disk: Path, cycles: int
) -> None:
    filled = Filled(with_data_on(disk, machine), disk)
    assert machine.command("retention", "set", "PT0S").returncode == 0
    for _ in range(cycles):
        others = [filled.create(filled.other) for _ in range(3)]
        filled.take_all_but(2 * RESERVE)
        hogs = filled.hog_records()
        filled.take_all_but(RESERVE - MIB)  # or the log, begun anew, gives the little that lacks

        edited = filled.other.call("PUT", f"/drives/{others[0]}/", json={**DRIVE, "name": "ash"})
        check_told_what_helps(edited.status_code, edited.text, "ledger's disk is full")
        filled.delete(filled.other, others[0])
        filled.kill_and_start()

        filled.take_all_but(0)
        filled.delete(filled.other, others[1])  # for which the reserve is given up
        filled.kill_and_start()
        filled.take_all_but(MIB // 2)
        filled.delete(filled.other, others[2])

        filled.give_all_back()
        filled.take_all_but(2 * RESERVE - MIB)
        filled.delete(filled.hog, *hogs)
        filled.discard_the_deleted()
        filled.wait_for_room(filled.hog)
        filled.kill_and_start()
        filled.give_all_back()
    filled.end()


def test_a_start_without_a_free_byte(machine: Machine, disk: Path) -> None:
    """The reserve is given up before SQLite opens the file; it was closed in order."""
    filled = Filled(with_data_on(disk, machine), disk)
    drive = filled.create(filled.other)
    filled.hog.close()
    assert filled.server.stop() == 0
    filled.take_all_but(0)
    filled.start()
    filled.delete(filled.other, drive)
    filled.give_all_back()
    filled.wait_for_room(filled.other)
    filled.end()


@pytest.mark.parametrize("cycles", cycles())
def test_one_account_fills_the_pool(machine: Machine, disk: Path, cycles: int) -> None:
    filled = Filled(with_pool_on(disk, machine), disk)
    for _ in range(cycles):
        image = filled.other.upload(IMAGE)
        filled.there.add(image)
        hogs = filled.hog_uploads()
        assert filled.free() > MIB
        for refused in (
            filled.other.call("POST", f"/drives/{image}/action/?do=clone"),
            filled.other.call("POST", "/drives/upload/oak", data=IMAGE),
        ):
            check_told_what_helps(refused.status_code, refused.text, "delete drives")
        filled.kill_and_start()
        assert filled.other.download(image) == IMAGE
        filled.delete(filled.other, image, filled.create(filled.other))
        filled.delete(filled.hog, *hogs)
        machine.wait_for_files()
    filled.end()


@pytest.mark.parametrize("cycles", cycles())
def test_one_account_fills_a_disk_with_ledger_and_pool(
    machine: Machine, disk: Path, cycles: int
) -> None:
    """Images leave the ledger its room, so that the others go on; then the ledger is filled."""
    filled = Filled(with_pool_on(disk, with_data_on(disk, machine)), disk)
    assert machine.command("retention", "set", "PT0S").returncode == 0
    for _ in range(cycles):
        image = filled.other.upload(IMAGE)
        filled.there.add(image)
        hogs = filled.hog_uploads()
        assert filled.free() > RESERVE
        drive = filled.create(filled.other)
        hogs += filled.hog_records()
        filled.kill_and_start()
        assert filled.other.download(image) == IMAGE
        filled.take_all_but(0)
        filled.delete(filled.other, drive)
        filled.kill_and_start()
        filled.delete(filled.other, image)
        filled.delete(filled.hog, *hogs)
        machine.wait_for_files()
        filled.give_all_back()
        filled.discard_the_deleted()
        filled.wait_for_room(filled.other)
    filled.end()


@pytest.mark.long
def test_a_client_that_does_not_read_its_list_fills_no_disk(
    machine: Machine, tmp_path: Path
) -> None:
    """The ledger's log stays short, because the list is cut; it does not look complete."""
    reserve, many = 16 * MIB, 210
    with mounted(tmp_path / "disk", f"size={8 * reserve}") as disk:
        filled = Filled(with_data_on(disk, machine), disk)
        for _ in range(many):
            filled.create(filled.other, meta=META)
        wal = machine.data / "ledger.sqlite-wal"
        with asking(filled.other, "/drives/detail/?limit=0") as slow:
            received = slow.recv(MIB)
            longest = 0
            for _ in range(100):
                filled.create(filled.hog, meta=META)
                longest = max(longest, wal.stat().st_size)
            assert reserve // 4 < longest <= reserve // 2
            while more := slow.recv(MIB):
                received += more
        assert received.startswith(b"HTTP/1.1 200 OK")
        assert received.count(b'"is_ephemeral"') < many
        assert len(filled.other.drives()) == many
        filled.end()
        machine.close()


@contextmanager
def asking(api: Api, path: str) -> Iterator[socket.socket]:
    """A connection over which this was asked for, and that takes in little at a time."""
    host, _, port = api.address.removeprefix("http://").partition(":")
    account = b64encode(f"{EMAIL}:{PASSWORD}".encode()).decode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE_S)
        connection.connect((host, int(port)))
        connection.sendall(
            f"GET /api/2.0{path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Authorization: Basic {account}\r\nConnection: close\r\n\r\n".encode()
        )
        yield connection


def test_no_drive_is_made_without_an_inode(machine: Machine, tmp_path: Path) -> None:
    """It is refused before its 201, in words; who was told to have one has it, and its image."""
    with mounted(tmp_path / "disk", f"nr_inodes={INODES}") as disk:
        filled = Filled(with_pool_on(disk, machine), disk)

        def refused(*drives: dict[str, object]) -> bool:
            answer = filled.other.call("POST", "/drives/", json={"objects": drives})
            if answer.status_code == 201:
                filled.there |= {each["uuid"] for each in answer.json()["objects"]}
                return False
            check_told_what_helps(answer.status_code, answer.text, "delete drives")
            return True

        new: dict[str, object] = {**DRIVE, "name": "elm"}
        assert refused(*[new] * (INODES + 1))
        wait_for("for the inodes to be used up", lambda: refused(new))
        machine.wait_for_files(*filled.there)
        statuses = {each["status"] for each in filled.other.drives()}
        assert statuses == {"unmounted"}
        uploaded = filled.other.call("POST", "/drives/upload/oak", data=IMAGE)
        check_told_what_helps(uploaded.status_code, uploaded.text, "delete drives")
        filled.kill_and_start()
        filled.delete(filled.other, *list(filled.there)[: INODES // 2])
        machine.wait_for_files(*filled.there)
        assert not refused(new)
        machine.wait_for_files(*filled.there)
        filled.end()
        machine.close()


def test_a_copy_under_way_ends_on_a_low_disk(machine: Machine, disk: Path) -> None:
    """Its progress is shown, and its end is recorded; in between nothing is."""
    filled = Filled(with_data_on(disk, machine), disk)
    filled.hog.close()
    filled.server.kill()
    server = machine.start(*SERVE, "--copy-rate", "1M")
    source = server.api.upload(data_blocks(4 * MIB // BLOCK))
    clone = server.api.clone(source)
    wait_for("for the copy to be under way", lambda: progress_of(server.api, clone.job) > 0)
    filled.take_all_but(RESERVE - MIB)
    server.api.succeed(clone.job)
    told = [event.name for event in machine.history(clone.job)]
    assert told[-1] == "job-succeeded"
    assert told.count("job-attempt-started") == 1
    assert server.stop() == 0
    machine.check_sound()


def progress_of(api: Api, job: str) -> int:
    return int(api.job(job)["data"]["progress"])
