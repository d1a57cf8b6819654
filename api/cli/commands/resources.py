"""`job-ledger drives`, `servers`, `keypairs` and `clone`."""

import sys
from collections.abc import Callable
from uuid import UUID

import click
import msgspec

from api.cli.client import ask, get, print_answer
from api.cli.output import TableColumn, json_option, print_line
from api.cli.pages import Several, after_option, offset_option, place, print_page
from api.client.errors import Unintelligible
from api.client.format import short, size
from api.client.http import decoded
from api.client.responses import Drive, Keypair, Reference, Server

LIMIT = click.IntRange(0, 10_000)

_name_option = click.option("--name", help="Only those whose name contains this.")
_limit_option = click.option(
    "--limit", type=LIMIT, default=20, show_default=True, help="At most this many; 0: all."
)


def _list_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (json_option, after_option, offset_option, _limit_option, _name_option):
        command = option(command)
    return command


@click.command()
@_list_options
def drives(*, name: str | None, limit: int, offset: int, after: str | None, as_json: bool) -> None:
    """List drives, the oldest first, or walk them."""
    answer = get(
        "/drives/detail/", limit=limit, name__contains=_escaped(name), **place(offset, after)
    )
    empty = "there are no such drives: `job-ledger upload FILE` makes one"
    print_page(answer, Drive, _DRIVE_COLUMNS, empty, as_json=as_json)


@click.command()
@_list_options
def servers(*, name: str | None, limit: int, offset: int, after: str | None, as_json: bool) -> None:
    """List servers, the oldest first, or walk them."""
    answer = get(
        "/servers/detail/", limit=limit, name__contains=_escaped(name), **place(offset, after)
    )
    print_page(answer, Server, _SERVER_COLUMNS, "there are no such servers", as_json=as_json)


@click.command()
@_list_options
def keypairs(
    *, name: str | None, limit: int, offset: int, after: str | None, as_json: bool
) -> None:
    """List keypairs, the oldest first, or walk them."""
    answer = get("/keypairs/", limit=limit, name__contains=_escaped(name), **place(offset, after))
    print_page(answer, Keypair, _KEYPAIR_COLUMNS, "there are no such keypairs", as_json=as_json)


_DRIVE_COLUMNS: tuple[TableColumn[Drive], ...] = (
    ("uuid", lambda drive: drive.uuid),
    ("name", lambda drive: short(drive.name)),
    ("status", lambda drive: drive.status),
    ("size", lambda drive: size(drive.size)),
    ("storage", lambda drive: drive.storage_type),
)
_SERVER_COLUMNS: tuple[TableColumn[Server], ...] = (
    ("uuid", lambda server: server.uuid),
    ("name", lambda server: short(server.name)),
    ("status", lambda server: server.status),
    ("drives", lambda server: str(len(server.drives))),
    ("address", lambda server: ", ".join(server.addresses())),
)
_KEYPAIR_COLUMNS: tuple[TableColumn[Keypair], ...] = (
    ("uuid", lambda keypair: keypair.uuid),
    ("name", lambda keypair: short(keypair.name)),
    ("fingerprint", lambda keypair: keypair.fingerprint),
)


class _Cloned(msgspec.Struct):
    """The answer to a clone: a server, or a list of one drive."""

    uuid: str | None = None
    jobs: tuple[Reference, ...] = ()
    objects: "tuple[_Cloned, ...]" = ()


@click.command()
@click.argument("kind", type=click.Choice(["drive", "server"]))
@click.argument("uuid", type=click.UUID)
@click.option("--name", help="The name of the clone.  [default: the service chooses one]")
@click.option(
    "--avoid",
    type=Several(click.UUID),
    metavar="UUID[,UUID]",
    help="Drives or servers to place the clone apart from: their uuids, separated by commas.",
)
@click.option("--wait", is_flag=True, help="Watch its job until it has ended.")
@json_option
def clone(
    kind: str, uuid: UUID, name: str | None, avoid: str | None, *, wait: bool, as_json: bool
) -> None:
    """Clone a drive or a server; with --wait, the exit code is that of `watch`."""
    body = {} if name is None else {"name": name}
    query = {"do": "clone", "avoid": avoid}
    answer = ask(lambda client: client.post(f"/{kind}s/{uuid}/action/", query, body))
    found = decoded(answer, _Cloned)
    made = found.objects[0] if found.objects else found
    if made.uuid is None:
        raise Unintelligible("it names no clone")
    if not made.jobs:  # it was recorded, and could not be shown at once
        made = decoded(get(f"/{kind}s/{made.uuid}/"), _Cloned)
    jobs = [job.uuid for job in made.jobs]
    if as_json:
        print_answer(answer)
    else:
        print_line(f"{kind} {made.uuid}")
        for job in jobs:
            print_line(f"job {job}")
    if wait:
        import asyncio

        from api.cli.commands.watch import watch_jobs

        sys.exit(asyncio.run(watch_jobs(jobs, as_json=as_json)))


def _escaped(name: str | None) -> str | None:
    """Escape commas, which separate alternatives in a filter."""
    return None if name is None else name.replace("\\", "\\\\").replace(",", "\\,")
