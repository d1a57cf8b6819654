"""Commands of requests: whatever a handler changes is recorded from here."""

from aiohttp import web

from api.requests import CALLER, POSITION
from ledger.application import Ledger
from ledger.commands import Command


async def execute(request: web.Request, ledger: Ledger, command: Command) -> None:
    """Records, for whoever asks, what comes of the command; its answer will tell the position.

    Raises the command's `Refusal` and then nothing was recorded, or `StoreFailed`.
    """
    request[POSITION] = await ledger.execute(command, request[CALLER])
