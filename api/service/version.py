"""The version of this program, and where its changes are described."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_API = Path(__file__).resolve().parents[1]
CHANGES = _API / "CHANGES.md"


def installed_version() -> str:
    """Return the version of the package, or of the checkout where none is installed.

    `scripts/serve` puts a checkout on Python's path as it stands, without installing it.
    """
    try:
        return version("job-ledger")
    except PackageNotFoundError:
        settings = tomllib.loads((_API.parent / "pyproject.toml").read_text(encoding="utf-8"))
        return str(settings["project"]["version"])


VERSION = installed_version()
"""The version of the code that runs, even after another one has been installed."""
