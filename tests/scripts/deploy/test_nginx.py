"""The service behind nginx, as `scripts/deploy/nginx.conf` sets it up."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from websocket import create_connection

from tests.acceptance.conftest import account_data, machine
from tests.acceptance.running import EMAIL, PASSWORD, ROOT, Machine
from tests.support.cluster import free_port
from tests.support.wait import PATIENCE_S, wait_for

__all__ = ["account_data", "machine"]

EXAMPLE = ROOT / "scripts" / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
ACTION = "/api/2.0/accounts/action/?do="

pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx here")


@contextmanager
def nginx(directory: Path, service: str) -> Iterator[str]:
    """Run it with the example, but for the two addresses; yield its own."""
    assert NGINX is not None
    address = f"127.0.0.1:{free_port()}"
    example = EXAMPLE.read_text()
    for theirs, here in (("127.0.0.1:8000", address), ("http://127.0.0.1:8080", service)):
        assert example.count(theirs) == 1
        example = example.replace(theirs, here)
    directory.mkdir()
    (directory / "example.conf").write_text(example)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    (directory / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {directory}/pid; error_log {directory}/errors;"
        f"events {{}} http {{ access_log off; {paths} include {directory}/example.conf; }}"
    )
    command = [NGINX, "-p", str(directory), "-e", f"{directory}/errors", "-c", "nginx.conf"]
    process = subprocess.Popen(command)
    try:
        wait_for("nginx listens", lambda: answers(f"http://{address}/healthz"))
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=PATIENCE_S).ok
    except requests.ConnectionError:
        return False


def log_in(session: requests.Session, origin: str) -> requests.Response:
    """As a page of this origin does."""
    login = {"username": EMAIL, "password": PASSWORD}
    headers = {"Origin": origin, "X-Requested-With": "XMLHttpRequest"}
    return session.post(f"{origin}{ACTION}login", json=login, headers=headers, timeout=PATIENCE_S)


def test_a_page_behind_nginx(machine: Machine, tmp_path: Path) -> None:
    """A login, what follows it, the websocket and the addresses in answers: all work."""
    server = machine.start("--trusted-proxy", "127.0.0.1")
    with nginx(tmp_path / "nginx", server.api.address) as origin, requests.Session() as session:
        answer = log_in(session, origin)
        assert answer.status_code == 200, answer.text
        session.headers.update({"Origin": origin, "X-CSRFToken": session.cookies["csrftoken"]})
        asked = session.post(f"{origin}{ACTION}authenticate_asynchronous", timeout=PATIENCE_S)
        assert asked.status_code == 200
        where = session.get(f"{origin}/api/2.0/locations/", timeout=PATIENCE_S).json()["objects"][0]
        assert where["api_endpoint"] == f"{origin}/api/2.0/"
        cookie = f"async_auth={session.cookies['async_auth']}"
        socket = create_connection(
            where["websocket_url"], origin=origin, header=[f"Cookie: {cookie}"], timeout=PATIENCE_S
        )
        try:
            out = session.post(f"{origin}{ACTION}logout", json={}, timeout=PATIENCE_S)
            assert out.status_code == 200
            assert socket.recv_data(control_frame=True)[1][2:] == b"logged out"
        finally:
            socket.shutdown()  # `close` does nothing after the other side has closed


def test_a_proxy_that_is_not_trusted(machine: Machine, tmp_path: Path) -> None:
    """The refusal says what to set up."""
    server = machine.start()
    with nginx(tmp_path / "nginx", server.api.address) as origin, requests.Session() as session:
        refused = log_in(session, origin)
        assert refused.status_code == 403
        message = refused.json()[0]["error_message"]
        assert "X-Forwarded-Host" in message
        assert "--trusted-proxy" in message
