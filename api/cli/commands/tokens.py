"""`job-ledger token`: the bearer tokens of programs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from api.cli.options import settings_option
from api.cli.output import TableColumn, print_line, print_table
from api.service.settings import Settings

if TYPE_CHECKING:
    from ledger.store.tables.tokens import StoredToken


@click.group()
def token() -> None:
    """Add, list and remove bearer tokens; the service may run or not."""


@token.command()
@click.argument("email")
@settings_option
@click.option("--name", default="", help="A note to tell the token from others.")
def add(email: str, settings: Settings, name: str) -> None:
    """Add a token for the account EMAIL, for `Authorization: Bearer`; it is printed only once.

    It works until it or the account is removed; a new password does not end it.
    """
    from api.accounts.tokens import Tokens
    from api.cli.admin import ask

    added = ask(settings, lambda admin: admin.call(Tokens.add, email, name))
    print_line(f"added token {added.id} of {added.email}")
    print_line(f"token: {added.token}")


@token.command("list")
@click.argument("email", required=False)
@settings_option
def list_tokens(email: str | None, settings: Settings) -> None:
    """List the ids of tokens, not the tokens themselves: of the account EMAIL, or of all."""
    from api.accounts.tokens import Tokens
    from api.cli.admin import ask

    found = ask(settings, lambda admin: admin.call(Tokens.every, email))
    print_table(found, _COLUMNS, "there are no tokens")


@token.command()
@click.argument("token_id", metavar="ID")
@settings_option
def remove(token_id: str, settings: Settings) -> None:
    """Remove the token with this ID; logins with it end at once."""
    from api.accounts.tokens import Tokens
    from api.cli.admin import ask

    ask(settings, lambda admin: admin.call(Tokens.remove, token_id))
    print_line(f"removed token {token_id}")


_COLUMNS: tuple[TableColumn[StoredToken], ...] = (
    ("id", lambda token: token.id),
    ("account", lambda token: token.email),
    ("name", lambda token: token.name),
    ("created, UTC", lambda token: f"{datetime.fromisoformat(token.created):%Y-%m-%d %H:%M:%S}"),
)
