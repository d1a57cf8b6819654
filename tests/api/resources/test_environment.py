"""What decisions ask of the process in which they are made, and a pool that hangs."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.resources.drives import image_digests, open_image
from api.service.environment import ServiceEnvironment
from api.service.service import Service
from api.service.settings import Settings
from ledger.images import pool_thread
from ledger.images.pool_thread import PoolThread
from ledger.images.pools import Pool, Room
from ledger.workers import ending, image_keeper, transfer_threads
from ledger.workers.image_keeper import THREADS
from ledger.workers.transfer_threads import PROMPT_THREADS
from tests.api.begun import begin_as
from tests.api.calling import ALICE, AUDITOR, DRIVE, SIZE, Api, KnownAccounts
from tests.api.unhurried import unhurried
from tests.support.api_server import ApiServer
from tests.support.wait import PATIENCE_S, wait_for, wait_until

KINDS = (("nfs", "dssd"), ("local", "ssd"))
SHORT_S = 0.05
"""How long a pool that hangs is waited for; one that does not has any time."""


def test_a_pool_is_known_while_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands and uploads ask in threads of their own, and none is refused for want of a pool."""
    began, may_end = threading.Event(), threading.Event()
    measure = Pool.room

    def held(pool: Pool) -> Room:
        began.set()
        assert may_end.wait(PATIENCE_S)
        return measure(pool)

    monkeypatch.setattr(Pool, "room", held)
    environment = ServiceEnvironment({"main": Pool("main", tmp_path)})
    owed = environment.renew()
    assert began.wait(PATIENCE_S)
    assert [space.name for space in environment.here()] == ["main"]
    may_end.set()
    wait_for("the pool is measured", lambda: not environment.here()[0].silent)
    for each in owed:
        each.wait()
    environment.close()


class DeadServer:
    """Holds up all that is asked of a pool, like an NFS server that is away."""

    def __init__(self, pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pool = str(pool)
        self._answers = threading.Event()
        self._answers.set()
        self.asked_by: list[str] = []
        for name in ("open", "statvfs", "lstat", "stat", "listdir"):
            monkeypatch.setattr(os, name, self._held(getattr(os, name)))
        monkeypatch.setattr(pool_thread, "SILENCE_S", SHORT_S)
        monkeypatch.setattr(pool_thread, "PASSED_OVER_S", SHORT_S)
        silent_s = PoolThread.silent_s
        monkeypatch.setattr(
            PoolThread,
            "silent_s",
            property(lambda thread: 1e9 if self._hangs(silent_s.fget(thread), thread) else 0.0),
        )

    def _hangs(self, silent_s: float, thread: PoolThread) -> bool:
        """Whether it hangs: the thread of this pool for ever, and no other, however slow it is."""
        return not self._answers.is_set() and thread.pool == "nfs" and silent_s > 0

    def _held(self, call: Any) -> Any:
        def held(path: Any, *more: Any, **named: Any) -> Any:
            if str(path).startswith(self._pool):
                self.asked_by.append(threading.current_thread().name)
                assert self._answers.wait(PATIENCE_S)
            return call(path, *more, **named)

        return held

    def hang(self) -> None:
        self._answers.clear()

    def answer(self) -> None:
        self._answers.set()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadServer]:
    server = DeadServer(tmp_path / "pools" / "nfs", monkeypatch)
    yield server
    server.answer()


@pytest.fixture
async def service(tmp_path: Path, begun: Path, server: DeadServer) -> AsyncIterator[Service]:
    """With a pool on a server that may hang, and one of another storage type that does not."""
    begin_as(begun, tmp_path)
    pools = (
        Pool("nfs", tmp_path / "pools" / "nfs"),
        Pool("local", tmp_path / "pools" / "local", "ssd"),
    )
    settings = Settings(data=tmp_path, pools=pools, copying=False, limits=unhurried())
    async with open_service(settings) as opened:
        yield replace(opened, accounts=KnownAccounts(ALICE, AUDITOR))
        server.answer()


@pytest.fixture
async def api(service: Service) -> AsyncIterator[Api]:
    async with TestClient(ApiServer(make_app(service))) as client:
        yield Api(client, service)


async def test_a_pool_that_hangs_costs_only_the_requests_that_need_it(
    api: Api, server: DeadServer
) -> None:
    """Those are refused in words, and nothing is recorded. All others read and write."""
    far, near = await api.drive(), await api.drive(storage_type="ssd")
    machine = await api.server(near, far)
    resized = [await api.drive() for _ in range(THREADS)]
    server.hang()
    for request in (
        api.post(f"/drives/{far}/action/?do=clone"),
        api.post(f"/servers/{machine}/action/?do=clone"),
        api.post("/drives/", DRIVE),
        api.post("/initupload/", {**DRIVE, "size": 2**20}),
    ):
        refused = await request
        assert refused.error == (503, "backend", None)
        assert "pool nfs does not answer" in refused.json[0]["error_message"]
        assert refused.headers["X-Ledger-Outcome"] == "not-recorded"
        assert "Retry-After" in refused.headers
    await api.drive(storage_type="ssd")
    for each in resized:
        assert (
            await api.post(f"/drives/{each}/action/?do=resize", {"size": 2 * SIZE})
        ).status == 202
    await api.drive(storage_type="ssd")  # by threads that wait for no image of the other pool
    await api.clone(near, storage_type="ssd")
    assert (await api.put(f"/drives/{far}/", {"name": "elm"})).status == 200
    assert (await api.get("/drives/")).json["meta"]["total_count"] == 5 + THREADS
    shown = await api.get("/ledger/status/", by=AUDITOR)
    assert {pool["name"] for pool in shown.json["pools"]} == {"nfs", "local"}
    server.answer()

    async def is_cloned() -> bool:
        return (await api.post(f"/drives/{far}/action/?do=clone")).status == 202

    await wait_until("the pool is used again", is_cloned)


