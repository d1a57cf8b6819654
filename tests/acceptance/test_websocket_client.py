"""The public Python client's `Websocket`, and a service that stops while somebody listens."""

import base64
import socket as sockets
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.cli.service_process import CONNECTIONS_END_S, REQUESTS_END_S
from projections.feed.feed import REPEAT_S
from tests.acceptance.client import data_blocks, striped
from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server
from tests.support.wait import PATIENCE_S, wait_for

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the libraries that it imports
    import websocket
    from cloudsigma import errors, resource
    from cloudsigma.conf import config

DRIVE = {"name": "rowan", "media": "disk", "size": 1024_000_000}
SERVER = {"name": "hazel", "cpu": 1000, "mem": 512 * 1024**2, "vnc_password": "abc"}
SILENCE_S = 10.0
"""What the client waits for a frame, if it is not told otherwise."""
TOLD = 3
"""How often something is told of that does not change: once for itself, then again and again."""
SLOW = "128K"
ENDLESS_BLOCKS = 512
"""At that rate they take minutes: what copies them runs until the test ends it."""
WAIT_S = 60
"""How long a client would wait for a job."""

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
    started = machine.start("--copy-rate", SLOW)
    configure(started, monkeypatch)
    return started


@pytest.fixture
def socket(server: Server) -> Iterator[Any]:
    opened = resource.Websocket(timeout=PATIENCE_S)
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
    source = server.api.upload(data_blocks(4))  # 2 s
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
    source = server.api.upload(data_blocks(ENDLESS_BLOCKS))
    clone = resource.Drive().clone(source)
    uris = {clone["resource_uri"], f"/api/2.0/drives/{source}/"}
    heard: dict[str, list[Json]] = {uri: [] for uri in uris}
    while any(len(told) < TOLD for told in heard.values()):
        for frame in socket.wait():
            if frame["resource_uri"] in uris:
                heard[frame["resource_uri"]].append(frame["object"])
    assert REPEAT_S < SILENCE_S
    for told in heard.values():
        assert all(shown == told[-1] for shown in told[-TOLD + 1 :])
    server.api.cancel(clone["jobs"][0]["uuid"])
    assert set(last_frame(socket, clone["resource_uri"])) == {"resource_type", "resource_uri"}


def test_a_clone_of_a_server(server: Server, socket: Any) -> None:
    """The new server, its disk and both jobs are told of; the disk is mounted in the end."""
    api = server.api
    source = api.create_server(api.upload(striped(2)))
    clone = resource.Server().clone(source)
    disk = clone["drives"][0]["drive"]["resource_uri"]
    socket.wait_for_status(disk, resource.Drive, "mounted", timeout=PATIENCE_S)
    (job,) = clone["jobs"]
    assert resource.Jobs().get(job["uuid"])["state"] == "success"


@pytest.mark.parametrize("cookie", ["", "nonsense", "a|0|00"])
def test_a_bad_cookie(server: Server, cookie: str) -> None:
    """Is refused before the connection is one."""
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(config["ws_endpoint"], header=[f"Cookie: async_auth={cookie}"])
    assert caught.value.status_code == 401


def test_the_service_stops(server: Server, socket: Any) -> None:
    """It closes sockets with 1001, answers who waits for a job at once, and ends."""
    source = server.api.upload(data_blocks(ENDLESS_BLOCKS))
    *_, queued = [server.api.clone(source).job for _ in range(3)]  # two are copied at once
    assert WAIT_S > REQUESTS_END_S + CONNECTIONS_END_S, "or the wait could end by itself"
    with sockets.create_connection(_place(server), timeout=PATIENCE_S) as waiting:
        waiting.sendall(_question(f"/api/2.0/jobs/{queued}/?wait={WAIT_S}"))
        wait_for("for the service to read it", lambda: _is_read(waiting))
        assert server.stop() == 0
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200 ")
    closing = socket.ws.conn.recv_frame()
    while closing.opcode != websocket.ABNF.OPCODE_CLOSE:
        closing = socket.ws.conn.recv_frame()
    assert int.from_bytes(closing.data[:2]) == 1001


def _place(server: Server) -> tuple[str, int]:
    host, _, port = server.api.address.removeprefix("http://").rpartition(":")
    return host, int(port)


def _question(path: str) -> bytes:
    account = base64.b64encode(f"{EMAIL}:{PASSWORD}".encode()).decode()
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {account}\r\n\r\n".encode()


def _is_read(connection: sockets.socket) -> bool:
    """Whether the other end, which is on this machine too, has taken all that was sent."""
    here, there = (end[1] for end in (connection.getsockname(), connection.getpeername()))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if (local[-4:], remote[-4:]) == (f"{there:04X}", f"{here:04X}"):
            return queues.endswith(":00000000")
    return False
