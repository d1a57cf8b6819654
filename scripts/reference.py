#!/usr/bin/env python3
"""Print the reference of commands, settings, events, errors and metrics from the code.

`scripts/reference.py > api/REFERENCE.md` renews it; a test fails when that is due.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, get_args

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import click
import msgspec

from api.cli import cli
from api.doctor.checks import CURRENT, INSIDE, LEDGER, RETENTION, WHOLE
from api.metrics.table import METRICS
from api.service.limits import Limits, rows_of
from api.service.settings import ENVIRONMENT_PREFIX, Settings, WorkerSettings
from ledger.domain import errors
from ledger.domain.errors import Refusal
from ledger.domain.events import Event
from ledger.store.metrics import PREFIX

T = TypeVar("T")


def main() -> None:
    print("\n".join(lines()))


def lines() -> Iterator[str]:
    """Yield the whole page in Markdown."""
    yield "# Reference"
    yield ""
    yield "Made from the code by `scripts/reference.py`; the API is described at `/api/docs/`."
    for chapter in (_commands, _settings, _events, _refusals, _checks, _metrics):
        yield ""
        yield from chapter()


def _commands() -> Iterator[str]:
    yield "## Commands"
    context = click.Context(cli, info_name="job-ledger")
    for path, command in _commands_below("job-ledger", cli, context):
        yield ""
        yield f"### {path}"
        yield ""
        names = ["-h", "--help"]
        with click.Context(command, info_name=path, help_option_names=names) as shown:
            yield "```text"
            yield from command.get_help(shown).rstrip().splitlines()
            yield "```"


def _commands_below(
    path: str, command: click.Command, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    """Yield the command, or all commands of a group, with their paths."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from _commands_below(f"{path} {name}", below, context)


def _settings() -> Iterator[str]:
    yield "## Settings"
    yield ""
    yield "These are variables of the environment; a flag of the same name wins."
    yield ""
    yield "### Limits"
    yield ""
    yield "`--limit NAME=N` of `serve`; `JOB_LEDGER_LIMITS` holds several, with `;` between them."
    yield "0 switches a limit off."
    yield ""
    yield "| name | default | limits |"
    yield "|---|---|---|"
    for limit in rows_of(Limits()):
        yield f"| `{limit.name}` | {limit.value:.12g} | {limit.meaning} |"
    for title, kind in (("serve", Settings), ("worker", WorkerSettings)):
        yield ""
        yield f"### Of `{title}`"
        yield ""
        yield "| name | default |"
        yield "|---|---|"
        yield from _fields(kind)


def _fields(kind: type[msgspec.Struct]) -> Iterator[str]:
    for field in sorted(msgspec.structs.fields(kind), key=lambda each: each.name):
        default = "must be given" if field.required else _cell(_default(field.default))
        yield f"| `{ENVIRONMENT_PREFIX}{field.name.upper()}` | {default} |"


def _default(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, Limits):
        return "see above"
    if isinstance(value, tuple):
        return f"`{';'.join(map(str, value))}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _events() -> Iterator[str]:
    yield "## Events"
    yield ""
    yield "| event | fields | meaning |"
    yield "|---|---|---|"
    for event in sorted(get_args(Event), key=lambda each: each.__name__):
        fields = ", ".join(f"`{name}`" for name in event.__struct_fields__)
        yield f"| {event.__name__} | {fields} | {_summary(event)} |"


def _refusals() -> Iterator[str]:
    yield "## Errors"
    yield ""
    yield "Why the ledger refuses a command. `/api/docs/` has the status of each answer."
    yield ""
    yield "| error | meaning |"
    yield "|---|---|"
    for refusal in sorted(_below(Refusal), key=lambda each: each.__name__):
        if refusal.__module__.startswith(errors.__name__):
            yield f"| {refusal.__name__} | {_summary(refusal)} |"


def _below(kind: type[T]) -> Iterator[type[T]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _checks() -> Iterator[str]:
    yield "## Checks of the doctor"
    yield ""
    yield ", ".join(f"`{name}`" for name in (*WHOLE, LEDGER, *INSIDE, RETENTION, *CURRENT))


def _metrics() -> Iterator[str]:
    yield "## Metrics"
    yield ""
    yield "| metric | kind | labels | meaning |"
    yield "|---|---|---|---|"
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
        name = f"{PREFIX}{metric.name}{'_total' if metric.kind == 'counter' else ''}"
        yield f"| `{name}` | {metric.kind} | {labels} | {_cell(metric.means)} |"


def _summary(kind: type) -> str:
    """Return the first paragraph of the docstring, or else the words of the name."""
    doc = kind.__dict__.get("__doc__")
    if not doc or doc.startswith(f"{kind.__name__}("):
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).capitalize() + "."
    return _cell(" ".join(doc.strip().split("\n\n")[0].split()))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
