"""The public Python client's `Websocket`, and a service that stops while somebody listens."""

import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from tests.acceptance.client import data_blocks, striped
from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the libraries that it imports
    import websocket
    from cloudsigma import errors, resource
    from cloudsigma.conf import config

DRIVE = {"name": "rowan", "media": "disk", "size": 1024_000_000}
SERVER = {"name": "hazel", "cpu": 1000, "mem": 512 * 1024**2, "vnc_password": "abc"}
SILENCE_S = 10.0
"""What the client waits for a frame, whatever it is told."""

LISTENED_S = 7.0
STOP_S = 15.0

Json = dict[str, Any]


def configure(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "api_endpoint": f"{server.api.root}/",
        "ws_endpoint": server.api.root.replace("http", "ws", 1).replace("/api/2.0", "/websocket"),
        "username": EMAIL,
        "password": PASSWORD,
    }
    for name, value in said.items():
        monkeypatch.setitem(config, name, value)


@pytest.fixture
def server(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server, and the client's configuration of it; copies take a while."""
    started = machine.start("--copy-rate", "1M")
    configure(started, monkeypatch)
    return started


@pytest.fixture
def socket(server: Server) -> Iterator[Any]:
    opened = resource.Websocket(timeout=SILENCE_S)
    yield opened
    opened.ws.conn.close()


def gone(kind: Any, uuid: str) -> bool:
    with pytest.raises(errors.ClientError) as caught:
        kind.get(uuid)
    return bool(caught.value.status_code == 404)


def last_frame(socket: Any, uri: str) -> dict[str, Any]:
    """The frame that tells of a deletion, after those that were on their way before."""
    while "object" in (frame := socket.wait({"resource_uri": uri})[-1]):
        pass
    return dict(frame)


def test_a_drive(socket: Any) -> None:
    """Creation, status and deletion are waited for as the client's own tests do."""
    drives = resource.Drive()
    drive = drives.create(DRIVE)
    shown = socket.wait_for_status(drive["resource_uri"], resource.Drive, "unmounted")
    assert shown["uuid"] == drive["uuid"]
    drives.delete(drive["uuid"])
    assert set(last_frame(socket, drive["resource_uri"])) == {"resource_type", "resource_uri"}
    assert gone(drives, drive["uuid"])


def test_a_server(socket: Any) -> None:
    """A server's creation is told of by its type, its end by its uri."""
    servers = resource.Server()
    created = servers.create(SERVER)
    shown = socket.wait_obj_type("servers", resource.Server)
    assert shown["uuid"] == created["uuid"]
    servers.delete(created["uuid"])
    socket.wait({"resource_uri": created["resource_uri"]})
    assert gone(servers, created["uuid"])


def test_a_clone(server: Server, socket: Any) -> None:
    """Job, source and clone are told of until the job has succeeded; both drives are free then."""
    source = server.api.upload(data_blocks(32))  # 2 MiB, 2 s
    clone = resource.Drive().clone(source)
    job_uri = clone["jobs"][0]["resource_uri"]
    frames: list[Json] = []
    while not frames or frames[-1]["resource_uri"] != job_uri or _state(frames[-1]) == "started":
        frames += socket.wait()
    uris = {frame["resource_uri"] for frame in frames}
    assert uris >= {job_uri, clone["resource_uri"], f"/api/2.0/drives/{source}/"}
    assert _state(frames[-1]) == "success"
    progress = [
        frame["object"]["data"]["progress"] for frame in frames if frame["resource_uri"] == job_uri
    ]
    assert progress == sorted(progress)
    for uuid in (source, clone["uuid"]):
        assert resource.Drive().get(uuid)["status"] == "unmounted"
        resource.Drive().delete(uuid)


def _state(frame: Json) -> str:
    state: str = frame["object"]["state"]
    return state


def test_nothing_that_is_copied_is_silent(server: Server, socket: Any) -> None:
    """While nothing happens to them, source and clone are told of so often that nobody gives up."""
    source = server.api.upload(data_blocks(8 * 16))  # 8 MiB, 8 s
    clone = resource.Drive().clone(source)
    heard: dict[str, list[float]] = {}
    began = time.monotonic()
    while time.monotonic() - began < LISTENED_S:
        for frame in socket.wait():
            heard.setdefault(frame["resource_uri"], []).append(time.monotonic())
    for uri in (clone["resource_uri"], f"/api/2.0/drives/{source}/"):
        moments = [began, *heard[uri], began + LISTENED_S]
        assert max(later - earlier for earlier, later in pairwise(moments)) < LISTENED_S - 1, uri
    socket.wait_for_status(clone["resource_uri"], resource.Drive, "unmounted", timeout=60)


def test_a_clone_of_a_server(server: Server, socket: Any) -> None:
    """The new server, its disk and both jobs are told of; the disk is mounted in the end."""
    api = server.api
    source = api.create_server(api.upload(striped(8)))
    clone = resource.Server().clone(source)
    disk = clone["drives"][0]["drive"]["resource_uri"]
    socket.wait_for_status(disk, resource.Drive, "mounted", timeout=60)
    (job,) = clone["jobs"]
    assert resource.Jobs().get(job["uuid"])["state"] == "success"


@pytest.mark.parametrize("cookie", ["", "nonsense", "a|0|00"])
def test_a_bad_cookie(server: Server, cookie: str) -> None:
    """Is refused before the connection is one."""
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(config["ws_endpoint"], header=[f"Cookie: async_auth={cookie}"])
    assert caught.value.status_code == 401


def test_the_service_stops(server: Server, socket: Any) -> None:
    """It closes sockets with 1001, answers who waits for a job, and ends at once."""
    source = server.api.upload(data_blocks(12 * 16))
    *_, queued = [server.api.clone(source).job for _ in range(3)]  # two are copied at once
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(_wait_for, server, queued)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < STOP_S
        assert waiting.result() == 200
    closing = socket.ws.conn.recv_frame()
    while closing.opcode != websocket.ABNF.OPCODE_CLOSE:
        closing = socket.ws.conn.recv_frame()
    assert int.from_bytes(closing.data[:2]) == 1001


def _wait_for(server: Server, job: str) -> int:
    with server.api.another() as api:
        return api.status(f"/jobs/{job}/?wait=60")
