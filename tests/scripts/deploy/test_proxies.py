"""The service behind nginx and Caddy, as the examples in `scripts/deploy` set them up, with TLS.

One service and one proxy of each kind are shared by all who use them.
"""

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from requests.adapters import HTTPAdapter
from websocket import create_connection

from tests.acceptance.client import Api, data_blocks
from tests.acceptance.conftest import account_data, machine
from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server, machine_in
from tests.commands.client.conftest import Shell, shell
from tests.scripts.deploy.certificates import Certificate, make_certificate
from tests.support.cluster import DEPLOY, free_port
from tests.support.wait import PATIENCE_S, wait_for

__all__ = ["account_data", "machine", "shell"]

SBIN = os.environ["PATH"] + ":/usr/sbin"
ACTION = "/api/2.0/accounts/action/?do="
SERVICE = "127.0.0.1:8080"
GUESSES = 2
BLOCKS = 130
"""Of 64 KiB: more than two chunks of 4 MiB."""


def replaced(example: str, *changes: tuple[str, str]) -> str:
    """The text of the example, with what is of this test; each stands there once."""
    text = (DEPLOY / example).read_text()
    for theirs, here in changes:
        assert text.count(theirs) == 1, theirs
        text = text.replace(theirs, here)
    return text


def nginx(directory: Path, address: str, service: str, tls: Certificate) -> list[str]:
    """Set it up; return how it is started."""
    example = replaced(
        "nginx.conf",
        ("listen 443 ssl", f"listen {address} ssl"),
        (SERVICE, service),
        ("/etc/job-ledger/tls/certificate.pem", str(tls.certificate)),
        ("/etc/job-ledger/tls/key.pem", str(tls.key)),
    )
    (directory / "example.conf").write_text(example)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    (directory / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {directory}/pid; error_log {directory}/errors warn;"
        f"events {{}} http {{ access_log off; {paths} include {directory}/example.conf; }}"
    )
    return ["nginx", "-p", str(directory), "-e", f"{directory}/errors", "-c", "nginx.conf"]


def caddy(directory: Path, address: str, service: str, tls: Certificate) -> list[str]:
    example = replaced(
        "Caddyfile",
        ("ledger.example.test", f"https://{address}"),
        (SERVICE, service),
        ("/etc/job-ledger/tls/certificate.pem", str(tls.certificate)),
        ("/etc/job-ledger/tls/key.pem", str(tls.key)),
    )
    own = "{\n\tadmin off\n\tauto_https off\n}\n"
    (directory / "Caddyfile").write_text(own + example)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(directory / "Caddyfile")]


Proxy = Callable[[Path, str, str, Certificate], list[str]]


class Behind(NamedTuple):
    """A service behind a proxy."""

    origin: str
    authority: Path
    directory: Path
    """What the proxy has there of its own."""


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest) -> Proxy:
    found: Proxy = request.param
    if shutil.which(request.param.__name__, path=SBIN) is None:
        pytest.skip(f"there is no {request.param.__name__} here")
    return found


@contextmanager
def behind(proxy: Proxy, server: Server, directory: Path) -> Iterator[Behind]:
    directory.mkdir()
    address = f"127.0.0.1:{free_port()}"
    tls = make_certificate(directory)
    command = proxy(directory, address, server.api.address.removeprefix("http://"), tls)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={"PATH": SBIN, "HOME": str(directory)},
            stdout=log,
            stderr=log,
        )

    def listens() -> bool:
        assert process.poll() is None, (directory / "log").read_text()
        return answers(f"https://{address}/healthz", tls.authority)

    try:
        wait_for("the proxy listens", listens)
        yield Behind(f"https://{address}", tls.authority, directory)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def answers(url: str, authority: Path) -> bool:
    try:
        return requests.get(url, verify=str(authority), timeout=PATIENCE_S).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def place(
    proxy: Proxy, account_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Behind]:
    directory = tmp_path_factory.mktemp("behind")
    options = ("--trusted-proxy", "127.0.0.1", "--copy-rate", "8M")
    with machine_in(directory, account_data) as machine:
        server = machine.start(*options, "--limit", f"unknown-tokens={GUESSES}")
        with behind(proxy, server, directory / "proxy") as place:
            yield place


