"""`job-ledger upload` and `download`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from api.cli.asking import ask
from api.cli.options import console
from api.client import transferring
from api.client.calling import Client, decoded
from api.client.errors import ClientError
from api.client.shapes import Drive
from api.client.transferring import Progress, begin_upload


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="What the drive is called.  [default: as the file]")
@click.option("--media", type=click.Choice(["disk", "cdrom"]), default="disk", show_default=True)
@click.option("--resume", metavar="UUID", help="Go on with the upload to this drive.")
def upload(file: Path, name: str | None, media: str, resume: str | None) -> None:
    """Make a drive of an image; prints its uuid once all of it is on the service's disk."""
    click.echo(ask(lambda client: _upload(client, file, name or file.name, media, resume)))


async def _upload(client: Client, file: Path, name: str, media: str, resume: str | None) -> str:
    drive = resume or await begin_upload(client, file, name, media)
    if resume and decoded(await client.get(f"/drives/{drive}/"), Drive).status != "uploading":
        raise ClientError(f"drive {drive} is no upload any more: all of it is there")
    try:
        with _bar("uploading") as progress:
            await transferring.upload(client, file, drive, progress)
    except BaseException:
        click.echo(f"go on with: job-ledger upload {file} --resume {drive}", err=True)
        raise
    return drive


@click.command()
@click.argument("uuid")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def download(uuid: str, file: Path | None, *, force: bool) -> None:
    """Save a drive's image as FILE, or as UUID.img; the same command goes on where it was cut."""
    target = file or Path(f"{Path(uuid).name}.img")
    if target.exists() and not force:
        raise ClientError(f"{target} is there already: give another name, or --force")
    with _bar("downloading") as progress:
        ask(lambda client: transferring.download(client, uuid, target, progress))
    click.echo(str(target))


@contextmanager
def _bar(doing: str) -> Iterator[Progress]:
    """On a terminal; nothing anywhere else."""
    screen = console(stderr=True)
    columns = (TextColumn(doing), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, console=screen, disable=not screen.is_terminal) as bars:
        task = bars.add_task(doing, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
