"""Pages of lists: the options that filter one and choose a page, and how to get the next one.

The public API answers a filter that cannot match with an empty list; people get an error instead.
"""

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

import click
import msgspec

from api.cli.client import print_list
from api.cli.output import TableColumn, print_line
from api.client.http import Answer, decoded
from ledger.domain.aggregates.job import JobState

T = TypeVar("T")


class Several(click.ParamType[str]):
    """One or more values of another type, separated by commas."""

    name = "list"

    def __init__(self, each: click.ParamType[Any]) -> None:
        self._each = each

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the same text if all of its values are good."""
        return ",".join(str(self._each.convert(part, param, ctx)) for part in value.split(","))


state_option = click.option(
    "--state",
    type=Several(click.Choice(get_args(JobState))),
    metavar="STATE[,STATE]",
    help=f"Only jobs in these states: {', '.join(get_args(JobState))}.",
)
resource_option = click.option(
    "--resource",
    type=Several(click.UUID),
    metavar="UUID[,UUID]",
    help="Only jobs of the drives or servers with these uuids.",
)
after_option = click.option(
    "--after",
    help="Walk the list, the newest first: empty to begin, then what the page before printed.",
)
offset_option = click.option(
    "--offset", type=click.IntRange(0), default=0, help="Skip this many first."
)


def place(offset: int, after: str | None) -> dict[str, str | int | None]:
    """Return the part of a query that says where a page begins."""
    return {"offset": offset or None, "after": after}


class _Meta(msgspec.Struct):
    """The place of a page: `next` in a walk, else the other two."""

    limit: int
    offset: int = 0
    total_count: int = 0
    next: str | None = None


class _Page(msgspec.Struct):
    meta: _Meta


def print_page(
    answer: Answer,
    kind: type[T],
    columns: Sequence[TableColumn[T]],
    empty: str,
    *,
    as_json: bool,
) -> None:
    """Print a page of a list, and for people how to get the next one."""
    page = decoded(answer, _Page).meta
    if page.next:
        empty = "there are none on this page"
    print_list(answer, kind, columns, empty, as_json=as_json)
    if as_json:
        return
    if page.next:
        print_line(f"more: --after {page.next}", err=True)
    elif page.limit and page.offset + page.limit < page.total_count:
        print_line(f"more: --offset {page.offset + page.limit}", err=True)
