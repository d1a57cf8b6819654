"""A client of the websocket."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

from api.accounts.service import Account
from api.accounts.websocket_cookie import CookieHolder
from tests.api.calling import ALICE, Api, KnownAccounts
from tests.support.wait import PATIENCE_S, patience


class Frame(NamedTuple):
    """One frame; `shown` is None if it has no object."""

    type: str
    uri: str
    shown: Any

    @property
    def status(self) -> str | None:
        """A drive's or server's status, a job's state; None for a deleted resource."""
        return self.shown and self.shown.get("status", self.shown.get("state"))


class Listener:
    """One websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def frame(self) -> Frame:
        """The next one."""
        message = await self.socket.receive(PATIENCE_S)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        said = json.loads(message.data)
        assert {"resource_type", "resource_uri"} <= set(said)
        assert set(said) <= {"resource_type", "resource_uri", "object"}
        assert "object" not in said or said["object"] is not None
        return Frame(said["resource_type"], said["resource_uri"], said.get("object"))

    async def until(self, is_last: Callable[[Frame], object]) -> list[Frame]:
        """All frames up to the first of which this holds."""
        seen: list[Frame] = []
        async with patience("the last frame"):
            while not seen or not is_last(seen[-1]):
                seen.append(await self.frame())
        return seen

    async def until_status(self, uri: str, status: str | None) -> list[Frame]:
        """All frames up to the one that shows this thing so; None: as gone."""
        return await self.until(lambda frame: frame.uri == uri and frame.status == status)

    async def everything(self, api: Api, *, by: Account = ALICE) -> list[Frame]:
        """Return all frames of what has happened so far."""
        frames: list[Frame] = []
        # Changes that are told together are told in no promised order: the second job's are told
        # after all that was told together with the first.
        for _ in range(2):
            job = f"/api/2.0/jobs/{await api.job(owner=by)}/"
            frames += (await self.until(lambda frame, job=job: frame.uri == job))[:-1]
        return frames

    async def closed(self) -> int | None:
        """The code with which the service closes, whatever it sends before.

        It is that of the frame: aiohttp's own is another if it cannot respond to that any more.
        """
        async with patience("the service closes the socket"):
            while (message := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        return message.data if message.type is aiohttp.WSMsgType.CLOSE else None


def cookie(api: Api, account: Account) -> dict[str, str]:
    """Of the accounts that stand in for real ones."""
    accounts = api.service.accounts
    assert isinstance(accounts, KnownAccounts)
    return {"Cookie": f"async_auth={accounts.cookies.make(CookieHolder(account.uuid, 0))}"}


@asynccontextmanager
async def listening(
    api: Api,
    account: Account = ALICE,
    *,
    path: str = "/websocket",
    headers: Mapping[str, str] | None = None,
    **given: Any,
) -> AsyncIterator[Listener]:
    value = await api.service.accounts.new_async_cookie(account)
    sent = {"Cookie": f"async_auth={value}", **(headers or {})}
    async with api.client.ws_connect(path, headers=sent, **given) as socket:
        yield Listener(socket)
