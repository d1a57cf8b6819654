"""`job-ledger upload` and `download`."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import click
from rich.progress import DownloadColumn, TransferSpeedColumn

from api.cli.output import json_option, print_line, print_result, print_warning, progress_bar
from api.client.errors import ClientError, Mismatch
from api.client.local_image import local_image
from api.client.partial_file import part_of
from api.client.saved_login import saved_login

if TYPE_CHECKING:
    from api.client.sessions import SessionClient

T = TypeVar("T")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="The name of the drive.  [default: that of the file]")
@click.option("--media", type=click.Choice(["disk", "cdrom"]), default="disk", show_default=True)
@click.option("--resume", type=click.UUID, metavar="UUID", help="Resume the upload to this drive.")
@json_option
def upload(file: Path, name: str | None, media: str, resume: UUID | None, *, as_json: bool) -> None:
    """Upload an image as a new drive; print its uuid once the service has stored all of it."""
    drive = _ask(lambda client: _upload(client, file, name or file.name, media, resume))
    print_result({"uuid": drive}, drive, as_json=as_json)


def _ask(work: Callable[[SessionClient], Awaitable[T]]) -> T:
    """Run `work` with a client that keeps its connections."""
    from api.client.sessions import connected

    async def answer() -> T:
        async with connected(saved_login(), print_warning) as client:
            return await work(client)

    return asyncio.run(answer())


async def _upload(
    client: SessionClient, file: Path, name: str, media: str, resume: UUID | None
) -> str:
    from api.client import uploads

    with local_image(file) as image:
        if resume:
            drive = str(resume)
            await uploads.check_resumable(client, image, drive)
        else:
            drive = await uploads.begin_upload(client, image, name, media)
        try:
            with _bar("uploading") as progress:
                await uploads.upload(client, image, drive, progress)
        except BaseException as error:
            _print_resume_command(error, "upload", str(file), "--resume", drive)
            raise
    return drive


def _bar(activity: str) -> AbstractContextManager[Callable[[int, int], None]]:
    return progress_bar(activity, "bytes", DownloadColumn(), TransferSpeedColumn())


def _print_resume_command(error: BaseException, *words: str) -> None:
    """Print how to resume, unless that would only meet what ended the transfer."""
    if isinstance(error, Mismatch):
        return
    print_line(f"resume with: job-ledger {shlex.join(words)}", err=True)


@click.command()
@click.argument("uuid", type=click.UUID)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@json_option
def download(uuid: UUID, file: Path | None, *, force: bool, as_json: bool) -> None:
    """Save a drive's image as FILE, or as UUID.img; run it again to resume."""
    from api.client import downloads

    target = file or Path(f"{uuid}.img")
    if target.exists() and not force:
        raise ClientError(f"{target} exists already: choose another name, or --force")
    try:
        with _bar("downloading") as progress:
            _ask(lambda client: downloads.download(client, str(uuid), target, progress))
    except BaseException as error:
        if part_of(target).exists():
            again = ["--force"] if force else []
            _print_resume_command(error, "download", str(uuid), str(target), *again)
        raise
    print_result({"file": str(target)}, str(target), as_json=as_json)
