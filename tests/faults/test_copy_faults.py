"""What a real server makes of full disks, of sources that change, and of uploads that go wrong."""

import base64
import os
import re
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.client import BLOCK, Api, Json, data_blocks, sha256, striped
from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server
from tests.faults.conftest import SMALL_DISK_BYTES
from tests.support.wait import PATIENCE_S, wait_for

MIB = 1024**2
SLOW = "512K"
"""A copy of some MiB takes long enough to be met in its middle, and ends by itself."""


class Tight:
    """A server with a pool that has no room for another image until there is made some."""

    def __init__(self, machine: Machine, server: Server, make_room: Callable[[], None]) -> None:
        self.machine = machine
        self.server = server
        self.api = server.api
        self.make_room = make_room


@pytest.fixture
def small(machine: Machine, small_disk: Path) -> Iterator[Machine]:
    """A machine whose pool is on the small disk."""
    machine.pool = small_disk / "pool"
    machine.pool.mkdir()
    yield machine
    machine.close()


@pytest.fixture
def full_disk(small: Machine, small_disk: Path) -> Tight:
    """A disk of 16 MiB with 7 MiB of something else on it."""
    filler = small_disk / "filler"
    filler.write_bytes(bytes(7 * MIB))
    return Tight(small, small.start(), filler.unlink)


@pytest.fixture
def limited_files(machine: Machine) -> Tight:
    """A process whose files cannot become larger than 5 MiB."""
    server = machine.start()

    def limit(size: int) -> None:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    limit(5 * MIB)
    return Tight(machine, server, lambda: limit(resource.RLIM_INFINITY))


@pytest.fixture(params=["full_disk", "limited_files"])
def tight(request: pytest.FixtureRequest) -> Tight:
    """Room for 5 MiB more at the most."""
    tight: Tight = request.getfixturevalue(request.param)
    return tight


def check_failed(api: Api, job: str, source: str, destination: str, error: str) -> None:
    """The job failed for this reason and what it made is gone; the source is free."""
    last = api.follow(job)[-1]
    assert last["state"] == "failed"
    assert error in last["data"]["error"]
    assert last["data"]["progress"] < 100
    assert last["resources"] == [f"/api/2.0/drives/{source}/"]
    assert api.status(f"/drives/{destination}/") == 404
    assert [drive["uuid"] for drive in api.drives()] == [source]
    shown = api.drive(source)
    assert shown["status"] == "unmounted"
    assert [named["uuid"] for named in shown["jobs"]] == [job]


def wait_for_bytes(api: Api, job: str) -> None:
    """Until some of the job is copied, and some not."""

    def some_done() -> bool:
        data = api.job(job)["data"]
        return bool(0 < data.get("bytes_done", 0) < data["bytes_total"])

    wait_for("for some bytes of the copy", some_done)


