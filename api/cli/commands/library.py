"""`job-ledger library`: images that every account may clone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

import click

from api.cli.options import data_option, pool_option
from api.cli.output import TableColumn, print_line, print_table
from api.service.settings import load_settings
from ledger.domain.events.drives import Media

if TYPE_CHECKING:
    from api.admin.library import LibraryImage
    from api.admin.verbs import Admin

T = TypeVar("T")


@click.group()
def library() -> None:
    """Add, list and remove images that every account may clone; the service may run or not."""


@library.command()
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="The name of the library drive.")
@click.option("--media", type=click.Choice(get_args(Media)), default="disk", show_default=True)
@click.option("--storage-type", help="The storage type of its pool.  [default: the service's]")
@click.option(
    "--meta",
    "meta",
    multiple=True,
    metavar="KEY=VALUE",
    help="Metadata: arch, os, distribution, version, description, image_type, category,"
    " install_notes, url, favourite, paid, or any other key. May be repeated.",
)
@data_option
@pool_option
def add(  # noqa: PLR0917 - click's
    image: Path,
    name: str,
    media: Media,
    storage_type: str | None,
    meta: tuple[str, ...],
    data: Path | None,
    pools: tuple[str, ...],
) -> None:
    """Copy the raw disk image IMAGE into the library."""
    from api.admin.library import Library, NewImage

    new = NewImage(str(image.absolute()), name, media, storage_type, dict(map(_pair, meta)))
    added = _ask(data, pools, lambda admin: admin.call(Library.add, new))
    print_line(f"added {added.uuid}")


@library.command("list")
@data_option
@pool_option
def list_images(data: Path | None, pools: tuple[str, ...]) -> None:
    """List the images in the library."""
    from api.admin.library import Library

    found = _ask(data, pools, lambda admin: admin.call(Library.every))
    print_table(found, _COLUMNS, "the library is empty")


@library.command()
@click.argument("uuid")
@data_option
@pool_option
def remove(uuid: str, data: Path | None, pools: tuple[str, ...]) -> None:
    """Remove the drive UUID from the library; refused while it is being cloned."""
    from api.admin.library import Library

    _ask(data, pools, lambda admin: admin.call(Library.remove, uuid))
    print_line(f"removed {uuid}")


def _ask(data: Path | None, pools: tuple[str, ...], question: Callable[[Admin], Awaitable[T]]) -> T:
    from api.cli.admin import ask

    return ask(load_settings(data=data, pools=pools), question, images=True)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--meta")
    return key, value


def _meta_lines(image: LibraryImage) -> list[str]:
    return [f"{key}={value}" for key, value in sorted(image.meta.items())]


_COLUMNS: tuple[TableColumn[LibraryImage], ...] = (
    ("uuid", lambda image: image.uuid),
    ("name", lambda image: image.name),
    ("media", lambda image: image.media),
    ("size", lambda image: f"{image.size:,}"),
    ("storage type", lambda image: image.storage_type),
    ("meta", _meta_lines),
)
