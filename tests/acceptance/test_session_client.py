"""The public Python client with a session instead of Basic, with a token, and for a websocket."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server
from tests.support.wait import PATIENCE_S

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the libraries that it imports
    from cloudsigma import errors, resource
    from cloudsigma.conf import config

DRIVE = {"name": "rowan", "media": "disk", "size": 1024_000_000}


@pytest.fixture
def configured(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server, and the client's configuration of it."""
    server = machine.start()
    said = {"api_endpoint": f"{server.api.root}/", "username": EMAIL, "password": PASSWORD}
    for name, value in said.items():
        monkeypatch.setitem(config, name, value)
    return server


def with_session(kind: Any) -> Any:
    """A resource of the client that has just logged in."""
    return kind(login_method="session")


@pytest.mark.usefixtures("configured")
def test_drives_by_session() -> None:
    """The client creates, looks at and deletes drives after a login, and sends no Basic."""
    drives = with_session(resource.Drive)
    drive = drives.create(DRIVE)
    assert "Authorization" not in drives.c.resp.request.headers
    assert drives.get(drive["uuid"])["name"] == "rowan"
    assert [each["uuid"] for each in drives.list()] == [drive["uuid"]]
    drives.delete(drive["uuid"])
    assert drives.list() == []


@pytest.mark.usefixtures("configured")
def test_a_session_without_its_csrf_token() -> None:
    """The client reports it as its PermissionError; reading goes on."""
    drives = with_session(resource.Drive)
    del drives.c.http.headers["X-CSRFToken"]
    with pytest.raises(errors.PermissionError):
        drives.create(DRIVE)
    assert drives.list() == []


@pytest.mark.usefixtures("configured")
def test_a_login_with_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client reports it as its AuthError."""
    monkeypatch.setitem(config, "password", "not the password")
    with pytest.raises(errors.AuthError):
        with_session(resource.Drive)


def test_a_session_outlives_the_server(machine: Machine, configured: Server) -> None:
    """A client that has logged in goes on after the server was killed and started again."""
    drives = with_session(resource.Drive)
    configured.kill()
    drives.c.api_endpoint = f"{machine.start().api.root}/"
    assert drives.create(DRIVE)["name"] == "rowan"
    machine.command("account", "password", EMAIL)
    with pytest.raises(errors.AuthError):
        drives.list()


@pytest.mark.usefixtures("configured")
def test_the_client_logs_out() -> None:
    """What the client lacks a method for: it posts the action, and is logged out."""
    drives = with_session(resource.Drive)
    assert drives.c.post("/accounts/action/", {}, query_params={"do": "logout"}) == {}
    assert [name.partition("-")[0] for name in drives.c.http.cookies.get_dict()] == ["device"]
    with pytest.raises(errors.AuthError):
        drives.list()


@pytest.mark.parametrize("login_method", ["basic", "session"])
@pytest.mark.usefixtures("configured")
def test_the_cookie_for_a_websocket(login_method: str) -> None:
    """The client finds its value as it is to be sent: three parts, and no quotes about them."""
    accounts = resource.Accounts(login_method=login_method)
    assert accounts.authenticate_asynchronous() == {}
    cookie = accounts.c.resp.cookies["async_auth"]
    holder, time, mac = cookie.split("|")
    account, *_ = holder.split(".")
    owner = with_session(resource.Drive).create(DRIVE)["owner"]["uuid"]
    assert (account, time.isdigit(), len(bytes.fromhex(mac))) == (owner, True, 32)


def test_requests_with_a_token(machine: Machine, configured: Server) -> None:
    """As the Go client sends it; a restart and a new password do not matter to it."""
    added = machine.command("token", "add", EMAIL)
    token = added.stdout.splitlines()[1].removeprefix("token: ")
    headers = {"Authorization": f"Bearer {token}"}

    def listed(server: Server) -> int:
        url = f"{server.api.root}/drives/"
        return requests.get(url, headers=headers, timeout=PATIENCE_S).status_code

    assert listed(configured) == 200
    assert configured.stop() == 0
    machine.command("account", "password", EMAIL)
    assert listed(machine.start()) == 200


def test_nothing_that_logs_in_is_on_disk(machine: Machine, configured: Server) -> None:
    """Neither the data directory nor the log holds what a session or a token is known by."""
    drives = with_session(resource.Drive)
    token = machine.command("token", "add", EMAIL).stdout.split()[-1]
    secrets = {PASSWORD, token, *drives.c.http.cookies.get_dict().values()}
    assert len(secrets) == 5
    assert configured.stop() == 0
    for written in (machine.log, *_files(machine.data)):
        content = written.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content]


def _files(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert folder / "ledger.sqlite" in found
    return found
