"""`job-ledger login` and `logout`: a token for this machine."""

import contextlib
import platform
import sys
from collections.abc import Iterator

import click

from api.cli.client import ask
from api.cli.output import json_option, print_result
from api.client.errors import ClientError, LoginEnded
from api.client.http import Client, decoded
from api.client.responses import NewToken
from api.client.saved_login import Login, forget_login, login_in_file, save_login
from api.text.urls import API_ROOT

NAME_LENGTH_MAX = 64


@click.command()
@click.argument("url")
@click.option("--email", required=True, help="The account's email address.")
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from the first line of standard input.",
)
@json_option
def login(url: str, email: str, *, password_stdin: bool, as_json: bool) -> None:
    """Log in to the service at URL; other commands use the token that it issues.

    The token is stored in a file that only you can read, until `job-ledger logout`; the password is
    not stored. If JOB_LEDGER_URL and JOB_LEDGER_TOKEN are set, commands use those instead.
    """
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("it must begin with http:// or https://", param_hint="URL")
    password = (
        sys.stdin.readline().rstrip("\n")
        if password_stdin
        else click.prompt("Password", hide_input=True, err=True)
    )
    url = url.rstrip("/").removesuffix(API_ROOT)
    token = ask(lambda client: _token(client, email, password), Login(url, ""))
    with _revoking_earlier():
        file = save_login(Login(url, token, email))
    print_result(
        {"url": url, "email": email, "file": str(file)},
        f"logged in to {url} as {email}; the token is in {file}",
        as_json=as_json,
    )


@click.command()
@json_option
def logout(*, as_json: bool) -> None:
    """Revoke the token that `login` stored, and remove it from this machine."""
    ask(_revoke, login_in_file())
    forget_login()
    print_result({}, "logged out", as_json=as_json)


@contextlib.contextmanager
def _revoking_earlier() -> Iterator[None]:
    """Revoke the token of an earlier login once it is replaced, if its service can be reached."""
    earlier: Login | None = None
    with contextlib.suppress(ClientError):
        earlier = login_in_file()
    yield
    if earlier is not None:
        with contextlib.suppress(ClientError):
            ask(_revoke, earlier)


async def _token(client: Client, email: str, password: str) -> str:
    body = {"username": email, "password": password, "name": f"job-ledger on {platform.node()}"}
    body["name"] = body["name"][:NAME_LENGTH_MAX]
    try:
        answer = await client.post("/accounts/action/", {"do": "create_token"}, body)
    except LoginEnded:
        raise ClientError("email or password is wrong") from None
    return decoded(answer, NewToken).token


async def _revoke(client: Client) -> None:
    try:
        await client.post("/accounts/action/", {"do": "remove_token"})
    except LoginEnded:
        return  # it is revoked already
