"""Data directories as a service finds them when it starts."""

import base64
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from api.composition import open_ledger
from api.service.environment import new_mac
from api.service.ids import new_id
from api.service.settings import Settings
from ledger.application import Ledger
from ledger.domain.commands.drives import CreateDrives, MarkDriveReady, NewDrive
from ledger.domain.commands.jobs import StartAttempt, SucceedJob
from ledger.domain.commands.servers import CloneServer, CreateServers, NewServer
from ledger.domain.events.drives import DriveDefinition
from ledger.domain.events.servers import IpConf, Mount, Nic, ServerDefinition
from ledger.images.pools import Pool
from ledger.store.writer import Caller
from scripts.benchmarks.support.processes import BenchmarkBroken, Served
from scripts.benchmarks.support.scale import GIB

EMAIL = "benchmark@example.com"
PASSWORD = "benchmark, not a secret"  # noqa: S105 - of an account that exists for a minute
DISKS = 4
GREEDY = "greedy@example.com"
"""An account that asks for too much; with the same password."""
_COOKIE = "/api/2.0/accounts/action/?do=authenticate_asynchronous"


class Seeded(NamedTuple):
    """The contents of a data directory: a server with disks, and a finished clone of it."""

    owner: str
    server: str
    job: str
    disks: list[str]


async def seed(
    data: Path, *, disk_bytes: int = GIB, disks: int = DISKS, url: str | None = None
) -> Seeded:
    """Make an account, its server with disks, and one finished clone, without images."""
    pools = Settings(data=data).named_pools()
    _make_directories(pools)
    async with open_ledger(data, pools, url=url) as opened:
        account = await opened.accounts.add(EMAIL, PASSWORD)
        caller = Caller(account.uuid, "")
        made = [new_id() for _ in range(disks)]
        server, job = new_id(), new_id()
        await _make_disks(opened.ledger, caller, made, disk_bytes)
        await _make_server(opened.ledger, caller, server, made)
        await opened.ledger.execute(CloneServer(account.uuid, server, new_id(), job), caller)
        await _finish(opened.ledger, caller, job)
    return Seeded(account.uuid, server, job, made)


def image_of(data: Path, drive: str) -> Path:
    """Return where the service expects a drive's image."""
    return Settings(data=data).named_pools()["main"].image(drive)


def authorization(email: str = EMAIL) -> str:
    return "Basic " + base64.b64encode(f"{email}:{PASSWORD}".encode()).decode()


def request_bytes(method: str, path: str, body: bytes = b"", *, email: str = EMAIL) -> bytes:
    """Return a whole request of the benchmark's account, with a JSON body if any."""
    fields = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
    if body:
        fields += "Content-Type: application/json\r\n"
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization(email)}\r\n"
        f"{fields}\r\n"
    ).encode() + body


class Answer(NamedTuple):
    body: bytes
    content_type: str
    set_cookie: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def ask(server: Served, method: str, path: str, body: bytes | None = None) -> Answer:
    """Send one request and return the answer, which must be 2xx."""
    connection = HTTPConnection(server.host, server.port, timeout=60)
    try:
        fields = {"Authorization": authorization()}
        if body is not None:
            fields["Content-Type"] = "application/json"
        connection.request(method, path, body, fields)
        answer = connection.getresponse()
        said, got = answer.read(), answer.headers
        if answer.status // 100 != 2:  # noqa: PLR2004 - 2xx
            raise BenchmarkBroken(f"{method} {path}: {answer.status} {said[:200]!r}")
        return Answer(said, got.get("Content-Type", ""), got.get("Set-Cookie", ""))
    finally:
        connection.close()


def async_cookie(server: Served) -> str:
    """Return what opens a websocket, for two minutes."""
    cookies = SimpleCookie(ask(server, "POST", _COOKIE).set_cookie)
    return next(each.value for name, each in cookies.items() if name.startswith("async_auth"))


def _make_directories(pools: dict[str, Pool]) -> None:
    for pool in pools.values():
        pool.path.mkdir(parents=True, exist_ok=True)


async def _make_disks(ledger: Ledger, caller: Caller, disks: list[str], size: int) -> None:
    definition = DriveDefinition("disk of a benchmark", "disk", size, "dssd", {"made": "for it"})
    drives = tuple(NewDrive(disk, definition) for disk in disks)
    await ledger.execute(CreateDrives(caller.actor, drives, "blank"), caller)
    for disk in disks:
        await ledger.execute(MarkDriveReady(disk), caller)


async def _make_server(ledger: Ledger, caller: Caller, server: str, disks: list[str]) -> None:
    mounts = tuple(
        Mount(disk, "virtio", f"0:{place}", place + 1) for place, disk in enumerate(disks)
    )
    nics = (Nic(new_mac(), ip_v4_conf=IpConf("dhcp")),)
    definition = ServerDefinition("server of a benchmark", 2_000, 2 * GIB, 2)
    new = NewServer(server, definition, mounts, nics, "password")
    await ledger.execute(CreateServers(caller.actor, (new,)), caller)


async def _finish(ledger: Ledger, caller: Caller, parent: str) -> None:
    job = ledger.job(parent)
    assert job is not None
    for child in job.children:
        await ledger.execute(StartAttempt(child.uuid, 1, "benchmark"), caller)
        await ledger.execute(SucceedJob(child.uuid, 1), caller)
