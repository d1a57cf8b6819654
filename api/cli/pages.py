"""Pages of lists: the options that choose one, and how to get the one after it."""

from collections.abc import Sequence
from typing import TypeVar

import click
import msgspec

from api.cli.client import print_list
from api.cli.output import TableColumn
from api.client.http import Answer, decoded

T = TypeVar("T")

after_option = click.option(
    "--after",
    help="Walk the list, the newest first: empty to begin, then what the page before printed.",
)
offset_option = click.option(
    "--offset", type=click.IntRange(0), default=0, help="Skip so many first."
)


def place(offset: int, after: str | None) -> dict[str, str | int | None]:
    """Return the part of a query that says where a page begins."""
    return {"offset": offset or None, "after": after}


class _Meta(msgspec.Struct):
    """Where a page is: of a walk, `next`; else the other two."""

    limit: int
    offset: int = 0
    total_count: int = 0
    next: str | None = None


def print_page(
    answer: Answer,
    kind: type[T],
    columns: Sequence[TableColumn[T]],
    empty: str,
    *,
    as_json: bool,
) -> None:
    """Print a page of a list, and for people how to get the next one."""
    meta = decoded(answer, dict[str, msgspec.Raw])["meta"]
    page = msgspec.json.decode(meta, type=_Meta)
    if page.next:
        empty = "there are none on this page"
    print_list(answer, kind, columns, empty, as_json=as_json)
    if as_json:
        return
    if page.next:
        click.echo(f"more: --after {page.next}", err=True)
    elif page.limit and page.offset + page.limit < page.total_count:
        click.echo(f"more: --offset {page.offset + page.limit}", err=True)
