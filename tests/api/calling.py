"""A client of a real service, with short names for what tests do often."""

import json as json_module
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.test_utils import TestClient
from multidict import CIMultiDictProxy

from api.accounts.grants import Grant, JobClaim
from api.accounts.meter import LoginMeter
from api.accounts.places import Client
from api.accounts.service import Account, AccountNotFound, LoginRefused
from api.accounts.websocket_cookie import AsyncCookies, CookieHolder
from api.service.clocks import now
from api.service.service import Service
from ledger.domain.commands import Command
from ledger.domain.commands.jobs import CreateJob, FailJob, StartAttempt, SucceedJob
from ledger.store.writer import Caller
from tests.harness.evidence import note_request
from tests.support.wait import PATIENCE_S, wait_until

ALICE = Account("f3ebf024-0c96-4929-9a1c-210feb673958", "alice@example.org", "user")
BOB = Account("0b0b0b0b-0c96-4929-9a1c-210feb673958", "bob@example.org", "user")
AUDITOR = Account("a0d17000-0c96-4929-9a1c-210feb673958", "auditor@example.org", "auditor")

UNKNOWN = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"
ROOT = "/api/2.0"
SIZE = 512 * 1024**2
DRIVE = {"name": "cedar", "media": "disk", "size": SIZE}
PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE9bZ7pkLWFnGyTfPk7sxP3mCB1nUQhcIuAe8HrSwbmK elm@example"
)
KEYPAIR = {"name": "laptop", "public_key": PUBLIC_KEY}
SERVER = {"name": "elm", "cpu": 1000, "mem": 512 * 1024**2, "vnc_password": "spoon"}

READY_S = PATIENCE_S
WORKER = Caller("worker:test", "request-of-the-test")


def authorization(account: Account) -> str:
    return aiohttp.encode_basic_auth(account.email, "password")


class FixedKeys:
    """Stands in for `HourlyKeys`: every hour has the same."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, _hour: int) -> bytes:
        return self._key

    async def provide(self) -> None:
        pass

    async def learn(self) -> None:
        pass


class KnownAccounts:
    """Stands in for `Accounts`, without the cost of hashing: everybody's password is `password`."""

    def __init__(self, *accounts: Account) -> None:
        self._by_header: dict[str | None, Account] = {}
        self._by_uuid: dict[str, Account] = {}
        for account in accounts:
            self.add(account)
        self.claims: dict[str, JobClaim] = {}
        """Jobs whose tokens the accounts come with."""
        self.keys = FixedKeys(b"a key of the tests")
        self.cookies = AsyncCookies(now, self.keys)
        self.meter = LoginMeter()
        self.waiting = 0

    def add(self, account: Account) -> None:
        self._by_header[authorization(account)] = account
        self._by_uuid[account.uuid] = account

    async def grant_of(self, header: str | None, client: Client) -> Grant:
        if header not in self._by_header:
            raise LoginRefused
        account = self._by_header[header]
        return Grant(account, job=self.claims.get(account.uuid))

    async def job_token(self, job: str, attempt: int, instance: str) -> str:
        return f"jlj_{job}.{attempt}.{instance[:8]}"

    async def find(self, uuid: str) -> Account:
        if uuid not in self._by_uuid:
            raise AccountNotFound
        return self._by_uuid[uuid]

    def watch_session(
        self, async_cookie: str, on_end: Callable[[], None]
    ) -> AbstractContextManager[None]:
        return nullcontext()

    async def new_async_cookie(self, account: Account, session: str | None = None) -> str:
        return self.cookies.make(CookieHolder(account.uuid, 0))

    def last_revocation_before(self, async_cookie: str) -> int:
        return self.cookies.read(async_cookie).revocation

    async def account_of_async_cookie(self, value: str) -> Account:
        return self._by_uuid[self.cookies.read(value).account]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json_module.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str | None]:
        """Status, type and point of an error in the one form that errors have."""
        (error,) = self.json
        assert set(error) == {"error_type", "error_message", "error_point"}
        assert self.headers["Content-Type"] == "application/json; charset=utf-8"
        assert isinstance(error["error_message"], str)
        assert error["error_message"]
        return self.status, error["error_type"], error["error_point"]


