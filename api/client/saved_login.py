"""The login that later commands use: an address and a token, in a file only its owner reads."""

import os
from pathlib import Path

import msgspec

from api.client.errors import ClientError, NotLoggedIn


class Login(msgspec.Struct, frozen=True):
    """The service, and a token for it."""

    url: str
    token: str
    email: str = ""


def saved_login() -> Login:
    """Return the login in the environment, else in the file. Raises `ClientError`."""
    url, token = os.environ.get("JOB_LEDGER_URL"), os.environ.get("JOB_LEDGER_TOKEN")
    if url and token:
        return Login(url.rstrip("/"), token)
    if url or token:
        # The other half is not taken from the file: the command might go to another service.
        raise ClientError("JOB_LEDGER_URL and JOB_LEDGER_TOKEN go together: set both, or none")
    return login_in_file()


def login_in_file() -> Login:
    """Return the login that `save_login` saved. Raises `ClientError`; `NotLoggedIn` without one."""
    file = _file()
    try:
        return msgspec.json.decode(file.read_bytes(), type=Login)
    except FileNotFoundError:
        raise NotLoggedIn from None
    except msgspec.DecodeError:
        raise ClientError(f"{file} is damaged: remove it, and log in again") from None


def save_login(login: Login) -> Path:
    """Replace the saved login; return its file."""
    file = _file()
    _make_private(file.parent)
    part = file.with_suffix(".part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(fd, 0o600)  # it may have existed with another mode
    with os.fdopen(fd, "wb") as opened:
        opened.write(msgspec.json.encode(login) + b"\n")
    part.rename(file)
    return file


def _make_private(directory: Path) -> None:
    """Make the directory, and those above it, which must not be open to everybody either."""
    for folder in (*reversed(directory.parents), directory):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
    directory.chmod(0o700)


def forget_login() -> None:
    _file().unlink(missing_ok=True)


def _file() -> Path:
    given = os.environ.get("XDG_CONFIG_HOME")
    return (Path(given) if given else Path.home() / ".config") / "job-ledger" / "login.json"
