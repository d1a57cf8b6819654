"""`job-ledger run`: the command of the SDK, which needs no service on its machine."""

import click

from api.sdk_file import become_sdk


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("words", metavar="[OPTIONS] -- COMMAND ...", nargs=-1, type=click.UNPROCESSED)
def run(words: tuple[str, ...]) -> None:
    """Run a command as a job of the ledger at JOB_LEDGER_URL.

    Its exit code is the command's, whatever becomes of the record. This is `jl run` of the
    distribution `job-ledger-sdk`, which needs no service; `run --help` shows the options.
    """
    become_sdk("run", *words)