class Api:
    """A client of the service under test, and the ledger behind it."""

    root = ROOT

    def __init__(self, client: TestClient[Any, Any], service: Service) -> None:
        self.client = client
        self.service = service

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        by: Account | None = ALICE,
    ) -> Answer:
        """`path` is below the root unless it starts with `/api/`."""
        sent = dict(headers or {})
        if by is not None:
            sent.setdefault("Authorization", authorization(by))
        if json is not None:
            data = json_module.dumps(json)
            sent.setdefault("Content-Type", "application/json")
        url = path if path.startswith("/api/") else self.root + path
        async with self.client.request(
            method, url, data=data, headers=sent, allow_redirects=False
        ) as response:
            note_request(method, url, response.status)
            if response.status >= 400 and method not in ("GET", "HEAD", "OPTIONS"):
                assert response.headers["X-Ledger-Outcome"] in ("not-recorded", "unknown"), url
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **given: Any) -> Answer:
        return await self.call("GET", path, **given)

    async def post(self, path: str, json: Any = None, **given: Any) -> Answer:
        return await self.call("POST", path, json=json, **given)

    async def put(self, path: str, json: Any = None, **given: Any) -> Answer:
        return await self.call("PUT", path, json=json, **given)

    async def delete(self, path: str, json: Any = None, **given: Any) -> Answer:
        return await self.call("DELETE", path, json=json, **given)

    async def do(self, *commands: Command) -> None:
        for command in commands:
            await self.service.ledger.execute(command, WORKER)

    # What there is

    def files(self) -> set[str]:
        """The names of the files in the pool, but for the one that says which pool it is."""
        return {path.name for path in self.service.pools["main"].path.iterdir()} - {".pool"}

    async def drive(self, *, by: Account = ALICE, **said: Any) -> str:
        """A new drive that is ready."""
        answer = await self.post("/drives/", {**DRIVE, **said}, by=by)
        assert answer.status == 201, answer.body
        uuid: str = answer.json["objects"][0]["uuid"]

        async def is_ready() -> bool:
            shown = await self.get(f"/drives/{uuid}/", by=by)
            return shown.json["status"] != "creating"

        await wait_until(f"drive {uuid} is ready", is_ready)
        return uuid

    async def server(self, *drives: str, by: Account = ALICE, **said: Any) -> str:
        """A new server with these drives."""
        mounts = [
            {"drive": drive, "device": "virtio", "dev_channel": f"0:{unit}"}
            for unit, drive in enumerate(drives)
        ]
        answer = await self.post("/servers/", {**SERVER, "drives": mounts, **said}, by=by)
        assert answer.status == 201, answer.body
        uuid: str = answer.json["objects"][0]["uuid"]
        return uuid

    async def keypair(self, *, by: Account = ALICE, **said: Any) -> str:
        """A new keypair of a public key that is given."""
        answer = await self.post("/keypairs/", {**KEYPAIR, **said}, by=by)
        assert answer.status == 201, answer.body
        uuid: str = answer.json["objects"][0]["uuid"]
        return uuid

    async def clone(self, source: str, *, by: Account = ALICE, **said: Any) -> tuple[str, str]:
        """A running clone of a drive: the new drive and the job."""
        answer = await self.post(f"/drives/{source}/action/?do=clone", said, by=by)
        assert answer.status == 202, answer.body
        (drive,) = answer.json["objects"]
        return drive["uuid"], drive["jobs"][0]["uuid"]

    async def job(self, *, owner: Account = ALICE, parent: str | None = None) -> str:
        """A job of no drive or server."""
        uuid = self.service.new_id()
        await self.do(CreateJob(owner.uuid, uuid, "drive_clone", (), parent))
        return uuid

    async def begin(self, job: str) -> None:
        await self.do(StartAttempt(job, 1, "test"))

    async def succeed(self, job: str) -> None:
        """Ends a job that has not been begun."""
        await self.do(StartAttempt(job, 1, "test"), SucceedJob(job, 1))

    async def succeed_begun(self, job: str) -> None:
        """Ends a job that a worker has begun."""
        await self.do(SucceedJob(job, 1))

    async def fail(self, job: str, error: str = "disk on fire") -> None:
        await self.do(StartAttempt(job, 1, "test"), FailJob(job, 1, error))
