import asyncio
import inspect
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

import api.admin.server
import api.admin.verbs
from api.accounts.service import Accounts
from api.accounts.tokens import Tokens
from api.admin.server import AdminClient, AdminRefused, AdminServer, connected
from api.admin.socket import SOCKET_FILE, bind_socket, short_path
from api.admin.verbs import VERBS, Verb, read_arguments, read_result
from api.cli import cli
from api.cli.admin import open_admin
from api.composition import open_service
from api.data.directory import data_lock
from api.doctor.checks import examine_service
from api.service.service import Service
from api.service.settings import load_settings
from ledger.domain.errors.store import UnknownEvent
from projections.maintenance.rebuild import Rebuilt
from projections.maintenance.retention.service import Retention
from tests.commands.cli.here import served_here
from tests.support.turns import taken
from tests.support.wait import PATIENCE_S, patience

Ask = Callable[[AdminClient], Awaitable[None]]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service that listens at its admin socket."""
    with data_lock(tmp_path):
        async with open_service(load_settings(data=tmp_path)) as opened, AdminServer(opened):
            yield opened


@pytest.fixture
async def client(service: Service) -> AsyncIterator[AdminClient]:
    async with connected(service.data) as found:
        assert found is not None
        yield found


class _SlowRebuild:
    """A rebuild that reports half of its work and waits to be let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.ended = threading.Event()
        self._really = api.admin.verbs.rebuild
        monkeypatch.setattr(api.admin.verbs, "rebuild", self._rebuild)
        monkeypatch.setattr(api.admin.server, "REPORT_S", 0.01)

    def _rebuild(self, ledger, report, *, patience_s: float) -> Rebuilt:
        report(1, 2)
        assert self.go.wait(PATIENCE_S)
        try:
            return self._really(ledger, report, patience_s=patience_s)
        finally:
            self.ended.set()


async def test_progress_comes_over_the_socket(client: AdminClient, monkeypatch) -> None:
    """Whoever asked for a rebuild sees how far it is, and then its result."""
    slow = _SlowRebuild(monkeypatch)
    reports = []

    def report(done: int, total: int) -> None:
        reports.append((done, total))
        slow.go.set()

    rebuilt = await client.rebuild(report)
    assert isinstance(rebuilt, Rebuilt)
    assert rebuilt.before == rebuilt.after
    assert (1, 2) in reports


async def test_rebuild_outlives_whoever_asked(
    service: Service, client: AdminClient, monkeypatch
) -> None:
    """A client that leaves does not stop the rebuild, and the service goes on."""
    slow = _SlowRebuild(monkeypatch)
    started = asyncio.Event()
    asking = asyncio.create_task(client.rebuild(lambda *_: started.set()))
    async with patience("it is begun"):
        await started.wait()
    asking.cancel()
    await asyncio.wait({asking})
    slow.go.set()
    assert await asyncio.to_thread(slow.ended.wait, PATIENCE_S)
    assert (await client.call(examine_service)).problems == []


async def test_a_service_of_another_version_is_told_as_such(tmp_path: Path) -> None:
    """Its answers cannot be read: one line says what to do, and nothing breaks."""

    async def rebuild(_: web.Request) -> web.Response:
        return web.Response(body=b'{"type": "of another version"}\n')

    app = web.Application()
    app.add_routes([web.post("/rebuild", rebuild)])
    runner = web.AppRunner(app)
    await runner.setup()
    with short_path(tmp_path) as folder:
        await web.UnixSite(runner, f"{folder}/{SOCKET_FILE}").start()
        async with connected(tmp_path) as client:
            assert client is not None
            with pytest.raises(AdminRefused, match="another version"):
                await client.rebuild(lambda *_: None)
    await runner.cleanup()


async def rebuild_all(client: AdminClient) -> None:
    await client.rebuild(lambda *_: None)


async def run_retention(client: AdminClient) -> None:
    await client.call(Retention.run)


