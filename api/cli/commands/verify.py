"""`job-ledger audit verify`: compare a ledger with a checkpoint that was signed earlier."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from api.cli.checks import NOT_SOUND, reporting_failure_of
from api.cli.options import data_option
from api.cli.output import json_option, print_json, print_line, progress_bar
from api.service.settings import Settings, load_settings

if TYPE_CHECKING:
    from ledger.merkle.signed_note import Verifier
    from ledger.proofs.verification import Verified

KEY_BYTES_MAX = 4096
OWN_KEY = (
    "the key comes from the data directory, and anyone who can write there can sign another"
    " checkpoint; --key takes the key that was kept with the checkpoint"
)


@click.command()
@data_option
@click.option(
    "--checkpoint",
    "note",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="A checkpoint that was kept elsewhere.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The verifier key that was kept with it.  [default: checkpoint.pub in the data directory]",
)
@json_option
def verify(data: Path | None, note: Path, key: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Verify the ledger and its archives against a checkpoint, offline; change nothing.

    The service may run meanwhile. Exit code 0: the checkpoint was signed for this ledger, which has
    only grown since; 1: it was not, or the checkpoint is not valid; 2: the verification could not
    run.
    """
    with reporting_failure_of("verification"):
        verified = _verify(load_settings(data=data), note, key)
    if as_json:
        print_json(_fields(verified, own_key=key is None))
    else:
        _print(verified, own_key=key is None)
    if not verified.intact:
        sys.exit(NOT_SOUND)


def _verify(settings: Settings, note: Path, key: Path | None) -> Verified:
    from api.data.location import database_of
    from ledger.archives import Shelf
    from ledger.merkle.signed_note import NOTE_BYTES, BadCheckpoint, read_checkpoint
    from ledger.proofs.keys import verifier_of
    from ledger.proofs.verification import verify as verify_ledger
    from projections.maintenance.retention.compaction import ARCHIVES

    directory = settings.data
    verifier = verifier_of(directory) if key is None else _verifier(key)
    try:
        checkpoint = read_checkpoint(_read(note, NOTE_BYTES), verifier)
    except BadCheckpoint as error:
        raise click.ClickException(f"{note}: {error}") from error
    shelf = Shelf(directory / ARCHIVES)
    names = shelf.names()
    database = database_of(directory, settings.store)
    with database.log() as log, progress_bar("verifying", "leaves") as report:
        return verify_ledger(log, shelf, checkpoint, verifier, names=names, report=report)


def _verifier(file: Path) -> Verifier:
    from ledger.merkle.signed_note import BadKey, Verifier

    try:
        return Verifier.of_text(_read(file, KEY_BYTES_MAX).decode())
    except (BadKey, ValueError) as error:
        raise BadKey(f"{file}: {error}") from error


def _read(file: Path, bytes_max: int) -> bytes:
    """Read one byte more than allowed, so that the parser notices a file that is too long."""
    with file.open("rb") as opened:
        return opened.read(bytes_max + 1)


def _fields(verified: Verified, *, own_key: bool) -> dict[str, object]:
    from ledger.proofs.findings import described

    signed = verified.checkpoint
    return {
        "intact": verified.intact,
        "key_from_data_directory": own_key,
        "checkpoint": {
            "origin": signed.origin,
            "size": signed.size,
            "epoch": signed.epoch,
            "position": signed.position,
        },
        "events": verified.size,
        "epoch": verified.epoch,
        "in_store": verified.stored,
        "in_archives": verified.archived,
        "not_checked": verified.unchecked,
        "found": verified.found,
        "findings": [
            {**msgspec.to_builtins(finding), "text": described(finding)}
            for finding in verified.findings
        ],
    }


def _print(verified: Verified, *, own_key: bool) -> None:
    for line in _lines(verified, own_key=own_key):
        print_line(line)


def _lines(verified: Verified, *, own_key: bool) -> Iterator[str]:
    from ledger.proofs.findings import Restored, described

    signed = verified.checkpoint
    yield f"checkpoint of {signed.origin}: {signed.size} events, in epoch {signed.epoch}"
    yield (
        f"ledger: {verified.size} events, in epoch {verified.epoch};"
        f" verified {verified.stored} in the store and {verified.archived} in archives"
    )
    if verified.unchecked:
        yield f"not checked: {verified.unchecked} events are in archives that are not here"
    if own_key:
        yield f"note: {OWN_KEY}"
    if verified.intact:
        yield "intact"
        return
    restored = all(isinstance(finding, Restored) for finding in verified.findings)
    yield "NOT INTACT, by a restore:" if restored else f"NOT INTACT, {_number(verified)}:"
    for finding in verified.findings:
        yield f"  {described(finding)}"


def _number(verified: Verified) -> str:
    shown = len(verified.findings)
    if verified.found == shown:
        return "one finding" if shown == 1 else f"{shown} findings"
    return f"{verified.found} findings, the first of each kind"
