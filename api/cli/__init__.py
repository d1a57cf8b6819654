"""The command line, `job-ledger`: one command for each thing an operator or an auditor does."""

import sys

import click

from api.cli.accounts import account
from api.cli.adopt import adopt
from api.cli.audit import audit
from api.cli.backup import backup, restore
from api.cli.completion import completion
from api.cli.doctor import doctor
from api.cli.export import export
from api.cli.jobs import cancel, job, jobs
from api.cli.library import library
from api.cli.login import login, logout
from api.cli.move import move
from api.cli.parked import parked
from api.cli.rebuild import rebuild
from api.cli.resources import clone, drives, servers
from api.cli.retention import retention
from api.cli.serve import serve
from api.cli.serving import CannotListen
from api.cli.tokens import token
from api.cli.transfers import download, upload
from api.cli.watch import watch
from api.cli.worker import worker
from api.client.errors import ClientError
from api.lock import DataInUse, DataUnusable
from api.operations import OperationRefused
from api.settings import BadSettings
from ledger.errors import StoreFailed, UnknownEvent
from ledger.proofs.keys import KeyUnusable
from ledger.store.moving import NotMoved
from ledger.store.tiles import LeavesMissing
from projections.backup.errors import BadBackup, NotBackedUp, NotRestored

EXPECTED = (
    BadBackup,
    BadSettings,
    CannotListen,
    ClientError,
    DataInUse,
    DataUnusable,
    KeyUnusable,
    LeavesMissing,
    NotBackedUp,
    NotMoved,
    NotRestored,
    OperationRefused,
    OSError,
    StoreFailed,
    UnknownEvent,
)
"""What can go wrong without being a fault of the program: told in one line, exit code 1."""


class _NotAsked(click.ClickException):
    """A service could not be asked, or refused; with `watch`, 1 is a job that failed."""

    exit_code = 3


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except EXPECTED as error:
            kind = _NotAsked if isinstance(error, ClientError) else click.ClickException
            raise kind(" ".join(str(error).split())) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Keeps the history of long-running operations on drives and servers, and does them.

    Whoever has an account logs in and uses the commands from `login` to `export`, anywhere; the
    others are for whoever runs the service, where it runs.

    Every option can also be given in the environment, as JOB_LEDGER_ and its name: JOB_LEDGER_DATA,
    JOB_LEDGER_COPY_RATE. JOB_LEDGER_POOLS names several pools with ; between them.
    """


for command in (
    login,
    logout,
    jobs,
    job,
    watch,
    cancel,
    drives,
    servers,
    clone,
    upload,
    download,
    export,
    completion,
    serve,
    worker,
    account,
    token,
    library,
    rebuild,
    retention,
    parked,
    audit,
    backup,
    restore,
    adopt,
    move,
    doctor,
):
    cli.add_command(command)


def main(*command: str) -> None:
    """Runs the command line, after the words of `command`; ends the process with its exit code."""
    cli([*command, *sys.argv[1:]], prog_name="job-ledger")
