"""`job-ledger doctor`: check the ledger and the pools."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from api.cli.commands.retention import standing_lines
from api.cli.options import data_option, pool_option
from api.cli.output import Cell, json_option, print_facts, print_json, print_line
from api.cli.times import moment_text
from api.service.limits import rows_of
from api.service.settings import load_settings
from api.text.counts import counted

if TYPE_CHECKING:
    from api.doctor.findings import Findings, LedgerFound

SICK = 1


@click.command()
@data_option
@pool_option
@json_option
def doctor(data: Path | None, pools: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001 - click's
    """Check the ledger and the pools and say what is wrong; change nothing.

    The service may run or not; if it runs, its pools are checked. Exit code 0: all is well; 1:
    something is wrong.
    """
    from api.cli.admin import diagnose

    findings = asyncio.run(diagnose(load_settings(data=data, pools=pools)))
    if as_json:
        print_json({**msgspec.to_builtins(findings), "problems": findings.problems})
    else:
        _print(findings)
    if findings.problems:
        sys.exit(SICK)


def _print(findings: Findings) -> None:
    print_facts(_lines(findings))
    for check in findings.checks:
        for problem in check.problems:
            print_line(f"WRONG: {problem} ({check.name})")
    if not findings.problems:
        print_line(f"nothing is wrong: {len(findings.checks)} checks")


def _lines(findings: Findings) -> Iterator[tuple[str, Cell]]:
    yield "version", findings.version
    yield "data directory", findings.data
    running = findings.service is not None
    yield "service", f"runs as process {findings.service}" if running else "none runs"
    if findings.ledger is not None:
        yield from _ledger_lines(findings.ledger)
    if findings.retention is not None:
        yield from standing_lines(findings.retention)
    for pool in findings.pools:
        free = "unknown" if pool.free_bytes is None else f"{pool.free_bytes:,} bytes"
        yield f"pool {pool.name}", f"{pool.storage_type}, {free} free, at {pool.path}"
    for users in findings.users:
        named = ", ".join(f"{email}: {number:,}" for email, number in users.accounts.items())
        yield f"most {users.most}", named
    for lost in findings.lost:
        heard = "never heard of" if lost.heard is None else f"last heard {moment_text(lost.heard)}"
        named = ", ".join(lost.jobs) + (", ..." if lost.count > len(lost.jobs) else "")
        host = "an unknown host" if lost.host is None else lost.host
        yield f"lost on {host}", f"{counted(lost.count, 'job')}, {heard}: {named}"
    for limit in rows_of(findings.limits):
        yield (
            f"limit {limit.name}",
            f"{limit.value:,.12g}: {limit.meaning}" if limit.value else "off",
        )


def _ledger_lines(ledger: LedgerFound) -> Iterator[tuple[str, str]]:
    yield "ledger", ledger.where
    yield "database", ledger.engine
    yield from ledger.settings.items()
    yield "schema", str(ledger.schema_version)
    yield "live generation", str(ledger.generation)
    yield "last position", str(ledger.last_position)
