"""`job-ledger drives`, `servers` and `clone`."""

import asyncio
import sys
from typing import Any
from uuid import UUID

import click
import msgspec

from api.cli.client import ask, get, listed, print_answer
from api.cli.commands.watch import watched
from api.cli.output import json_option, print_table
from api.client.format import short, size
from api.client.http import decoded
from api.client.responses import Drive, Reference, Server
from api.text.printable import escaped

LIMIT = click.IntRange(0, 10_000)

name_option = click.option("--name", help="Only those whose name contains this.")
limit_option = click.option(
    "--limit", type=LIMIT, default=20, show_default=True, help="0: all there are."
)
offset_option = click.option("--offset", type=click.IntRange(0), default=0)


@click.command()
@name_option
@limit_option
@offset_option
@json_option
def drives(name: str | None, limit: int, offset: int, *, as_json: bool) -> None:
    """List drives, the oldest first."""
    answer = get("/drives/detail/", limit=limit, offset=offset, name__contains=_escaped(name))
    if as_json:
        print_answer(answer)
        return
    print_table(
        listed(answer, Drive),
        (
            ("uuid", lambda drive: drive.uuid),
            ("name", lambda drive: short(drive.name)),
            ("status", lambda drive: escaped(drive.status)),
            ("size", lambda drive: size(drive.size)),
            ("storage", lambda drive: escaped(drive.storage_type)),
        ),
        "there are no such drives: `job-ledger upload FILE` makes one",
    )


@click.command()
@name_option
@limit_option
@offset_option
@json_option
def servers(name: str | None, limit: int, offset: int, *, as_json: bool) -> None:
    """List servers, the oldest first."""
    answer = get("/servers/detail/", limit=limit, offset=offset, name__contains=_escaped(name))
    if as_json:
        print_answer(answer)
        return
    print_table(
        listed(answer, Server),
        (
            ("uuid", lambda server: server.uuid),
            ("name", lambda server: short(server.name)),
            ("status", lambda server: escaped(server.status)),
            ("drives", lambda server: str(len(server.drives))),
        ),
        "there are no such servers",
    )


class _Cloned(msgspec.Struct):
    """A clone as it is answered: a server, or a list of one drive."""

    uuid: str | None = None
    jobs: tuple[Reference, ...] = ()
    objects: "tuple[_Cloned, ...]" = ()


@click.command()
@click.argument("kind", type=click.Choice(["drive", "server"]))
@click.argument("uuid", type=click.UUID)
@click.option("--name", help="What the clone is called.  [default: as the service names it]")
@click.option("--avoid", help="Uuids of drives or servers beside which it should not lie.")
@click.option("--wait", is_flag=True, help="Watch its job until that has ended.")
@json_option
def clone(
    kind: str, uuid: UUID, name: str | None, avoid: str | None, *, wait: bool, as_json: bool
) -> None:
    """Clone a drive or a server; with --wait the exit code is that of `watch`."""
    body: dict[str, Any] = {} if name is None else {"name": name}
    query = {"do": "clone", "avoid": avoid}
    answer = ask(lambda client: client.post(f"/{kind}s/{uuid}/action/", query, body))
    found = decoded(answer, _Cloned)
    (made,) = found.objects or (found,)
    (job,) = made.jobs
    if as_json:
        print_answer(answer)
    else:
        click.echo(f"{kind} {made.uuid}")
        click.echo(f"job {job.uuid}")
    if wait:
        sys.exit(asyncio.run(watched([job.uuid], as_json=as_json)))


def _escaped(name: str | None) -> str | None:
    """A comma in a filter's value stands between alternatives."""
    return None if name is None else name.replace("\\", "\\\\").replace(",", "\\,")
