"""A service that lies cannot reach through the command line: not the terminal, not other hosts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from api.cli import COMMANDS, _print_traceback, cli
from api.cli.commands import watch
from api.client import http, job_watch, patience
from api.client.errors import Redirected
from api.client.saved_login import Login
from api.client.sessions import connected

UUID = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"
SECRET = "jl_the-secret-token"
PASSWORD = "the secret password"
IMAGE = b"secret image"
HOSTILE = (
    "\x1b]0;taken\x07\x1b[31m\x9b2Jred\x7f\x08\r \u202eexe.txt\u2066 [bold]b[/bold]\nnext line"
)
OBEYED = ("\x1b]0;", "\x1b[31m", "\x07", "\x9b", "\x7f", "\x08", "\u202e", "\u2066", "\nnext line")
"""What a terminal would do something about."""

CALLS: tuple[tuple[str, ...], ...] = (
    ("login", "{url}", "--email", "me@example.test", "--password-stdin"),
    ("jobs",),
    ("jobs", "--json"),
    ("job", UUID),
    ("job", UUID, "--tree"),
    ("job", UUID, "--history"),
    ("job", UUID, "--json"),
    ("watch",),
    ("watch", UUID),
    ("watch", UUID, "--json"),
    ("cancel", UUID),
    ("cancel", UUID, "--json"),
    ("drives",),
    ("servers", "--after", ""),
    ("keypairs",),
    ("clone", "drive", UUID, "--wait"),
    ("clone", "server", UUID, "--json"),
    ("upload", "{file}"),
    ("download", UUID, "{home}/new.img"),
    ("export",),
    ("export", "--format", "csv"),
    ("logout",),
)
CLIENT_COMMANDS = [*COMMANDS][: [*COMMANDS].index("completion")]


def job(uuid: str = HOSTILE, *children: object) -> dict[str, object]:
    return {
        "uuid": uuid,
        "operation": HOSTILE,
        "state": HOSTILE,
        "data": {"progress": 100, "error": HOSTILE},
        "created": HOSTILE,
        "last_modified": HOSTILE,
        "resources": [HOSTILE],
        "children": children,
    }


THING = {
    "uuid": HOSTILE,
    "name": HOSTILE,
    "status": HOSTILE,
    "storage_type": HOSTILE,
    "size": len(IMAGE),
    "drives": [],
    "jobs": [{"uuid": HOSTILE}],
    "runtime": {"nics": [{"ip_v4": {"uuid": HOSTILE}}]},
    "fingerprint": HOSTILE,
    "token": HOSTILE,
}
EVENT = {
    "position": 1,
    "recorded_at": HOSTILE,
    "actor": HOSTILE,
    "event": HOSTILE,
    "fields": {HOSTILE: {HOSTILE: [HOSTILE]}},
}


def json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(value), status=status, headers={"Content-Type": "application/json"}
    )


async def hostile(request: web.Request) -> web.StreamResponse:
    """Answer what was asked for, with texts that a terminal obeys."""
    path = request.path.removeprefix("/api/2.0")
    if path.endswith("/download/"):
        return web.Response(body=IMAGE, headers={"ETag": '"tag"'})
    if path.endswith("/upload/"):
        return web.Response(status=404 if request.method == "GET" else 200)
    more = HOSTILE if not request.query.get("after") else None
    meta = {"limit": 1, "offset": 0, "total_count": 9, "next": more}
    match path.strip("/").split("/"):
        case ["jobs"]:
            return json({"meta": meta, "objects": [job()]})
        case ["jobs", _, "history"]:
            return json({"meta": meta, "objects": [EVENT]})
        case ["jobs", *_]:
            return json(job(HOSTILE, job(HOSTILE, job())))
        case ["drives", uuid] if uuid != "detail":
            return json(THING)
        case _:
            return json({"meta": meta, "objects": [THING], **THING})


class Service:
    """Answers every request with a lie; keeps what it was sent."""

    def __init__(self, lie: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        self.lie = lie
        self.was_sent = b""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.was_sent += str(request.url).encode() + str(request.headers).encode()
        self.was_sent += await request.read()
        return await self.lie(request)

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")


Run = Callable[..., Awaitable[Result]]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (http, patience, job_watch):
        monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setattr(patience, "TRIES", 2)
    monkeypatch.setattr(job_watch, "UNKNOWN_S", 0.0)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service(hostile)
    async with service.server:
        yield service


@pytest.fixture
def run(service: Service, tmp_path: Path) -> Run:
    """Runs a command as somebody who is logged in to the service."""
    file = tmp_path / "disk.img"
    file.write_bytes(IMAGE)
    login = tmp_path / "job-ledger" / "login.json"
    login.parent.mkdir()

    async def run(*words: str) -> Result:
        login.write_bytes(orjson.dumps({"url": service.url, "token": SECRET, "email": "me"}))
        given = [word.format(url=service.url, file=file, home=tmp_path) for word in words]
        return await asyncio.to_thread(
            CliRunner().invoke,
            cli,
            given,
            input=f"{PASSWORD}\n",
            env={"XDG_CONFIG_HOME": str(tmp_path)},
        )

    return run


def obeyed_in(printed: str) -> list[str]:
    return [each for each in OBEYED if each in printed]


def test_all_commands_that_ask_a_service_are_tried() -> None:
    """But `run`, which hands over to the SDK and prints nothing."""
    assert {words[0] for words in CALLS} == {*CLIENT_COMMANDS} - {"run"}


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
async def test_nothing_that_is_shown_is_obeyed(run: Run, words: tuple[str, ...]) -> None:
    """Names, states, errors, events, dates, uuids: all are texts, whatever is in them."""
    done = await run(*words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done
    assert done.exit_code in (0, 1), done.output
    assert obeyed_in(done.output) == []


@pytest.mark.parametrize(
    "words", [("clone", "drive", UUID), ("cancel", UUID), ("upload", "{file}")]
)
async def test_what_a_service_ignores_is_a_warning(
    service: Service, run: Run, words: tuple[str, ...]
) -> None:
    """On standard error, so that programs still have what they asked for; and not obeyed either."""

    async def ignoring(request: web.Request) -> web.StreamResponse:
        answer = await hostile(request)
        if request.method == "POST":
            answer.headers["X-Ledger-Not-Applied"] = "media, \x9b2J"
        return answer

    service.lie = ignoring
    done = await run(*words)
    assert "warning: the service has ignored media, " in done.stderr
    assert "ignored" not in done.stdout
    assert obeyed_in(done.output) == []


async def test_a_live_display_obeys_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a watch draws; what it draws with is its own."""
    monkeypatch.setattr(watch, "is_animated", lambda _screen: True)
    monkeypatch.setattr(watch, "terminal_restored", nullcontext)  # only for a main thread
    done = await run("watch", UUID)
    assert r"\u{1b}]0;taken" in done.output
    assert obeyed_in(done.output) == []