def test_full_disk_during_a_copy(full_disk: Tight) -> None:
    """A copy for which there is no room fails alone; with room made, the next one succeeds."""
    content = data_blocks(6 * MIB // BLOCK)
    api, machine = full_disk.api, full_disk.machine
    source = api.upload(content)
    failed = api.clone(source)
    check_failed(api, failed.job, source, failed.uuid, "PoolFull")
    machine.wait_for_files(source)
    assert sha256(api.download(source)) == sha256(content)

    full_disk.make_room()
    clone = api.clone(source)
    api.succeed(clone.job)
    assert sha256(api.download(clone.uuid)) == sha256(content)
    machine.wait_for_files(source, clone.uuid)
    full_disk.server.stop()
    machine.check_sound()


def test_file_limit_during_a_copy(limited_files: Tight) -> None:
    """A file that may not become as large as it must fails its copy alone, like a full disk."""
    content = data_blocks(4 * MIB // BLOCK)
    api, machine = limited_files.api, limited_files.machine
    source = api.upload(content)
    failed = api.clone(source, size=6 * MIB)
    check_failed(api, failed.job, source, failed.uuid, "PoolFull")
    machine.wait_for_files(source)

    limited_files.make_room()
    clone = api.clone(source, size=6 * MIB)
    api.succeed(clone.job)
    assert sha256(api.download(clone.uuid)) == sha256(content + bytes(2 * MIB))


def test_no_room_for_an_upload(tight: Tight) -> None:
    """An upload for which there is no room is refused and leaves nothing; then another fits."""
    api, machine = tight.api, tight.machine
    content = data_blocks(10 * MIB // BLOCK)
    answer = api.call("POST", "/drives/upload/", data=content)
    assert answer.status_code == 507, answer.text
    (error,) = answer.json()
    assert (error["error_type"], error["error_point"]) == ("backend", None)
    assert api.drives() == []
    machine.wait_for_files()

    tight.make_room()
    drive = api.upload(content)
    assert sha256(api.download(drive)) == sha256(content)
    machine.wait_for_files(drive)


def test_small_disk_is_as_small_as_thought(small_disk: Path) -> None:
    """The disk of these tests really has no room for more than 16 MiB."""
    state = os.statvfs(small_disk)
    assert state.f_bavail * state.f_frsize <= SMALL_DISK_BYTES


def write_to(image: Path) -> None:
    with image.open("r+b") as file:
        file.seek(64)
        file.write(b"something else")


def truncate(image: Path) -> None:
    os.truncate(image, BLOCK)


def replace(image: Path) -> None:
    new = image.with_name("new")
    new.write_bytes(image.read_bytes())
    new.rename(image)


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (write_to, "SourceChanged"),
        (truncate, "SourceChanged"),
        (replace, "SourceChanged"),
        (Path.unlink, "SourceVanished"),
    ],
    ids=["written", "truncated", "replaced", "removed"],
)
def test_source_harmed_during_a_copy(
    machine: Machine, harm: Callable[[Path], None], error: str
) -> None:
    """A copy fails if its source changes meanwhile; the service and other copies go on."""
    server = machine.start("--copy-rate", SLOW)
    api = server.api
    source = api.upload(data_blocks(3 * MIB // BLOCK))
    clone = api.clone(source)
    wait_for_bytes(api, clone.job)
    harm(machine.image(source))
    check_failed(api, clone.job, source, clone.uuid, error)
    wait_for(
        "for the copy's files to go",
        lambda: not [name for name in machine.files() if not name.startswith(source)],
    )

    other = api.upload(striped(1))
    api.succeed(api.clone(other).job)
    api.delete(f"/drives/{source}/")
    assert server.stop() == 0
    machine.check_sound()


def test_source_gone_before_its_copy(machine: Machine) -> None:
    """A copy whose source has lost its image fails before it begins."""
    api = machine.start().api
    source = api.upload(striped(1))
    machine.image(source).unlink()
    clone = api.clone(source)
    check_failed(api, clone.job, source, clone.uuid, "SourceVanished")
    machine.wait_for_files()


def test_server_clone_of_which_one_disk_fails(machine: Machine) -> None:
    """A server clone fails once all its disks have ended, and all that it made goes away."""
    server = machine.start("--copy-rate", SLOW)
    api = server.api
    disks = [api.upload(data_blocks(count, count)) for count in (24, 48)]
    source = api.create_server(*disks)
    clone = api.clone_server(source)
    copies = [mount["drive"]["uuid"] for mount in api.server(clone.uuid)["drives"]]
    wait_for("for both copies to begin", lambda: len(list(machine.pool.glob("*.part"))) == 2)
    write_to(machine.image(disks[0]))
    seen = api.follow(clone.job)

    assert_ends_last(seen)
    last = seen[-1]
    assert last["state"] == "failed"
    first, second = last["children"]
    assert (first["state"], second["state"]) == ("failed", "success")
    assert "SourceChanged" in first["data"]["error"]
    assert first["uuid"] in last["data"]["error"]
    assert last["resources"] == [f"/api/2.0/servers/{source}/"]
    assert first["resources"] == [f"/api/2.0/drives/{disks[0]}/"]
    assert second["resources"] == [f"/api/2.0/drives/{disks[1]}/"]
    assert api.status(f"/servers/{clone.uuid}/") == 404
    assert [api.status(f"/drives/{copy}/") for copy in copies] == [404, 404]
    machine.wait_for_files(*disks)
    assert {drive["status"] for drive in api.drives()} == {"mounted"}

    assert server.stop() == 0
    server = machine.start()
    api = server.api
    again = api.clone_server(source)
    api.succeed(again.job)
    api.delete(f"/servers/{source}/?recurse=all_drives")
    assert server.stop() == 0
    machine.check_sound()


def assert_ends_last(seen: list[Json]) -> None:
    """The job runs as long as one of its children does."""
    for look in seen:
        running = "started" in {child["state"] for child in look["children"]}
        assert running == (look["state"] == "started"), look


# Uploads byte by byte


@contextmanager
def upload_begun(api: Api, length: int) -> Iterator[socket.socket]:
    """A connection that has sent the head of an upload."""
    host, _, port = api.address.removeprefix("http://").rpartition(":")
    account = base64.b64encode(f"{EMAIL}:{PASSWORD}".encode()).decode()
    head = (
        "POST /api/2.0/drives/upload/cedar HTTP/1.1\r\n"
        f"Host: {host}\r\n"
        f"Authorization: Basic {account}\r\n"
        "Content-Type: application/octet-stream\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode())
        yield connection


def received(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    answer = bytearray()
    try:
        while some := connection.recv(65536):
            answer += some
    except ConnectionResetError:
        pass
    return bytes(answer)


def test_upload_that_breaks_off(machine: Machine) -> None:
    """An upload whose client goes away before the end leaves no drive and no file."""
    server = machine.start()
    api = server.api
    with upload_begun(api, 16 * MIB) as connection:
        connection.sendall(data_blocks(8 * MIB // BLOCK))
        wait_for("for the upload's file", lambda: len(machine.files()) == 1)
    machine.wait_for_files()
    assert api.drives() == []

    drive = api.upload(striped(1))
    machine.wait_for_files(drive)
    assert server.stop() == 0
    machine.check_sound()


def test_upload_longer_than_announced(machine: Machine) -> None:
    """A drive has exactly the bytes that were announced; what comes behind them is refused."""
    content = data_blocks(2)
    api = machine.start().api
    with upload_begun(api, len(content)) as connection:
        connection.sendall(content + b"and more that nobody announced\r\n\r\n")
        answers = received(connection)
    assert re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answers) == [b"200", b"400"]
    (drive,) = api.drives()
    assert drive["uuid"].encode() in answers
    assert drive["size"] == len(content)
    assert sha256(api.download(drive["uuid"])) == sha256(content)
    machine.wait_for_files(drive["uuid"])
    assert machine.log.stat().st_size < 16 * 1024, "the log is no place for an image's bytes"


def test_upload_that_falls_silent(machine: Machine) -> None:
    """An upload that sends nothing for 10 s is cut, and leaves nothing (takes those 10 s)."""
    api = machine.start().api
    with upload_begun(api, MIB) as nothing, upload_begun(api, MIB) as some:
        some.sendall(data_blocks(3))
        answers = [received(nothing), received(some)]
    assert [answer.partition(b"\r\n")[0] for answer in answers] == [
        b"HTTP/1.1 408 Request Timeout"
    ] * 2
    assert api.drives() == []
    machine.wait_for_files()


@pytest.mark.long
def test_upload_under_way_at_a_stop(machine: Machine) -> None:
    """Asked to stop, the server does not wait for the end of an upload that is under way."""
    server = machine.start()
    with upload_begun(server.api, MIB) as connection:
        connection.sendall(data_blocks(4))
        wait_for("for the upload's file", lambda: len(machine.files()) == 1)
        os.kill(server.pid, signal.SIGTERM)
        assert server.ended() == 0
    assert machine.files() == set()
