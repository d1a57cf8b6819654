"""`job-ledger token`: bearer tokens, with which programs log in."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from api.cli.options import console, data_option
from api.cli.reaching import operations
from api.settings import load_settings
from api.tokens import NewToken
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
    added = asyncio.run(_add(load_settings(data=data).data, email, name))
    click.echo(f"added token {added.id} of {added.email}")
    click.echo(f"token: {added.token}")


@token.command("list")
@click.argument("email", required=False)
@data_option
def list_tokens(email: str | None, data: Path | None) -> None:
    """List the tokens of the account EMAIL, or of all; not the tokens themselves but their ids."""
    found = asyncio.run(_tokens(load_settings(data=data).data, email))
    console().print(_table(found))


@token.command()
@click.argument("token_id", metavar="ID")
@data_option
def remove(token_id: str, data: Path | None) -> None:
    """Remove the token with this ID; logins with it end at once."""
    asyncio.run(_remove(load_settings(data=data).data, token_id))
    click.echo(f"removed token {token_id}")


async def _add(data: Path, email: str, name: str) -> NewToken:
    async with operations(data) as ledger:
        return await ledger.add_token(email, name)


async def _tokens(data: Path, email: str | None) -> list[StoredToken]:
    async with operations(data) as ledger:
        return await ledger.tokens(email)


async def _remove(data: Path, token_id: str) -> None:
    async with operations(data) as ledger:
        await ledger.remove_token(token_id)


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
