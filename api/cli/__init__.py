"""The command line, `job-ledger`.

A command is imported when it is used, so that one that only asks a service does not wait for the
import of everything that a service is made of.
"""

import sys
from importlib import import_module

import click

from api.client.errors import ClientError, Mismatch
from ledger.domain.errors import Expected, Misconfigured

COMMANDS = {
    "login": "login",
    "logout": "login",
    "jobs": "jobs",
    "job": "jobs",
    "watch": "watch",
    "cancel": "jobs",
    "drives": "resources",
    "servers": "resources",
    "clone": "resources",
    "upload": "transfers",
    "download": "transfers",
    "export": "export",
    "completion": "completion",
    "serve": "serve",
    "worker": "worker",
    "account": "accounts",
    "token": "tokens",
    "library": "library",
    "rebuild": "rebuild",
    "retention": "retention",
    "parked": "parked_streams",
    "audit": "audit",
    "backup": "backup",
    "restore": "backup",
    "adopt": "adopt",
    "move": "move",
    "doctor": "doctor",
}
"""The module of each command; its name there is that of the command."""


class _ServiceError(click.ClickException):
    """A service could not be reached, or refused; for `watch`, 1 is a job that failed."""

    exit_code = 3


class _ConfigurationError(click.ClickException):
    """Nothing changes until somebody acts: units of systemd do not start the service again."""

    exit_code = 2


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"{__name__}.commands.{COMMANDS[cmd_name]}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:
            expected = _one_line_error(error)
            if expected is None:
                raise
            raise expected from error


def _one_line_error(error: Exception) -> click.ClickException | None:
    """Return a one-line error for what can go wrong without being a fault of the program."""
    text = " ".join(str(error).split())
    if isinstance(error, ClientError) and not isinstance(error, Mismatch):
        return _ServiceError(text)
    if isinstance(error, UnicodeError):
        return click.UsageError(f"names, passwords and other texts have to be UTF-8 ({text})")
    if isinstance(error, Misconfigured):
        return _ConfigurationError(text)
    expected = isinstance(error, (Expected, Mismatch, OSError))
    return click.ClickException(text) if expected else None


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    """Import what knows the version only on demand: that takes longer than many a command."""
    if wanted and not ctx.resilient_parsing:
        version = import_module("api.service.version")
        click.echo(f"job-ledger {version.VERSION}")
        click.echo(f"What changed, version by version: {version.CHANGES}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version, and where its changes are described.",
)
def cli() -> None:
    """Record long-running operations on drives and servers, and execute them.

    The commands from `login` to `export` work on any machine, with an account; the others are for
    those who run the service, on its machine.

    Settings can also be given in the environment, as JOB_LEDGER_ and its name:
    JOB_LEDGER_DATA, JOB_LEDGER_COPY_RATE. JOB_LEDGER_POOLS separates several pools by ;.
    """


def main(*command: str) -> None:
    """Run the command line, with `command` in front; end the process with its exit code."""
    cli([*command, *sys.argv[1:]], prog_name="job-ledger")
