"""`job-ledger token`: bearer tokens, with which programs log in."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from api.cli.options import console, data_option
from api.cli.reaching import ask
from api.settings import load_settings
from api.tokens import Tokens
from ledger.store.tokens import StoredToken


@click.group()
def token() -> None:
    """Add, list and remove bearer tokens, while the service runs or not."""


@token.command()
@click.argument("email")
@data_option
@click.option("--name", default="", help="What it is for, to tell it from others.")
def add(email: str, data: Path | None, name: str) -> None:
    """Add a token of the account EMAIL, for `Authorization: Bearer`; it is printed this once.

    It logs in until it is removed, or the account is; other passwords do not matter to it.
    """
    settings = load_settings(data=data)
    added = ask(settings, lambda admin: admin.call(Tokens.add, email, name))
    click.echo(f"added token {added.id} of {added.email}")
    click.echo(f"token: {added.token}")


@token.command("list")
@click.argument("email", required=False)
@data_option
def list_tokens(email: str | None, data: Path | None) -> None:
    """List the tokens of the account EMAIL, or of all; not the tokens themselves but their ids."""
    found = ask(load_settings(data=data), lambda admin: admin.call(Tokens.every, email))
    console().print(_table(found))


@token.command()
@click.argument("token_id", metavar="ID")
@data_option
def remove(token_id: str, data: Path | None) -> None:
    """Remove the token with this ID; logins with it end at once."""
    ask(load_settings(data=data), lambda admin: admin.call(Tokens.remove, token_id))
    click.echo(f"removed token {token_id}")


def _table(tokens: Sequence[StoredToken]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("id", no_wrap=True)
    table.add_column("account", overflow="fold")
    table.add_column("name", overflow="fold")
    table.add_column("created, UTC", no_wrap=True)
    for each in tokens:
        created = datetime.fromisoformat(each.created)
        table.add_row(each.id, each.email, each.name, f"{created:%Y-%m-%d %H:%M:%S}")
    return table
