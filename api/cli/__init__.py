"""The command line, `job-ledger`.

A command is imported when it is used, and imports what it needs when it runs: one that only asks a
service, or is only completed in a shell, does not wait for what a service is made of.
"""

import sys
import traceback
from importlib import import_module
from types import TracebackType
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from api.client.errors import ClientError, Mismatch
from api.text.printable import escaped, escaped_lines
from ledger.domain.errors import Expected, Misconfigured


class Described(NamedTuple):
    """A command: the module in which it has its name, and how its description begins.

    That stands here because `--help` shows it of every command, and would have to import them all.
    """

    module: str
    summary: str


COMMANDS = {
    "login": Described("login", "Log in to the service at URL"),
    "logout": Described("login", "Revoke the token that `login` stored"),
    "jobs": Described("jobs", "List jobs, the latest change first"),
    "job": Described("jobs", "Show a job"),
    "watch": Described("watch", "Watch jobs until they have ended"),
    "cancel": Described("jobs", "Cancel a running job, or ask another program to stop"),
    "drives": Described("resources", "List drives, the oldest first"),
    "servers": Described("resources", "List servers, the oldest first"),
    "keypairs": Described("resources", "List keypairs, the oldest first"),
    "clone": Described("resources", "Clone a drive or a server"),
    "upload": Described("transfers", "Upload an image as a new drive"),
    "download": Described("transfers", "Save a drive's image as FILE"),
    "run": Described("run", "Run a command as a job of the ledger at JOB_LEDGER_URL"),
    "export": Described("export", "Print all jobs that are kept"),
    "completion": Described(
        "completion", "Print the script that makes SHELL complete commands and options"
    ),
    "serve": Described("serve", "Serve the ledger and execute its jobs"),
    "worker": Described("worker", "Make, copy and remove images in these pools"),
    "account": Described("accounts", "Add, list and remove accounts, change passwords and roles"),
    "token": Described("tokens", "Add, list and remove bearer tokens"),
    "library": Described("library", "Add, list and remove images that every account may clone"),
    "rebuild": Described("rebuild", "Rebuild all read models from the ledger"),
    "retention": Described("retention", "Set how long jobs are kept after their end"),
    "parked": Described("parked_streams", "List the streams that a sweep could not read"),
    "audit": Described("audit", "Check the ledger against itself and its read models"),
    "backup": Described("backup", "Back up the ledger into the new directory DIR"),
    "restore": Described("backup", "Restore BACKUP into a data directory that has no ledger"),
    "adopt": Described("adopt", "Resume a ledger that was restored into PostgreSQL"),
    "move": Described("move", "Move the ledger from SQLite into a PostgreSQL database"),
    "doctor": Described("doctor", "Check the ledger and the pools and say what is wrong"),
}


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
        module = import_module(f"{__name__}.commands.{COMMANDS[cmd_name].module}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.summary) for name, each in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [
            CompletionItem(name, help=each.summary)
            for name, each in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, click.exceptions.Exit, click.Abort):
            raise
        except click.ClickException as error:
            error.message = escaped_lines(error.message)  # type: ignore[misc] # final for click
            raise
        except Exception as error:
            expected = _one_line_error(error)
            if expected is None:
                raise
            raise expected from error


def _one_line_error(error: Exception) -> click.ClickException | None:
    """Return a one-line error for what can go wrong without being a fault of the program."""
    text = escaped(" ".join(str(error).split()))
    if isinstance(error, ClientError) and not isinstance(error, Mismatch):
        return _ServiceError(text)
    if isinstance(error, UnicodeError):
        return click.UsageError(f"names, passwords and other texts have to be UTF-8 ({text})")
    if isinstance(error, Misconfigured):
        return _ConfigurationError(text)
    expected = isinstance(error, (Expected, Mismatch, OSError))
    return click.ClickException(text) if expected else None


def _print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a fault of the program, whose message may quote anything."""
    fault = "".join(traceback.format_exception(kind, error, trace))
    click.echo(escaped_lines(fault), nl=False, err=True)


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
    """Record long-running operations: of any program, and on drives and servers.

    The commands from `login` to `export` work on any machine, with an account; the others are for
    those who run the service, on its machine.

    Settings can also be given in the environment, as JOB_LEDGER_ and its name:
    JOB_LEDGER_DATA, JOB_LEDGER_COPY_RATE. JOB_LEDGER_POOLS separates several pools by ;.
    """


def main(*command: str) -> None:
    """Run the command line, with `command` in front; end the process with its exit code."""
    sys.excepthook = _print_traceback
    cli([*command, *sys.argv[1:]], prog_name="job-ledger")
