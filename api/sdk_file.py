"""The SDK: one file that this package holds, serves and runs, but never imports.

It imports next to nothing itself: `run` must not be kept waiting for what a service is made of.
"""

import os
import sys
from typing import NoReturn

# pathlib would take longer to import than all the rest.
SDK_FOLDER = os.path.join(os.path.dirname(__file__), "sdk")  # noqa: PTH118, PTH120
SDK_FILE = os.path.join(SDK_FOLDER, "job_ledger.py")  # noqa: PTH118

_START = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import job_ledger
sys.exit(job_ledger.main())
"""


def become_sdk(*words: str) -> NoReturn:
    """Replace this process by the SDK's command, with the Python that runs it and nothing else."""
    python = sys.executable
    given = [python, "-I", "-S", "-c", _START, SDK_FOLDER, *words]
    os.execv(python, given)  # noqa: S606 - there is no shell between us and the command
