"""How commands ask a service that runs anywhere, by the login that is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import msgspec

from api.client.http import Answer, Client, connected, decoded
from api.client.saved_login import kept
from api.text.printable import escaped_json

T = TypeVar("T")


def ask(work: Callable[[Client], Awaitable[T]]) -> T:
    """What comes of the work with a client of the service. Raises `ClientError`."""

    async def asked() -> T:
        async with connected(kept()) as client:
            return await work(client)

    return asyncio.run(asked())


def get(path: str, **query: str | int | None) -> Answer:
    """The answer to one GET."""
    return ask(lambda client: client.get(path, query))


def listed(answer: Answer, kind: type[T]) -> list[T]:
    """The objects of a list."""
    objects = decoded(answer, dict[str, msgspec.Raw])["objects"]
    return msgspec.json.decode(objects, type=list[kind])  # type: ignore[valid-type]


def print_answer(answer: Answer) -> None:
    """As the service gave it, so that programs have all of it."""
    click.echo(escaped_json(msgspec.json.format(answer.body).decode()))