async def refuse(request: web.Request) -> web.StreamResponse:
    answer = json([{"error_message": HOSTILE, "error_type": HOSTILE}], 400)
    answer.headers["X-Ledger-Outcome"] = "\u202e"
    return answer


def told(content: bytes, status: int = 200) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def tell(_request: web.Request) -> web.Response:
        return web.Response(body=content, status=status)

    return tell


NONSENSE = {
    "refuses in hostile words": refuse,
    "fails": told(b"", 500),
    "empty": told(b""),
    "a page": told(b"<html>\x1b[31m</html>"),
    "raw controls": told(b'{"uuid": "\x1b[31m"}'),
    "DEL": told(b'{"meta": {"limit": 0}, "objects": [], "uuid": "\x7f"}'),
    "not UTF-8": told(b'{"uuid": "\xff\x9b"}'),
    "nested": told(b'{"meta":{},"objects":' + b"[" * 100_000),
    "other types": told(b'{"meta": 5, "objects": [{"uuid": {"\\u001b[31m": 1}}], "uuid": 7}'),
    "no objects": told(b'{"meta": {"limit": 0}, "objects": []}'),
    "huge numbers": told(
        orjson.dumps(job() | THING | {"objects": [], "children": []}).replace(b"100", b"9" * 400)
    ),
}


