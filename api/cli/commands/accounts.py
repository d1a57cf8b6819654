"""`job-ledger account`: the accounts that may log in."""

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from api.accounts.roles import ROLES
from api.cli.options import settings_option
from api.cli.output import TableColumn, json_option, print_json, print_line, print_table
from api.service.settings import Settings

if TYPE_CHECKING:
    from ledger.store.tables.accounts import ListedAccount

_ROLES = (
    "user: has drives, servers and jobs. auditor: also sees and checks everything."
    " operator: also changes how the service works."
)

_stdin_option = click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from the first line of standard input. Without this option the"
    " command asks for it, or without a terminal makes one up and prints it.",
)


@click.group()
def account() -> None:
    """Add, list and remove accounts, change passwords and roles; the service may run or not."""


@account.command()
@click.argument("email")
@settings_option
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="user",
    show_default=True,
    help=_ROLES,
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


@account.command("list")
@settings_option
@json_option
def list_accounts(settings: Settings, *, as_json: bool) -> None:
    """List all accounts, the oldest first, with their tokens and sessions."""
    from api.accounts.service import Accounts
    from api.cli.admin import ask_existing

    found = ask_existing(settings, lambda admin: admin.call(Accounts.listed))
    if as_json:
        print_json(found)
    else:
        print_table(found, _COLUMNS, "there are no accounts")


@account.command()
@click.argument("email")
@click.argument("role", type=click.Choice(ROLES))
@settings_option
def role(email: str, role: str, settings: Settings) -> None:
    """Give the account EMAIL another ROLE, from its next request on.

    Its sessions and tokens stay, and so does all it has; its websockets are opened anew.
    """
    from api.accounts.service import Accounts
    from api.cli.admin import ask_existing

    ask_existing(settings, lambda admin: admin.call(Accounts.set_role, email, role))
    print_line(f"{email} is {role} now")


@account.command()
@click.argument("email")
@click.option(
    "--leave-things",
    is_flag=True,
    help="Also if it has drives or servers, which then belong to nobody.",
)
@settings_option
def remove(email: str, settings: Settings, *, leave_things: bool) -> None:
    """Remove the account EMAIL: its sessions and tokens end at once.

    Its profile, the places it is known from and its idempotency keys are removed, too. Nothing that
    belongs to others changes. Its jobs and the log of what it did stay, and end or are discarded as
    usual; its tags stay as well. Refused while it has drives or servers: nobody could delete them
    afterwards. An account of the same EMAIL that is added later is another one.
    """
    from api.accounts.service import Accounts
    from api.cli.admin import ask_existing
    from api.text.counts import counted

    gone = ask_existing(
        settings, lambda admin: admin.call(Accounts.remove, email, leave_things=leave_things)
    )
    print_line(f"removed {email} ({gone.account})")
    print_line(f"ended: {counted(gone.sessions, 'session')}, {counted(gone.tokens, 'token')}")
    if gone.drives or gone.servers:
        drives, servers = counted(gone.drives, "drive"), counted(gone.servers, "server")
        print_line(f"left to nobody: {drives}, {servers}")


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


_COLUMNS: "tuple[TableColumn[ListedAccount], ...]" = (
    ("email", lambda account: account.email),
    ("role", lambda account: account.role),
    ("uuid", lambda account: account.uuid),
    ("created, UTC", lambda account: f"{datetime.fromisoformat(account.created):%F %T}"),
    ("tokens", lambda account: str(account.tokens)),
    ("sessions", lambda account: str(account.sessions)),
)
