"""`job-ledger audit`: check the ledger, and sign checkpoints to check it against later."""

from __future__ import annotations

import sys
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli.checks import NOT_SOUND, CouldNotRun, reporting_failure_of
from api.cli.commands.verify import verify
from api.cli.options import data_option, settings_option
from api.cli.output import (
    TableColumn,
    json_option,
    print_json,
    print_line,
    print_own,
    print_table,
    progress_bar,
)
from api.client.format import in_words
from api.service.ids import new_id
from api.service.settings import Settings, load_settings

if TYPE_CHECKING:
    from api.data.location import Database
    from ledger.store.seam import Log
    from projections.audit.findings import Replay
    from projections.audit.history import HistoryLine


@click.group()
def audit() -> None:
    """Check the ledger against itself and its read models; change nothing."""


audit.add_command(verify)


@audit.command()
@data_option
@click.option("--job", metavar="UUID", help="Print the history of one job instead.")
@click.option("--with-archive", is_flag=True, help="Replay the ledger's archives, too.")
@click.option(
    "--archive",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Replay only this archive, without a ledger. Streams discarded unread are violations.",
)
@json_option
def replay(
    data: Path | None,
    job: str | None,
    with_archive: bool,  # noqa: FBT001 - click's
    archive: Path | None,
    as_json: bool,  # noqa: FBT001 - click's
) -> None:
    """Replay every event from the first and compare the outcome with the read models.

    The service may run meanwhile. Exit code 0: the ledger is sound; 1: it is not, and the first
    divergence is printed; 2: the replay could not run.
    """
    from projections.audit.replay import replay as replay_ledger
    from projections.audit.replay import replay_archive
    from projections.maintenance.retention.compaction import ARCHIVES

    with reporting_failure_of("replay"):
        if archive is None and job is not None:
            with _existing_database(load_settings(data=data)).log() as log:
                _print_history(log, job, as_json=as_json)
            return
        with progress_bar("replaying", "events") as report:
            if archive is not None:
                outcome = replay_archive(archive, report)
            else:
                settings = load_settings(data=data)
                archives = settings.data / ARCHIVES if with_archive else None
                outcome = replay_ledger(_existing_database(settings).log, report, archives)
        print_json(_replay_fields(outcome)) if as_json else _print_replay(outcome)
    if outcome.divergence is not None:
        sys.exit(NOT_SOUND)


@audit.command()
@settings_option
def checkpoint(settings: Settings) -> None:
    """Print a signed checkpoint of the ledger as it is now; keep it somewhere else.

    The service may run meanwhile. The key is made if there is none yet.
    """
    from api.data.location import database_of
    from ledger.proofs.checkpoints import checkpoint_of
    from ledger.proofs.keys import signer_of

    with database_of(settings.data, settings.store).log() as log:
        signer = signer_of(settings.data, new_id=new_id)
        print_own(signer.sign(checkpoint_of(log, signer.name).text()))


def _existing_database(settings: Settings) -> Database:
    from api.data.location import database_of
    from projections.audit.findings import CannotReplay

    database = database_of(settings.data, settings.store)
    if not database.exists():
        raise CannotReplay(f"there is no ledger at {database.address}")
    return database


def _print_history(log: Log, job: str, *, as_json: bool) -> None:
    from projections.audit.history import job_history

    history = job_history(log, job)
    if not history:
        raise CouldNotRun(f"no job with uuid {job}")
    if as_json:
        print_json([line._asdict() for line in history])
    else:
        print_table(history, _COLUMNS, "nothing is recorded")


def _replay_fields(outcome: Replay) -> dict[str, object]:
    divergence = outcome.divergence
    fields = outcome._asdict() | {"divergence": divergence and divergence._asdict()}
    return {"sound": divergence is None, **fields}


def _print_replay(outcome: Replay) -> None:
    print_line(
        f"{outcome.events} events of {outcome.streams} streams, up to position {outcome.position}"
    )
    divergence = outcome.divergence
    if divergence is None:
        print_line("sound")
        return
    print_line("VIOLATION, the first one:")
    for name, value in divergence._asdict().items():
        print_line(f"  {name}: {value}")


def _recorded(line: HistoryLine) -> str:
    return line.recorded_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


_COLUMNS: tuple[TableColumn[HistoryLine], ...] = (
    ("position", lambda line: str(line.position)),
    ("version", lambda line: str(line.version)),
    ("recorded at, UTC", _recorded),
    ("event", lambda line: line.event),
    ("fields", lambda line: in_words(line.fields)),
    ("by, in request", lambda line: [each for each in (line.actor, line.request_id) if each]),
)
