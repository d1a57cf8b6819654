"""No answer depends on a race that the client cannot see: CONTRACT.md 3.2 and 3.4."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.http import record
from ledger.application import Ledger
from ledger.domain.commands.drives import FailImage
from ledger.domain.errors import Refusal
from ledger.workers import image_keeper
from tests.api.calling import DRIVE, SIZE, Answer, Api
from tests.contract.following import shown
from tests.support.wait import PATIENCE_S, wait_until

GREATER, GREATEST = 2 * SIZE, 3 * SIZE


class Held:
    """Keeps images from being made and grown until it is let go; counts refused commands."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.let_go.set()
        self.refused = 0

    def hold(self) -> None:
        self.let_go.clear()
        self.refused = 0

    def after(self, work: Callable[[Path, int], None]) -> Callable[[Path, int], None]:
        def held(image: Path, size: int) -> None:
            assert self.let_go.wait(PATIENCE_S)
            work(image, size)

        return held

    def counting(self, execute: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
        async def counted(*given: Any) -> int:
            try:
                return await execute(*given)
            except Refusal:
                self.refused += 1
                raise

        return counted


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held()
    monkeypatch.setattr(record, "SETTLE_S", PATIENCE_S)
    for name in ("grow", "create_blank"):
        monkeypatch.setattr(image_keeper, name, held.after(getattr(image_keeper, name)))
    monkeypatch.setattr(Ledger, "execute", held.counting(Ledger.execute))
    yield held
    held.let_go.set()


async def drive_that_grows(api: Api, held: Held, *, mounted: bool = False) -> tuple[str, str]:
    drive = await api.drive()
    server = await api.server(*[drive] if mounted else [])
    held.hold()
    resized = await api.post(f"/drives/{drive}/action/?do=resize", {"size": GREATER})
    assert resized.json["objects"][0]["status"] == "resizing"
    return drive, server


async def drive_that_is_new(api: Api, held: Held) -> tuple[str, str]:
    held.hold()
    made = await api.post("/drives/", DRIVE)
    drive: str = made.json["objects"][0]["uuid"]
    return drive, await api.server(drive)


Race = Callable[[Api, Held], Awaitable[Callable[[], Awaitable[Answer]]]]


async def start_after_resize(api: Api, held: Held) -> Callable[[], Awaitable[Answer]]:
    _, server = await drive_that_grows(api, held, mounted=True)
    return lambda: api.post(f"/servers/{server}/action/?do=start")


async def start_after_create(api: Api, held: Held) -> Callable[[], Awaitable[Answer]]:
    _, server = await drive_that_is_new(api, held)
    return lambda: api.post(f"/servers/{server}/action/?do=start")


async def resize_after_resize(api: Api, held: Held) -> Callable[[], Awaitable[Answer]]:
    drive, _ = await drive_that_grows(api, held)
    return lambda: api.put(f"/drives/{drive}/", {"size": GREATEST})


async def resize_after_create(api: Api, held: Held) -> Callable[[], Awaitable[Answer]]:
    drive, _ = await drive_that_is_new(api, held)
    return lambda: api.post(f"/drives/{drive}/action/?do=resize", {"size": GREATER})


async def clone_after_resize(api: Api, held: Held) -> Callable[[], Awaitable[Answer]]:
    drive, _ = await drive_that_grows(api, held)
    return lambda: api.post(f"/drives/{drive}/action/?do=clone")


async def server_clone_after_create(api: Api, held: Held) -> Callable[[], Awaitable[Answer]]:
    _, server = await drive_that_is_new(api, held)
    return lambda: api.post(f"/servers/{server}/action/?do=clone")


RACES: tuple[Race, ...] = (
    start_after_resize,
    start_after_create,
    resize_after_resize,
    resize_after_create,
    clone_after_resize,
    server_clone_after_create,
)


async def test_a_request_waits_for_what_takes_moments(
    api: Api, held: Held, subtests: pytest.Subtests
):
    """However long the moment is, within some seconds."""
    for begin in RACES:
        with subtests.test(begin.__name__):
            answer = await let_go_after_refusal(held, await begin(api, held))
            assert answer.status in (200, 202), answer.body


async def let_go_after_refusal(held: Held, send: Callable[[], Awaitable[Answer]]) -> Answer:
    asked = asyncio.ensure_future(send())
    await wait_until("it has been refused once", lambda: held.refused or asked.done())
    held.let_go.set()
    return await asked


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_a_download_waits_for_a_new_drive(
    api: Api, held: Held, monkeypatch: pytest.MonkeyPatch
):
    """The file is named after the drive, as curl's --remote-header-name expects."""
    drive, _ = await drive_that_is_new(api, held)
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(record.asyncio, "sleep", noted)
    one_byte = {"Range": "bytes=0-0"}
    asked = asyncio.ensure_future(api.get(f"/drives/{drive}/download/", headers=one_byte))
    await wait_until("the request waits", lambda: pauses or asked.done())
    held.let_go.set()
    answer = await asked
    assert (answer.status, answer.body) == (206, b"\0")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{drive}"'


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_it_does_not_wait_for_ever(api: Api, held: Held, monkeypatch: pytest.MonkeyPatch):
    """Then it is refused as before, and the refusal says that it is about the state."""
    monkeypatch.setattr(record, "SETTLE_S", 0)
    _, server = await drive_that_grows(api, held, mounted=True)
    answer = await api.post(f"/servers/{server}/action/?do=start")
    assert answer.error == (403, "permission", None)
    assert answer.headers["X-Ledger-Refusal"] == "state"
    assert "is being resized" in answer.json[0]["error_message"]
    assert held.refused == 1


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_what_may_take_long_is_not_waited_for(api: Api, held: Held):
    """A copy, an upload, and an image that could not be made: these can be seen."""
    source = await api.drive()
    copy, _ = await api.clone(source)
    begun = await api.post("/initupload/", DRIVE)
    upload = begun.json["objects"][0]["uuid"]
    held.hold()
    failed = (await api.post("/drives/", DRIVE)).json["objects"][0]["uuid"]
    await api.do(FailImage(failed, "no room"))
    for drive, status, word in (
        (copy, "cloning_dst", "copied"),
        (upload, "uploading", "uploaded"),
        (failed, "unavailable", "could not be made"),
    ):
        assert (await shown(api, f"/drives/{drive}/"))["status"] == status
        server = await api.server(drive)
        held.refused = 0
        answer = await api.post(f"/servers/{server}/action/?do=start")
        assert answer.error == (403, "permission", None)
        assert word in answer.json[0]["error_message"]
        assert held.refused == 1