@contextmanager
def trusting(authority: Path) -> Iterator[requests.Session]:
    """A session that knows this authority, whatever the environment says of others."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(authority)
        yield session


def test_websockets_go_by_http_1_1() -> None:
    """They begin there; nginx asks by 1.0 unless it is told, which only our service takes."""
    assert "proxy_http_version 1.1;" in (DEPLOY / "nginx.conf").read_text()


def log_in(session: requests.Session, origin: str) -> requests.Response:
    """As a page of this origin does."""
    login = {"username": EMAIL, "password": PASSWORD}
    headers = {"Origin": origin, "X-Requested-With": "XMLHttpRequest"}
    return session.post(f"{origin}{ACTION}login", json=login, headers=headers, timeout=PATIENCE_S)


def test_a_page(place: Behind) -> None:
    """A login, what follows it, the websocket and the addresses in answers: all work."""
    origin = place.origin
    with trusting(place.authority) as session, ExitStack() as stack:
        answer = log_in(session, origin)
        assert answer.status_code == 200, answer.text
        cookies = {cookie.name: cookie for cookie in session.cookies}
        assert all(cookie.secure for cookie in cookies.values())
        csrf = cookies["csrftoken"].value
        assert csrf
        session.headers.update({"Origin": origin, "X-CSRFToken": csrf, "Referer": origin})
        asked = session.post(f"{origin}{ACTION}authenticate_asynchronous", timeout=PATIENCE_S)
        assert asked.status_code == 200
        where = session.get(f"{origin}/api/2.0/locations/", timeout=PATIENCE_S).json()["objects"][0]
        assert where["api_endpoint"] == f"{origin}/api/2.0/"
        assert where["websocket_url"] == f"{origin.replace('https', 'wss')}/websocket"
        socket = create_connection(
            where["websocket_url"],
            origin=origin,
            header=[f"Cookie: async_auth={session.cookies['async_auth']}"],
            timeout=PATIENCE_S,
            sslopt={"context": ssl.create_default_context(cafile=str(place.authority))},
        )
        stack.callback(socket.shutdown)  # `close` does nothing after the other side has closed
        out = session.post(f"{origin}{ACTION}logout", json={}, timeout=PATIENCE_S)
        assert out.status_code == 200
        frames = iter(lambda: socket.recv_data(control_frame=True), None)
        assert next(data[2:] for code, data in frames if code == 8) == b"logged out"


def test_images_and_long_polls(place: Behind, shell: Shell, tmp_path: Path) -> None:
    """The command line uploads in chunks and downloads; a poll is held and answered."""
    image = data_blocks(BLOCKS)
    (tmp_path / "home" / "disk.img").write_bytes(image)
    # A process that is forked has read the certificates before.
    shell.environment |= {"SSL_CERT_FILE": str(place.authority), "JOB_LEDGER_TEST_FORK": "0"}
    login = ("login", place.origin, "--email", EMAIL, "--password-stdin")
    logged_in = shell.run(*login, stdin=f"{PASSWORD}\n")
    assert logged_in.code == 0, logged_in.err
    uploaded = shell.run("upload", "disk.img")
    assert uploaded.code == 0, uploaded.err
    drive = uploaded.out.strip()
    with Api(place.origin, EMAIL, PASSWORD) as api:
        api._session.verify = str(place.authority)
        clone = api.clone(drive)
        poll = f"/jobs/{clone.job}/?wait=50"
        seen = [api.get(poll)]
        while seen[-1]["state"] == "started":
            seen.append(api.get(poll))
    assert seen[-1]["state"] == "success"
    assert shell.run("download", clone.uuid, "copy.img").code == 0
    assert (tmp_path / "home" / "copy.img").read_bytes() == image
    errors = place.directory / "errors"
    assert not errors.exists() or "temporary file" not in errors.read_text(), "it waits for bodies"


class FromAddress(HTTPAdapter):
    """Connects from one of the many addresses of this machine."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, source_address=(self._address, 0), **options)


def guess(place: Behind, address: str, claimed: str) -> int:
    """The status of an unknown token, from there, by a client that claims to forward it."""
    with trusting(place.authority) as session:
        session.mount("https://", FromAddress(address))
        headers = {"Authorization": f"Bearer jl_{claimed}", "X-Forwarded-For": claimed}
        url = f"{place.origin}/api/2.0/jobs/"
        return session.get(url, headers=headers, timeout=PATIENCE_S).status_code


def test_a_client_has_the_address_that_the_proxy_sees(place: Behind) -> None:
    """Whatever it claims: claims help no guesser, and harm nobody."""
    guesses = [guess(place, "127.0.0.9", f"192.0.2.{number}") for number in range(GUESSES + 1)]
    assert guesses == [*[401] * GUESSES, 429]
    assert guess(place, "127.0.0.10", "127.0.0.9") == 401


@pytest.mark.parametrize("proxy", [nginx], indirect=True, ids=["nginx"])
def test_a_proxy_that_is_not_trusted(proxy: Proxy, machine: Machine, tmp_path: Path) -> None:
    """The refusal says what to set up. (Caddy forwards the host as it is, so that nothing is.)"""
    with (
        behind(proxy, machine.start(), tmp_path / "proxy") as place,
        trusting(place.authority) as session,
    ):
        refused = log_in(session, place.origin)
        assert refused.status_code == 403
        message = refused.json()[0]["error_message"]
        assert "X-Forwarded-Host" in message
        assert "--trusted-proxy" in message