@pytest.fixture
def tried(service: Service, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Is set when something has tried to begin maintenance."""
    lease, tried = service.ledger.maintenance, threading.Event()
    acquire = lease.acquire

    def try_it() -> bool:
        taken_now = acquire()
        tried.set()
        return taken_now

    monkeypatch.setattr(lease, "acquire", try_it)
    return tried


@pytest.mark.parametrize("ask", [rebuild_all, run_retention])
async def test_what_an_operator_asks_for_waits_for_other_maintenance(
    client: AdminClient, service: Service, tried: threading.Event, ask: Ask
) -> None:
    """A command does not fail because the service happens to run its own."""
    with taken(service.ledger.maintenance):
        tried.clear()
        asking = asyncio.ensure_future(ask(client))
        assert await asyncio.to_thread(tried.wait, PATIENCE_S)
        assert not asking.done()
    await asking


async def test_a_run_that_waits_ends_with_the_service(
    client: AdminClient, service: Service, tried: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.retention, "_patience_s", 10 * PATIENCE_S)
    with taken(service.ledger.maintenance):
        tried.clear()
        asking = asyncio.create_task(run_retention(client))
        assert await asyncio.to_thread(tried.wait, PATIENCE_S)
        service.retention.stop()
        async with patience("it is over"):
            with pytest.raises(AdminRefused, match="interrupted"):
                await asking


async def test_one_rebuild_at_a_time(client: AdminClient, service: Service, monkeypatch) -> None:
    """A second rebuild meanwhile is refused, once its patience is over."""
    monkeypatch.setattr(api.admin.verbs, "PATIENCE_S", 0.0)
    with taken(service.ledger.maintenance), pytest.raises(AdminRefused, match="under way"):
        await client.rebuild(lambda *_: None)


async def test_verbs_reach_the_service(service: Service) -> None:
    """What is asked while a service runs is done by it."""
    async with open_admin(load_settings(data=service.data)) as found:
        assert isinstance(found, AdminClient)
        added = await found.call(Accounts.add, "ada@example.test", "a long secret", "operator")
    assert await service.accounts.every() == [added]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"email": 1}', b"\xff"], ids=range(4))
async def test_malformed_request(client: AdminClient, body: bytes) -> None:
    """What is no request is answered with 400."""
    async with client._session.post("/call/Accounts.add", data=body) as response:
        assert response.status == 400


@pytest.mark.parametrize("verb", ["Accounts.close", "Accounts._change", "rebuild", "exec"])
async def test_what_is_no_verb_cannot_be_called(client: AdminClient, verb: str) -> None:
    """Only what is in the table can: anything else is a 404, whether it exists or not."""
    async with client._session.post(f"/call/{verb}", data=b"{}") as response:
        assert response.status == 404


async def test_what_is_refused_says_why(client: AdminClient) -> None:
    """A verb that raises what is expected is a 409 with the reason, in its own words."""
    async with client._session.post("/call/Tokens.remove", data=b'{"token_id":"x"}') as response:
        assert response.status == 409
    with pytest.raises(AdminRefused, match="there is no token x"):
        await client.call(Tokens.remove, "x")


async def test_a_rebuild_that_fails_says_why(client: AdminClient, monkeypatch) -> None:
    """Whatever is expected to happen to a rebuild is told whoever waits for it."""

    def rebuild(*_: object, **__: object) -> Rebuilt:
        raise UnknownEvent("nobody knows kettle/1")

    monkeypatch.setattr(api.admin.verbs, "rebuild", rebuild)
    with pytest.raises(AdminRefused, match="nobody knows kettle/1"):
        await client.rebuild(lambda *_: None)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_every_verb_can_be_asked_for(verb: Verb) -> None:
    """What it takes and what it returns goes over the socket."""
    _, *parameters = inspect.signature(verb).parameters.values()
    needed = [each.name for each in parameters if each.default is each.empty]
    with pytest.raises(msgspec.ValidationError) if needed else nullcontext():
        read_arguments(verb, b"{}")
    with pytest.raises(msgspec.ValidationError):
        read_arguments(verb, b'{"kettle": 1}')
    with pytest.raises(msgspec.ValidationError):
        read_result(verb, b'"kettle"')


async def test_nobody_listens(tmp_path: Path) -> None:
    """Without a service, or without a directory, there is no client."""
    for data in (tmp_path, tmp_path / "none"):
        async with connected(data) as client:
            assert client is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (aiohttp.ServerDisconnectedError(), "does not answer any more: Server disconnected"),
        (TimeoutError(), "has not answered for 60 s; it may still do what was asked"),
    ],
    ids=["disconnected", "timeout"],
)
async def test_connection_errors_are_refusals(
    client: AdminClient, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """A lost connection and a missing answer are refusals with a reason."""

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(client._session, "post", broken)
    with pytest.raises(AdminRefused, match=reason):
        await client.call(examine_service)


REFUSED = [
    ["account", "add", "no-email", "--password-stdin"],
    ["account", "password", "nobody@example.test", "--password-stdin"],
    ["account", "remove", "nobody@example.test"],
    ["token", "add", "nobody@example.test"],
    ["token", "add", "ada@example.test", "--scope", "jobs:read"],
    ["token", "add", "ada@example.test", "--name", "x", "--scope", "jobs:read", "--restrict", "y"],
    ["token", "add", "ada@example.test", "--source", "//x"],
    ["token", "list", "nobody@example.test"],
    ["token", "remove", "kettle"],
    ["library", "remove", "0190b2a0-0000-7000-8000-000000000000"],
    ["retention", "run", "--plan", "kettle"],
    ["parked", "retry", "job-0190b2a0-0000-7000-8000-000000000000"],
    ["parked", "skip", "job-0190b2a0-0000-7000-8000-000000000000"],
]


def test_a_service_refuses_in_the_same_words(tmp_path: Path) -> None:
    """A command that is refused prints one line and exits with 1, whether a service runs or not."""

    def run(command: Sequence[str]) -> Result:
        told = [*command, "--data", str(tmp_path)]
        return CliRunner().invoke(cli, told, input="a long secret\n")

    assert run(["account", "add", "ada@example.test", "--password-stdin"]).exit_code == 0
    alone = list(map(run, REFUSED))
    with served_here(tmp_path):
        beside = list(map(run, REFUSED))
    for command, here, there in zip(REFUSED, alone, beside, strict=True):
        assert (here.exit_code, there.exit_code) == (1, 1), (command, here.output, there.output)
        assert here.output == there.output, command
        assert re.fullmatch("Error: .+\n", here.output), command


async def test_a_service_that_is_stopped_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket takes connections, and nobody reads them: whatever is asked, it is said."""
    monkeypatch.setattr(api.admin.server, "ALIVE_S", 0.1)
    with bind_socket(tmp_path) as stopped:
        stopped.listen()
        with pytest.raises(AdminRefused, match="has not answered for"):
            async with connected(tmp_path):
                pass
