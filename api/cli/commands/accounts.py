"""`job-ledger account`: the accounts that may log in."""

import sys

import click

from api.accounts.roles import ROLES
from api.cli.options import settings_option
from api.cli.output import print_line
from api.service.settings import Settings

_stdin_option = click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from the first line of standard input. Without this option the"
    " command asks for it, or without a terminal makes one up and prints it.",
)


@click.group()
def account() -> None:
    """Add and remove accounts and change passwords; the service may run or not."""


@account.command()
@click.argument("email")
@settings_option
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="user",
    show_default=True,
    help="user: has drives, servers and jobs. auditor: also sees and checks everything."
    " operator: also changes how the service works.",
)
@_stdin_option
def add(email: str, settings: Settings, role: str, password_stdin: bool) -> None:  # noqa: FBT001 - click's
    """Add an account that logs in with EMAIL."""
    password, made_up = _new_password(from_stdin=password_stdin)
    from api.accounts.service import Accounts
    from api.cli.admin import ask

    added = ask(settings, lambda admin: admin.call(Accounts.add, email, password, role))
    print_line(f"added {added.role} {added.email} ({added.uuid})")
    if made_up:
        print_line(f"password: {password}")


@account.command("password")
@click.argument("email")
@settings_option
@_stdin_option
def change_password(email: str, settings: Settings, password_stdin: bool) -> None:  # noqa: FBT001 - click's
    """Give the account EMAIL a new password; logins with the old one end at once."""
    from api.accounts.service import Accounts
    from api.cli.admin import ask

    password, made_up = _new_password(from_stdin=password_stdin)
    ask(settings, lambda admin: admin.call(Accounts.set_password, email, password))
    print_line(f"changed the password of {email}")
    if made_up:
        print_line(f"password: {password}")


@account.command()
@click.argument("email")
@settings_option
def remove(email: str, settings: Settings) -> None:
    """Remove the account EMAIL: its logins, sessions and tokens end at once.

    Its profile goes, too. What it did stays in the ledger.
    """
    from api.accounts.service import Accounts
    from api.cli.admin import ask

    ask(settings, lambda admin: admin.call(Accounts.remove, email))
    print_line(f"removed {email}")


def _new_password(*, from_stdin: bool) -> tuple[str, bool]:
    """Return the password to set, and whether it was made up here."""
    if from_stdin:
        return _password_of_stdin(), False
    if sys.stdin.isatty():
        return click.prompt("Password", hide_input=True, confirmation_prompt=True), False
    from api.accounts.credentials import new_password

    return new_password(), True


def _password_of_stdin() -> str:
    from api.accounts.credentials import PASSWORD_LENGTH_MAX

    bytes_max = PASSWORD_LENGTH_MAX * 4 + len(b"\r\n")
    line = sys.stdin.buffer.readline(bytes_max + 1)
    try:
        return line.rstrip(b"\r\n").decode("utf-8")
    except UnicodeDecodeError:
        raise click.ClickException("the password on standard input is not UTF-8") from None
