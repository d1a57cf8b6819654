"""Commands of requests: whatever a handler changes is recorded from here."""

from aiohttp import web

from api.http.requests import CALLER, KEYED_REQUEST, NEW_ID, POSITION
from ledger.application import Ledger
from ledger.domain.commands import Command


def new_id(request: web.Request) -> str:
    """A uuid for something new; a repeat of the request gets the same ones in the same order."""
    return request[NEW_ID]()


def is_recorded(request: web.Request) -> bool:
    """Whether the request's command was recorded at an earlier time that it was sent."""
    keyed = request.get(KEYED_REQUEST)
    return keyed is not None and keyed.recorded


async def record_command(request: web.Request, ledger: Ledger, command: Command) -> None:
    """Records, for whoever asks, what comes of the command; its answer will tell the position.

    Does nothing if it was recorded earlier: a request with a key has one command at the most.
    Raises the command's `Refusal` and then nothing was recorded, or `StoreFailed`.
    """
    caller, keyed = request[CALLER], request.get(KEYED_REQUEST)
    if keyed is None:
        request[POSITION] = await ledger.execute(command, caller)
    elif not keyed.recorded:
        caller = caller._replace(claim=keyed.claim)
        request[POSITION] = await ledger.execute(command, caller)
        keyed.recorded = True
