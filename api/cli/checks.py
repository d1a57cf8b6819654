"""How the commands end that check a ledger: 0 if it is sound, 1 if not, 2 if they could not run."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from ledger.domain.errors import Expected

NOT_SOUND = 1
COULD_NOT_RUN = 2


class CouldNotRun(click.ClickException):
    """The check says nothing about the ledger."""

    exit_code = COULD_NOT_RUN


@contextmanager
def reporting_failure_of(check: str) -> Iterator[None]:
    """Raise `CouldNotRun` for every failure: exit code 1 would say that the ledger is bad."""
    try:
        yield
    except click.ClickException:
        raise
    except Expected as error:
        raise CouldNotRun(str(error)) from error
    except OSError as error:
        raise CouldNotRun(f"{error.filename}: {error.strerror}") from error
    except Exception as error:
        raise CouldNotRun(f"the {check} broke off: {error!r}") from error