async def test_a_service_starts_and_stops_while_a_pool_hangs(
    tmp_path: Path, begun: Path, server: DeadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves all that does not need the pool, and does the rest once the pool answers."""
    monkeypatch.setattr(image_keeper, "START_S", SHORT_S)
    monkeypatch.setattr(ending, "ENDS_S", SHORT_S)
    begin_as(begun, tmp_path)
    pools = tuple(Pool(name, tmp_path / "pools" / name, kind) for name, kind in KINDS)
    settings = Settings(data=tmp_path, pools=pools, limits=unhurried())
    server.hang()
    async with open_service(settings) as opened:
        known = replace(opened, accounts=KnownAccounts(ALICE, AUDITOR))
        async with TestClient(ApiServer(make_app(known))) as client:
            api = Api(client, known)
            assert (await api.post("/drives/", DRIVE)).error == (503, "backend", None)
            await api.drive(storage_type="ssd")
            server.answer()
            await wait_until("the pool is there", pools[0].path.is_dir)
            drive = await api.drive()
            server.hang()
            assert (await api.call("DELETE", f"/drives/{drive}/")).status == 204
    assert [name for name in server.asked_by if name.startswith("images-nfs")]
    server.answer()
    await wait_until("its file is gone", lambda: not pools[0].image(drive).exists())


async def test_the_writer_touches_no_pool(api: Api, server: DeadServer) -> None:
    """It decides with what was read before."""
    drive = await api.drive()
    machine = await api.server(drive)
    await api.clone(drive)
    assert (await api.post(f"/servers/{machine}/action/?do=clone")).status == 202
    assert server.asked_by
    assert "ledger-writer" not in server.asked_by


IMAGE = bytes(range(256)) * 4096


async def uploaded(api: Api, storage_type: str = "dssd") -> str:
    """The uuid of a drive with this image."""
    answer = await api.post(f"/drives/upload/?storage_type={storage_type}", data=IMAGE)
    assert answer.status == 200, answer.body
    return answer.body.decode()


async def test_a_transfer_waits_for_its_own_pool_only(
    api: Api, server: DeadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait for the one that hangs: images in the other come and go."""
    far, near = await uploaded(api), await uploaded(api, "ssd")
    (drive,) = (await api.post("/initupload/", DRIVE)).json["objects"]
    chunk = f"/drives/{drive['uuid']}/upload/?resumableChunkNumber=1&resumableChunkSize=1048576"
    server.hang()
    monkeypatch.setattr(transfer_threads, "PROMPT_S", SHORT_S)
    asked = [
        *(api.get(f"/drives/{far}/download/") for _ in range(2 * PROMPT_THREADS)),
        api.post("/drives/upload/", data=IMAGE),
        api.get(f"{chunk}&resumableTotalSize={SIZE}"),
    ]
    for refused in await asyncio.gather(*asked):
        assert refused.error == (503, "backend", None)
        assert "pool nfs does not answer" in refused.json[0]["error_message"]
    monkeypatch.setattr(transfer_threads, "PROMPT_S", PATIENCE_S)
    assert (await api.get(f"/drives/{near}/download/")).body == IMAGE
    assert await uploaded(api, "ssd")
    server.answer()
    assert (await api.get(f"/drives/{far}/download/")).body == IMAGE


async def test_nobody_waits_for_what_a_download_reads(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk may take long for each piece."""
    drive = await uploaded(api)
    begun, go_on, pread = threading.Event(), threading.Event(), os.pread

    def slowly(*given: int) -> bytes:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return pread(*given)

    monkeypatch.setattr(os, "pread", slowly)
    downloading = asyncio.create_task(api.get(f"/drives/{drive}/download/"))
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    assert (await api.get("/drives/")).status == 200
    go_on.set()
    assert (await downloading).body == IMAGE


async def test_images_are_closed_in_threads_of_their_pool(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To close a file of an NFS server that is away takes as long as to read it."""
    closed_by: list[str] = []

    class Noted(FileIO):
        def close(self) -> None:
            if not self.closed:
                closed_by.append(threading.current_thread().name)
            super().close()

    monkeypatch.setattr(open_image, "FileIO", Noted)
    monkeypatch.setattr(image_digests, "FileIO", Noted)
    drive = await uploaded(api)
    assert (await api.get(f"/drives/{drive}/download/")).body == IMAGE
    wanted = {"Want-Repr-Digest": "sha-256=1"}
    digested = await api.call("HEAD", f"/drives/{drive}/download/", headers=wanted)
    assert "Repr-Digest" in digested.headers
    await wait_until("all are closed", lambda: len(closed_by) == 3)
    assert all(thread.startswith("transfer-nfs") for thread in closed_by)
