"""`job-ledger upload` and `download`."""

import shlex
from pathlib import Path
from uuid import UUID

import click
from rich.progress import DownloadColumn, TransferSpeedColumn

from api.cli.client import ask
from api.cli.output import json_option, print_result, progress_bar
from api.client import transfers as transferring
from api.client.errors import ClientError
from api.client.http import Client, decoded
from api.client.responses import Drive
from api.client.transfers import begin_upload, part_of
from api.text.printable import escaped


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="The name of the drive.  [default: that of the file]")
@click.option("--media", type=click.Choice(["disk", "cdrom"]), default="disk", show_default=True)
@click.option("--resume", type=click.UUID, metavar="UUID", help="Resume the upload to this drive.")
@json_option
def upload(file: Path, name: str | None, media: str, resume: UUID | None, *, as_json: bool) -> None:
    """Upload an image as a new drive; print its uuid once the service has stored all of it."""
    drive = ask(lambda client: _upload(client, file, name or file.name, media, resume))
    print_result({"uuid": drive}, drive, as_json=as_json)


async def _upload(client: Client, file: Path, name: str, media: str, resume: UUID | None) -> str:
    drive = str(resume) if resume else await begin_upload(client, file, name, media)
    if resume and decoded(await client.get(f"/drives/{drive}/"), Drive).status != "uploading":
        raise ClientError(f"the upload to drive {drive} is complete already")
    try:
        with progress_bar(
            "uploading", "bytes", DownloadColumn(), TransferSpeedColumn()
        ) as progress:
            await transferring.upload(client, file, drive, progress)
    except BaseException:
        _print_resume_command("upload", str(file), "--resume", drive)
        raise
    return drive


def _print_resume_command(*words: str) -> None:
    click.echo(f"resume with: job-ledger {escaped(shlex.join(words))}", err=True)


@click.command()
@click.argument("uuid", type=click.UUID)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@json_option
def download(uuid: UUID, file: Path | None, *, force: bool, as_json: bool) -> None:
    """Save a drive's image as FILE, or as UUID.img; run it again to resume."""
    target = file or Path(f"{uuid}.img")
    if target.exists() and not force:
        raise ClientError(f"{target} exists already: choose another name, or --force")
    try:
        with progress_bar(
            "downloading", "bytes", DownloadColumn(), TransferSpeedColumn()
        ) as progress:
            ask(lambda client: transferring.download(client, str(uuid), target, progress))
    except BaseException:
        if part_of(target).exists():
            _print_resume_command(
                "download", str(uuid), str(target), *(["--force"] if force else [])
            )
        raise
    print_result({"file": str(target)}, escaped(str(target)), as_json=as_json)
