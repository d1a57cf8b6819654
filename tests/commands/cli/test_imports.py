"""What is imported to describe, complete or run a command: it is most of what that costs."""

import re
import subprocess
import sys

import click
import pytest

from api.cli import COMMANDS, cli
from tests.support import processes

COUNTED = """
import sys
from api.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
ALL_COMMANDS = """
import sys
from api.cli import COMMANDS, cli
for name in COMMANDS:
    cli.get_command(None, name)
print(*sys.modules)
"""
NEVER = {
    "aiohttp",
    "argon2",
    "cryptography",
    "eventsourcing",
    "procrastinate",
    "psycopg",
    "sqlite3",
}
"""What a service is made of; aiohttp alone is 300 modules."""
HELP_MODULES = 170
MODULES = 300
ALL_MODULES = 420
NOWHERE = {"JOB_LEDGER_URL": "http://127.0.0.1:1", "JOB_LEDGER_TOKEN": "x"}
LIGHT = ("jobs", "drives", "export", f"job {'0' * 8}-0000-0000-0000-{'0' * 12}")


def imported(words: str, **environment: str) -> set[str]:
    """The modules in memory when `job-ledger` with these words, or a TAB after them, ends."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, *words.split()],
        env={**processes.environment(), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return set(done.stderr.splitlines()[-1].split())


def completing(line: str) -> set[str]:
    words = line.split(" ")
    return imported(
        "",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words) - 1),
        _JOB_LEDGER_COMPLETE="bash_complete",
    )


def roots(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_help_imports_no_command() -> None:
    modules = imported("--help")
    assert not {module for module in modules if module.startswith("api.cli.commands.")}
    assert not roots(modules) & (NEVER | {"rich", "msgspec", "asyncio"})
    assert len(modules) < HELP_MODULES


@pytest.mark.parametrize("words", LIGHT, ids=lambda words: words.split()[0])
def test_who_only_asks_a_service_imports_none(words: str) -> None:
    modules = imported(words, **NOWHERE)
    assert "api.client.single" in modules
    assert not roots(modules) & NEVER
    assert len(modules) < MODULES


def test_a_tab_after_the_program_imports_no_command() -> None:
    assert not {each for each in completing("job-ledger j") if each.startswith("api.cli.commands.")}


def test_no_command_imports_what_it_does_to_complete_its_options() -> None:
    """All of them in one process; a command of its own would import less."""
    done = subprocess.run(
        [sys.executable, "-c", ALL_COMMANDS],
        env=processes.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(done.stdout.split())
    assert not roots(modules) & NEVER
    assert not roots(modules) & {"projections"}
    assert len(modules) < ALL_MODULES
    assert not roots(completing("job-ledger serve --p")) & NEVER


@pytest.mark.parametrize("name", COMMANDS)
def test_a_summary_is_how_the_description_begins(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help is not None
    description = " ".join(command.help.split())
    assert re.match(rf"{re.escape(COMMANDS[name].summary)}[.,;]", description), description