@pytest.mark.parametrize("lie", NONSENSE)
async def test_nonsense_is_an_error_in_words(run: Run, service: Service, lie: str) -> None:
    """One line, harmless; neither a traceback nor an endless wait."""
    service.lie = NONSENSE[lie]
    for words in CALLS:
        if lie == "fails" and words[0] == "watch":
            continue  # that may pass, so it is waited for
        done = await run(*words)
        assert done.exception is None or isinstance(done.exception, SystemExit), (words, done)
        assert obeyed_in(done.output) == [], words
        assert done.exit_code in (0, 1, 3), words
        if done.exit_code:
            assert done.stderr.splitlines()[-1].startswith("Error: "), words


def test_errors_of_other_commands_are_harmless(tmp_path: Path) -> None:
    """They quote files, notes and names that others may have chosen."""
    done = CliRunner().invoke(cli, ("retention", "show", "--data", str(tmp_path / HOSTILE)))
    assert done.exit_code == 1
    assert "there is no ledger" in done.output
    assert obeyed_in(done.output.replace("\nnext line", "")) == []


def test_a_traceback_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a fault of ours, but what it quotes may be anybody's."""
    _print_traceback(RuntimeError, RuntimeError(HOSTILE), None)
    printed = capsys.readouterr().err
    assert r"RuntimeError: \u{1b}]0;taken" in printed
    assert obeyed_in(printed.replace("\nnext line", "")) == []


# Redirects


@pytest.fixture
async def elsewhere() -> AsyncIterator[Service]:
    """Somebody else's service, on another port."""
    service = Service(hostile)
    async with service.server:
        yield service


@pytest.fixture
def redirecting(service: Service, elsewhere: Service) -> Iterator[Callable[[int], None]]:
    def redirect(status: int) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(
                status=status, headers={"Location": f"{elsewhere.url}{request.path_qs}"}
            )

        service.lie = answer

    yield redirect
    assert elsewhere.was_sent == b"", "not even a request goes there"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_command_follows_a_redirect(
    run: Run, redirecting: Callable[[int], None], elsewhere: Service, status: int
) -> None:
    """Neither the password, nor the token, nor an image goes to another address."""
    redirecting(status)
    for words in CALLS:
        done = await run(*words)
        if words[0] == "logout":
            continue
        assert done.exit_code == 3, (words, done)
        error = done.stderr.splitlines()[-1]
        assert error.startswith("Error: "), words
        assert f"redirect ({status}) to {elsewhere.url}/api/2.0" in error, words


async def test_no_redirect_leads_to_another_path_or_scheme(run: Run, service: Service) -> None:
    """Not even on the same host; what is named may be hostile, too."""
    for location in ("/elsewhere", "https://127.0.0.1/", "ftp://x/", "//x:y", "", "\x9b\u202e"):

        async def answer(_request: web.Request, location: str = location) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": location})

        service.lie, service.was_sent = answer, b""
        done = await run("login", "{url}", "--email", "me@example.test", "--password-stdin")
        assert done.exit_code == 3
        assert "redirect (307)" in done.output
        assert obeyed_in(done.output) == []
        assert service.was_sent.count(PASSWORD.encode()) == 1


async def test_no_websocket_follows_a_redirect(
    service: Service, redirecting: Callable[[int], None]
) -> None:
    """It holds for whatever the client's session opens."""
    redirecting(307)
    async with connected(Login(service.url, SECRET)) as client:
        with pytest.raises(Redirected):
            await client.session.ws_connect(f"{service.url}/websocket")
