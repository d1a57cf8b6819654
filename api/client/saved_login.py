"""The login that is kept between commands: an address and a token, in a file for its owner only."""

import os
from pathlib import Path

import msgspec

from api.client.errors import ClientError, NotLoggedIn


class Login(msgspec.Struct, frozen=True):
    """Which service, and by which token."""

    url: str
    token: str
    email: str = ""


def kept() -> Login:
    """By the environment, else from the file. Raises `NotLoggedIn`, and `ClientError`."""
    url, token = os.environ.get("JOB_LEDGER_URL"), os.environ.get("JOB_LEDGER_TOKEN")
    if url and token:
        return Login(url.rstrip("/"), token)
    if url or token:
        # The other half is not taken from the file: the command might go to another service.
        raise ClientError("JOB_LEDGER_URL and JOB_LEDGER_TOKEN go together: set both, or none")
    return kept_in_file()


def kept_in_file() -> Login:
    """What `keep` has kept. Raises `NotLoggedIn`, and `ClientError`."""
    file = _file()
    try:
        return msgspec.json.decode(file.read_bytes(), type=Login)
    except FileNotFoundError:
        raise NotLoggedIn from None
    except msgspec.DecodeError:
        raise ClientError(f"{file} is damaged: remove it, and log in again") from None


def keep(login: Login) -> Path:
    """Replaces what is kept; returns where."""
    file = _file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.parent.chmod(0o700)
    part = file.with_suffix(".part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(fd, 0o600)  # it may have been there with another mode
    with os.fdopen(fd, "wb") as opened:
        opened.write(msgspec.json.encode(login) + b"\n")
    part.rename(file)
    return file


def forget() -> None:
    _file().unlink(missing_ok=True)


def _file() -> Path:
    given = os.environ.get("XDG_CONFIG_HOME")
    return (Path(given) if given else Path.home() / ".config") / "job-ledger" / "login.json"
