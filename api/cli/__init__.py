"""The command line, `job-ledger`: one command for each thing that is done with it.

A command is imported when it is used: what only asks a service must not wait until all that a
service is made of is there.
"""

import sys
from importlib import import_module

import click

from api.client.errors import ClientError
from ledger.domain.errors import Expected

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
"""In which module each of them is, under its own name."""


class _NotAsked(click.ClickException):
    """A service could not be asked, or refused; with `watch`, 1 is a job that failed."""

    exit_code = 3


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
            told = _told(error)
            if told is None:
                raise
            raise told from error


def _told(error: Exception) -> click.ClickException | None:
    """What can go wrong without being a fault of the program is told in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, ClientError):
        return _NotAsked(text)
    return click.ClickException(text) if isinstance(error, (Expected, OSError)) else None


def _show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:  # noqa: FBT001 - click's
    """Import what knows the version only for whoever asks: it takes longer than many a command."""
    if asked and not ctx.resilient_parsing:
        version = import_module(f"{__name__}.version")
        click.echo(f"job-ledger {version.installed_version()}")
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
    """Keeps the history of long-running operations on drives and servers, and does them.

    Whoever has an account logs in and uses the commands from `login` to `export`, anywhere; the
    others are for whoever runs the service, where it runs.

    Every option can also be given in the environment, as JOB_LEDGER_ and its name: JOB_LEDGER_DATA,
    JOB_LEDGER_COPY_RATE. JOB_LEDGER_POOLS names several pools with ; between them.
    """


def main(*command: str) -> None:
    """Runs the command line, after the words of `command`; ends the process with its exit code."""
    cli([*command, *sys.argv[1:]], prog_name="job-ledger")
