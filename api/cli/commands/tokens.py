"""`job-ledger token`: the bearer tokens of programs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from api.accounts.scopes import SCOPES, Scope
from api.cli.options import settings_option
from api.cli.output import TableColumn, print_line, print_table
from api.cli.times import moment
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
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What the token may do, and nothing else; repeatable. Without it, all that EMAIL may.",
)
@click.option(
    "--restrict",
    "restrictors",
    multiple=True,
    metavar="RESTRICTOR",
    help="Only these jobs: series=nas/*, labels.env=prod or max_running=50; repeatable.",
)
@click.option(
    "--source", help="The source of what the token registers, or above it.  [default: //NAME]"
)
@click.option(
    "--expires", type=moment, metavar="TIME", help="When the token ends, such as 2027-01-31T00:00Z."
)
def add(
    email: str,
    settings: Settings,
    *,
    name: str,
    scopes: tuple[Scope, ...],
    restrictors: tuple[str, ...],
    source: str | None,
    expires: datetime | None,
) -> None:
    """Add a token for the account EMAIL, for `Authorization: Bearer`; it is printed only once.

    It works until it expires, or it or the account is removed; a new password does not end it.
    """
    from api.accounts.tokens import Tokens
    from api.cli.admin import ask

    added = ask(
        settings,
        lambda admin: admin.call(
            Tokens.add,
            email,
            name,
            scopes=scopes or None,
            restrictors=restrictors,
            source=source,
            expires=expires,
        ),
    )
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


@token.command("change-job-key")
@settings_option
def change_job_key(settings: Settings) -> None:
    """Derive the tokens of jobs from a new key.

    Those of the key before it work until the next change.
    """
    from api.accounts.tokens import Tokens
    from api.cli.admin import ask

    number = ask(settings, lambda admin: admin.call(Tokens.change_job_key))
    print_line(f"tokens of jobs are derived from key {number}")


def _when(stored: str | None) -> str:
    return "" if stored is None else f"{datetime.fromisoformat(stored):%Y-%m-%d %H:%M:%S}"


def _may(token: StoredToken) -> str:
    """Return what the token may do, in words."""
    return "everything" if token.scopes is None else " ".join((*token.scopes, *token.restrictors))


_COLUMNS: tuple[TableColumn[StoredToken], ...] = (
    ("id", lambda token: token.id),
    ("account", lambda token: token.email),
    ("name", lambda token: token.name),
    ("created, UTC", lambda token: _when(token.created)),
    ("expires", lambda token: _when(token.expires)),
    ("last used", lambda token: _when(token.used)),
    ("source", lambda token: token.source or ""),
    ("may", _may),
)
