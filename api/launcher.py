"""The command `job-ledger`, as it is installed."""

import sys

from api.sdk_file import become_sdk


def main() -> None:
    """Run the command line; `run` is handed over to the SDK before anything else is imported."""
    if sys.argv[1:2] == ["run"]:
        become_sdk(*sys.argv[1:])
    from api.cli import main as run_command_line

    run_command_line()
