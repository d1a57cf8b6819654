"""Commands of requests: whatever a handler changes is recorded from here."""

from aiohttp import web

from api.http.requests import CALLER, CLAIMING, NEW_ID, POSITION
from ledger.application import Ledger
from ledger.domain.commands import Command


def new_id(request: web.Request) -> str:
    """A uuid for something new; a repeat of the request gets the same ones in the same order."""
    return request[NEW_ID]()


def is_recorded(request: web.Request) -> bool:
    """Whether the request's command was recorded at an earlier time that it was sent."""
    claiming = request.get(CLAIMING)
    return claiming is not None and claiming.recorded


async def record_command(request: web.Request, ledger: Ledger, command: Command) -> None:
    """Records, for whoever asks, what comes of the command; its answer will tell the position.

    Does nothing if it was recorded earlier: a request with a key has one command at the most.
    Raises the command's `Refusal` and then nothing was recorded, or `StoreFailed`.
    """
    caller, claiming = request[CALLER], request.get(CLAIMING)
    if claiming is None:
        request[POSITION] = await ledger.execute(command, caller)
    elif not claiming.recorded:
        caller = caller._replace(claim=claiming.claim)
        request[POSITION] = await ledger.execute(command, caller)
        claiming.recorded = True
