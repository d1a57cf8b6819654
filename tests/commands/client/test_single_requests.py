"""The client that sends one request after the other, without an event loop."""

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.client import http
from api.client.errors import Late, NotTrusted, Redirected, Undecided, Unreachable
from api.client.saved_login import Login
from api.client.single import SingleClient, run
from tests.scripts.deploy.certificates import make_certificate
from tests.support.wait import PATIENCE_S

Answers = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nx-lower: 7\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def listening(answer: Answers, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Yield the address of something that accepts connections, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(PATIENCE_S)
                    if context is None:
                        answer(connection)
                        continue
                    with context.wrap_socket(connection, server_side=True) as secured:
                        answer(secured)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            socket.create_connection(server.getsockname(), PATIENCE_S).close()
            thread.join(PATIENCE_S)


def head_of(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(4096)
        if not chunk:
            raise ConnectionResetError
        received += chunk
    return received


def client(address: str, scheme: str = "http") -> SingleClient:
    return SingleClient(Login(f"{scheme}://{address}", "a-token"))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pause(*_: object) -> None:
        pass

    monkeypatch.setattr(SingleClient, "pause", pause)


def test_a_request_and_its_answer() -> None:
    heads = []

    def answer(connection: socket.socket) -> None:
        heads.append(head_of(connection))
        connection.sendall(OK)

    with listening(answer) as address:
        found = run(client(address).get("/jobs/", {"state": "a b", "none": None}))
    assert heads[0].startswith(b"GET /api/2.0/jobs/?state=a+b HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer a-token\r\n" in heads[0]
    assert (found.status, found.body, found.headers.get("X-Lower")) == (200, b"{}", "7")


def test_what_never_left_is_not_in_doubt() -> None:
    """A POST, too, is simply unreachable where nobody listens, and where the address is none."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    for url in (f"http://{address}", "http://no-such-host.invalid", "ftp://x", "http://[x"):
        with pytest.raises(Unreachable) as refused:
            run(SingleClient(Login(url, "")).post("/drives/"))
        assert not refused.value.sent


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"hello\r\n"]
)
def test_what_may_have_arrived_is_in_doubt(said: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(said)

    with listening(answer) as address, pytest.raises(Undecided):
        run(client(address).post("/drives/"))


def test_a_connection_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the limit ended is not repeated; whether a change was made is not known."""
    brief = http.Limit(0.05)
    monkeypatch.setattr(http, "CHANGE", brief)
    over = threading.Event()
    heads: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        heads.append(head_of(connection))
        over.wait(PATIENCE_S)

    with listening(answer) as address:
        with pytest.raises(Late, match=r"it has not answered for 0\.05 s"):
            run(client(address).get("/jobs/", limit=brief))
        over.set()
    over.clear()
    with listening(answer) as address:
        with pytest.raises(Undecided, match="may have been done all the same"):
            run(client(address).post("/drives/"))
        over.set()
    assert [head.split()[0] for head in heads] == [b"GET", b"POST"]


def test_a_connection_that_is_not_made_in_time_has_sent_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(*_: object, **__: object) -> socket.socket:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Late) as refused:
        run(client("127.0.0.1:1").post("/drives/"))
    assert not refused.value.sent


def test_no_redirect_is_followed() -> None:
    """A token is for one service."""
    elsewhere = []

    def answer(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(
            b"HTTP/1.1 307 X\r\nLocation: http://%b/\r\nContent-Length: 0\r\n\r\n" % there
        )

    with listening(elsewhere.append) as other:
        there = other.encode()
        with listening(answer) as address, pytest.raises(Redirected, match="307"):
            run(client(address).get("/jobs/"))
    assert len(elsewhere) == 1  # the one that ended it


def test_a_proxy_in_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = []

    def answer(connection: socket.socket) -> None:
        heads.append(head_of(connection))
        connection.sendall(OK)

    with listening(answer) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy}")
        run(client("ledger.example.test").get("/jobs/"))
    assert heads[0].startswith(b"GET http://ledger.example.test/api/2.0/jobs/ HTTP/1.1\r\n")


def test_what_may_have_arrived_over_tls_is_in_doubt_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something on the way breaks the connection after the request: that is no certificate's."""
    tls = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.key)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))

    def answer(connection: socket.socket) -> None:
        head_of(connection)
        with socket.socket(fileno=os.dup(connection.fileno())) as below:
            below.sendall(OK)

    with listening(answer, context) as address, pytest.raises(Undecided):
        run(client(address, "https").post("/drives/"))


def test_only_a_certificate_that_is_trusted_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.key)

    def answer(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(OK)

    with listening(answer, context) as address:
        with pytest.raises(NotTrusted):
            run(client(address, "https").get("/jobs/"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
        assert run(client(address, "https").get("/jobs/")).status == 200
