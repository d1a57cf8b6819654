"""Options that several commands have, and how they print."""

import sys
from pathlib import Path

import click
from rich.console import Console

PIPED_WIDTH = 200
"""Columns of a table that is not printed to a terminal."""

data_option = click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", help="The data directory."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
pool_option = click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="NAME=PATH[,type=TYPE]",
    help="A directory for disk images; may be repeated. Default: `main`, in the data directory.",
)


def console(*, stderr: bool = False) -> Console:
    """Prints text as it is: what it is given comes from users too, and is no markup."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPED_WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)
