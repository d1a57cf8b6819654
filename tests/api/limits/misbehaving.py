"""An account that takes whatever it can get, in every way at once."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any, NamedTuple

import aiohttp

from tests.support.wait import wait_until

ROOT = "/api/2.0"
META = {"note": "x" * 60_000}


@cache
def bomb() -> bytes:
    return gzip.compress(bytes(32 * 1024**2))


class Target(NamedTuple):
    """The service, the Authorization of the account, and whose password it guesses.

    It asks for `most` of everything at once, as from `address` if a proxy is believed to say so.
    """

    host: str
    port: int
    authorization: str
    victim: str
    most: int
    address: str = "203.0.113.7"


class Misbehaving:
    """Goes on until it is told to stop."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.answers: Counter[tuple[str, int]] = Counter()
        """The answers in each way; 0 stands for a connection that was cut off."""
        self._ways: tuple[Callable[[], Awaitable[None]], ...] = (
            self._websockets,
            self._long_polls,
            self._slow_uploads,
            self._unfinished_uploads,
            self._unread_lists,
            self._unread_downloads,
            self._bombs,
            self._wrong_passwords,
            self._drives,
            self._tags,
            self._searches,
        )

    @property
    def refused(self) -> set[str]:
        """The ways in which it was told that it wants too much."""
        return {way for way, status in self.answers if status in (403, 413, 429)}

    @asynccontextmanager
    async def at_it(self) -> AsyncIterator[None]:
        """It is at it in every way, until the block ends."""
        async with aiohttp.ClientSession(
            f"http://{self._target.host}:{self._target.port}",
            headers={"X-Forwarded-For": self._target.address},
            connector=aiohttp.TCPConnector(limit=0),
        ) as self._session:
            self._image = await self._uploaded()
            tasks = [asyncio.create_task(self._again_and_again(way)) for way in self._ways]
            names = {way.__name__ for way in self._ways}
            await wait_until(
                "it is at it in every way",
                lambda: names <= {name for name, _ in self.answers},
            )
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        assert names == {name for name, _ in self.answers}

    async def _again_and_again(self, way: Callable[[], Awaitable[None]]) -> None:
        while True:
            with suppress(aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError):
                await way()
            await asyncio.sleep(0)

    def _note(self, way: Callable[..., object], status: int) -> None:
        self.answers[way.__name__, status] += 1

    async def _ask(self, way: Callable[..., object], method: str, path: str, **given: Any) -> bytes:
        headers = {"Authorization": self._target.authorization, **given.pop("headers", {})}
        async with self._session.request(method, ROOT + path, headers=headers, **given) as answer:
            body = await answer.read()
            self._note(way, answer.status)
            return body

    async def _at_once(self, one: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """As many at once as there may be tasks; the group ends with its last."""
        await asyncio.gather(*(one() for _ in range(self._target.most)), return_exceptions=True)

    async def _uploaded(self) -> str:
        image = await self._ask(self._uploaded, "POST", "/drives/upload/", data=b"x" * 4096)
        self.answers.clear()
        return image.decode()

    # What is held

    async def _websockets(self) -> None:
        path = f"{ROOT}/accounts/action/?do=authenticate_asynchronous"
        headers = {"Authorization": self._target.authorization}
        async with self._session.post(path, headers=headers) as answer:
            cookie = answer.cookies["async_auth"].value

        async def open_one() -> None:
            try:
                async with self._session.ws_connect(
                    "/websocket", headers={"Cookie": f"async_auth={cookie}"}
                ) as socket:
                    self._note(self._websockets, 101)
                    await asyncio.sleep(1)  # it holds what it has, and reads nothing
                    await socket.close()
            except aiohttp.WSServerHandshakeError as refused:
                self._note(self._websockets, refused.status)

        await self._at_once(open_one)

    async def _long_polls(self) -> None:
        found = json.loads(await self._ask(self._long_polls, "GET", "/jobs/?state=started&limit=1"))
        for job in found.get("objects", ()) if isinstance(found, dict) else ():
            path = f"/jobs/{job['uuid']}/?wait=1"
            await self._at_once(lambda path=path: self._ask(self._long_polls, "GET", path))

    async def _slow_uploads(self) -> None:
        async def drip() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b"x"
                await asyncio.sleep(0.1)  # the slowness is the fault

        async def send() -> bytes:
            return await self._ask(
                self._slow_uploads,
                "POST",
                "/drives/upload/",
                data=drip(),
                headers={"Content-Length": "5"},
            )

        await self._at_once(send)

    async def _unfinished_uploads(self) -> None:
        body = {"name": "never finished", "media": "disk", "size": 2**30}
        await self._ask(self._unfinished_uploads, "POST", "/initupload/", json=body)

    async def _unread_lists(self) -> None:
        await self._unread(self._unread_lists, "/drives/detail/?limit=0")

    async def _unread_downloads(self) -> None:
        await self._unread(self._unread_downloads, f"/drives/{self._image}/download/")

    async def _unread(self, way: Callable[..., object], path: str) -> None:
        request = (
            f"GET {ROOT}{path} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {self._target.authorization}\r\n\r\n".encode()
        )
        writers = []
        try:
            for _ in range(self._target.most):
                reader, writer = await asyncio.open_connection(
                    self._target.host, self._target.port, limit=1024
                )
                writers.append(writer)
                writer.write(request * 4)
                line = await reader.readline()
                self._note(way, int(line.split()[1]) if line else 0)
            await asyncio.sleep(1)  # it reads no further
        finally:
            for writer in writers:
                writer.transport.abort()

    # What costs

    async def _bombs(self) -> None:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        for path in ("/tags/", "/drives/", "/initupload/", "/profile/"):
            method = "PUT" if path == "/profile/" else "POST"
            await self._ask(self._bombs, method, path, data=bomb(), headers=headers)

    async def _wrong_passwords(self) -> None:
        guess = f"guess {self.answers.total()}"
        wrong = aiohttp.encode_basic_auth(self._target.victim, guess)
        await self._ask(self._wrong_passwords, "GET", "/jobs/", headers={"Authorization": wrong})

    async def _drives(self) -> None:
        drives = [{"name": "mine", "media": "disk", "size": 2**29, "meta": META}] * 4
        await self._ask(self._drives, "POST", "/drives/", json={"objects": drives})
        await self._ask(self._drives, "POST", f"/drives/{self._image}/action/?do=clone", json={})

    async def _tags(self) -> None:
        await self._ask(self._tags, "POST", "/tags/", json={"name": "mine", "meta": META})

    async def _searches(self) -> None:
        parts = "&".join(f"name__contains={part}" for part in ("m", "i", "n", "e", "mi"))
        for path in (f"/drives/?{parts}&limit=0", "/logs/?limit=0", "/jobs/statistics/?hours=720"):
            await self._ask(self._searches, "GET", path)
