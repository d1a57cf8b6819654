"""How commands ask a service over HTTP, with the saved login."""

from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar

from msgspec import Raw, Struct

from api.cli.output import TableColumn, print_raw_json, print_table, print_warning
from api.client.http import Answer, Client, decoded, parsed
from api.client.saved_login import Login, saved_login
from api.client.single import SingleClient, run

T = TypeVar("T")


def ask(work: Callable[[Client], Coroutine[None, None, T]], login: Login | None = None) -> T:
    """Run `work` with a client of the service and return its result. Raises `ClientError`.

    It asks one thing after the other; `api.client.sessions` is for what does more.
    """
    return run(work(SingleClient(login or saved_login(), print_warning)))


class _List(Struct):
    objects: list[Raw]


def get(path: str, **query: str | int | None) -> Answer:
    return ask(lambda client: client.get(path, query))


def print_answer(answer: Answer) -> None:
    """Print the answer as the service gave it, so that programs have all of it."""
    print_raw_json(bytes(decoded(answer, Raw)))


def print_list(
    answer: Answer,
    kind: type[T],
    columns: Sequence[TableColumn[T]],
    empty: str,
    *,
    as_json: bool,
) -> None:
    """Print the objects of a list, for programs or as a table."""
    if as_json:
        print_answer(answer)
        return
    print_table([parsed(raw, kind) for raw in decoded(answer, _List).objects], columns, empty)
