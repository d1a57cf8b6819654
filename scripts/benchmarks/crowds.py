"""Many at once: GETs beside a crowd of idle subscribers, and the slowest request of a crowd.

The floor of the first is the same service without subscribers. Of the others it is aiohttp that
answers as many bytes to as many connections: what the slowest of such a crowd waits for anyhow.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from http.cookies import SimpleCookie

import orjson

from scripts.benchmarks.reads import CONNECTIONS, WARM_UP
from scripts.benchmarks.support.data_directories import ask, image_of, request_bytes, seed
from scripts.benchmarks.support.images import make_image
from scripts.benchmarks.support.listeners import listeners
from scripts.benchmarks.support.processes import BenchmarkBroken, Served, answering, load, serving
from scripts.benchmarks.support.rows import Round, Row, row
from scripts.benchmarks.support.scale import GIB, MIB, Setting

DRIVES = 100
CLONES = 60
SERVERS = 50
IMAGE_BYTES = 8 * MIB
ENDED_S = 120
LOOK_S = 0.05

_DRIVES = "/api/2.0/drives/"
_SERVERS = "/api/2.0/servers/"
_COOKIE = "/api/2.0/accounts/action/?do=authenticate_asynchronous"


def get_beside_subscribers(setting: Setting) -> Row:
    """GET of one job while many sockets are open and nothing is told."""
    scale, data = setting
    seeded = asyncio.run(seed(data))
    requests = [request_bytes("GET", f"/api/2.0/jobs/{seeded.job}/")]
    rounds = []
    with serving(data, "--no-copying") as server:
        load(server, requests, connections=CONNECTIONS, count=WARM_UP)
        for _ in range(scale.rounds):
            floor = load(server, requests, connections=CONNECTIONS, count=scale.gets)
            with listeners(server, _cookie(server), sockets=scale.idle_subscribers) as idle:
                idle.wait_until_connected()
                done = load(server, requests, connections=CONNECTIONS, count=scale.gets)
            rounds.append(Round(done.rate, floor.rate, done.p50_ms, done.p99_ms))
    note = f"{scale.idle_subscribers:,} idle subscribers; floor: none"
    return row("get-beside-subscribers", "requests/s", rounds, at_least=0.9, note=note)


def drives_at_once(setting: Setting) -> Row:
    """Creates drives, each by a connection of its own, and deletes them likewise."""
    asyncio.run(seed(setting.directory))
    new = {"name": "crowd", "media": "disk", "size": GIB}
    create = [request_bytes("POST", _DRIVES, orjson.dumps(new))]

    def crowd(server: Served) -> float:
        created = load(server, create, connections=DRIVES, count=DRIVES)
        delete = [request_bytes("DELETE", uri) for uri in _uris(server, _DRIVES, name="crowd")]
        deleted = load(server, delete, connections=DRIVES, count=DRIVES)
        return max(created.slowest_ms, deleted.slowest_ms)

    note = f"the slowest of {DRIVES} creates and {DRIVES} deletes, all at once"
    return _slowest(setting, "drives-at-once", crowd, connections=DRIVES, note=note)


def clones_at_once(setting: Setting) -> Row:
    """Clones one drive, which is really copied, by a connection for each clone."""
    seeded = asyncio.run(seed(setting.directory))
    source = seeded.disks[0]
    make_image(image_of(setting.directory, source), IMAGE_BYTES)
    clone = request_bytes("POST", f"{_DRIVES}{source}/action/?do=clone", b'{"name": "crowd"}')

    def crowd(server: Served) -> float:
        done = load(server, [clone], connections=CLONES, count=CLONES)
        _wait_for_copies(server)
        for uri in _uris(server, _DRIVES, name="crowd"):
            ask(server, "DELETE", uri)
        return done.slowest_ms

    note = f"the slowest of {CLONES} clones of one drive, all at once"
    return _slowest(setting, "clones-at-once", crowd, connections=CLONES, note=note)


def servers_listed(setting: Setting) -> Row:
    """Lists servers in detail, one request after the other."""
    seeded = asyncio.run(seed(setting.directory))
    clone = request_bytes("POST", f"{_SERVERS}{seeded.server}/action/?do=clone")
    path = f"{_SERVERS}detail/?limit={SERVERS}"

    def crowd(server: Served) -> float:
        missing = SERVERS - len(ask(server, "GET", path).json["objects"])
        if missing:
            load(server, [clone], connections=1, count=missing)
        listing = [request_bytes("GET", path)]
        return load(server, listing, connections=1, count=SERVERS).slowest_ms

    note = f"the slowest of {SERVERS} lists of {SERVERS} servers with four disks each"
    return _slowest(
        setting, "servers-listed", crowd, "--no-copying", connections=1, path=path, note=note
    )


def _slowest(
    setting: Setting,
    name: str,
    crowd: Callable[[Served], float],
    *flags: str,
    connections: int,
    path: str = f"{_DRIVES}?limit=1",
    note: str,
) -> Row:
    """The slowest request of a crowd, in ms; the floor answers with what the path does."""
    with serving(setting.directory, *flags) as server:
        crowd(server)
        body, content_type, _ = ask(server, "GET", path)
        with answering(body, content_type) as bare:
            rounds = [
                Round(crowd(server), _slowest_of_bare(bare, connections))
                for _ in range(setting.scale.rounds)
            ]
    return row(name, "ms slowest", rounds, at_least=None, note=note, lower_is_better=True)


def _slowest_of_bare(bare: Served, connections: int) -> float:
    count = max(connections, SERVERS)
    requests = [request_bytes("GET", "/")]
    return load(bare, requests, connections=connections, count=count).slowest_ms


def _uris(server: Served, collection: str, *, name: str) -> Sequence[str]:
    """The things of this name."""
    listed = ask(server, "GET", f"{collection}?limit=0").json["objects"]
    return [thing["resource_uri"] for thing in listed if thing["name"] == name]


def _wait_for_copies(server: Served) -> None:
    give_up = time.monotonic() + ENDED_S
    path = "/api/2.0/jobs/?state=started&limit=1"
    while ask(server, "GET", path).json["meta"]["total_count"]:
        if time.monotonic() > give_up:
            raise BenchmarkBroken(f"the copies have not ended within {ENDED_S} s")
        time.sleep(LOOK_S)


def _cookie(server: Served) -> str:
    """What opens a websocket, for two minutes."""
    cookies = SimpleCookie(ask(server, "POST", _COOKIE).set_cookie)
    return cookies["async_auth"].value
