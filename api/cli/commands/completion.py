"""`job-ledger completion`: complete commands in a shell."""

import click
from click.shell_completion import get_completion_class

from api.cli.output import print_own


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands and options.

    For bash: `job-ledger completion bash >> ~/.bashrc`.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root()
    script = kind(root.command, {}, "job-ledger", "_JOB_LEDGER_COMPLETE").source()
    print_own(f"{script}\n")
