"""`job-ledger token`: bearer tokens, with which programs log in."""

from datetime import datetime

import click

from api.accounts.tokens import Tokens
from api.cli.admin import ask
from api.cli.options import settings_option
from api.cli.output import TableColumn, print_table
from api.service.settings import Settings
from ledger.store.tables.tokens import StoredToken


@click.group()
def token() -> None:
    """Add, list and remove bearer tokens, while the service runs or not."""


@token.command()
@click.argument("email")
@settings_option
@click.option("--name", default="", help="What it is for, to tell it from others.")
def add(email: str, settings: Settings, name: str) -> None:
    """Add a token of the account EMAIL, for `Authorization: Bearer`; it is printed this once.

    It logs in until it is removed, or the account is; other passwords do not matter to it.
    """
    added = ask(settings, lambda admin: admin.call(Tokens.add, email, name))
    click.echo(f"added token {added.id} of {added.email}")
    click.echo(f"token: {added.token}")


@token.command("list")
@click.argument("email", required=False)
@settings_option
def list_tokens(email: str | None, settings: Settings) -> None:
    """List the tokens of the account EMAIL, or of all; not the tokens themselves but their ids."""
    found = ask(settings, lambda admin: admin.call(Tokens.every, email))
    print_table(found, _COLUMNS, "there are no tokens")


@token.command()
@click.argument("token_id", metavar="ID")
@settings_option
def remove(token_id: str, settings: Settings) -> None:
    """Remove the token with this ID; logins with it end at once."""
    ask(settings, lambda admin: admin.call(Tokens.remove, token_id))
    click.echo(f"removed token {token_id}")


_COLUMNS: tuple[TableColumn[StoredToken], ...] = (
    ("id", lambda token: token.id),
    ("account", lambda token: token.email),
    ("name", lambda token: token.name),
    ("created, UTC", lambda token: f"{datetime.fromisoformat(token.created):%Y-%m-%d %H:%M:%S}"),
)
