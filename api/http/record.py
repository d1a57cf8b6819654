"""Recording the commands of requests: all that handlers change is recorded here."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from api.http.outcome import RECORDING, Changed, Recording
from api.http.requests import CALLER, NEW_ID, POSITION
from api.http.wire.bodies import KEYED_REQUEST
from ledger.application import Ledger
from ledger.domain.commands import Command
from ledger.domain.errors import WrongState

T = TypeVar("T")

SETTLE_S = 5.0
"""How long a request waits for the end of what takes moments."""
PAUSE_S = 0.01
PAUSE_MAX_S = 0.2


def new_id(request: web.Request) -> str:
    """Draw a uuid; a repeat of a keyed request gets the same ones in the same order."""
    return request[NEW_ID]()


def is_recorded(request: web.Request) -> bool:
    """Return whether an earlier request with the same key has recorded the command."""
    keyed = request.get(KEYED_REQUEST)
    return keyed is not None and keyed.recorded


def keep_no_answer(request: web.Request) -> None:
    """Keep no answer for repeats of the request: it contains a secret that is kept nowhere."""
    keyed = request.get(KEYED_REQUEST)
    if keyed is not None:
        keyed.keeps_answer = False


async def record_command(
    request: web.Request, ledger: Ledger, command: Command, changed: Changed
) -> None:
    """Execute a command for the request's caller; the answer will carry its position.

    `changed` is what the client is told if what follows fails. Do nothing if the command was
    recorded earlier: a request with a key has at most one. Raise the command's `Refusal`, and then
    nothing is recorded, or `StoreFailed`. A refusal that passes soon is waited for.
    """
    caller, keyed = request[CALLER], request.get(KEYED_REQUEST)
    recording = request[RECORDING] = Recording(changed)
    if keyed is None:
        request[POSITION] = await when_settled(lambda: ledger.execute(command, caller))
    elif not keyed.recorded:
        claiming = caller._replace(claim=keyed.claim)
        request[POSITION] = await when_settled(lambda: ledger.execute(command, claiming))
        keyed.recorded = True
    recording.recorded = True


async def when_settled(attempt: Callable[[], Awaitable[T]]) -> T:
    """Return what `attempt` does; while what stands in its way passes soon, try again.

    No answer may depend on a race that the client cannot see, such as that of a start with the end
    of the resize before it. Raise what `attempt` raises, such a `WrongState` after `SETTLE_S`.
    """
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + SETTLE_S, PAUSE_S
    while True:
        try:
            return await attempt()
        except WrongState as refusal:
            if not refusal.passes_soon or loop.time() > until:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, PAUSE_MAX_S)


def begin_in_parts(request: web.Request, changed: Changed) -> Callable[[], None]:
    """Begin to record something that is there before all is done that follows from it.

    Return what to call, in any thread, once it is there: an error leaves it open from then on what
    else is.
    """
    recording = request[RECORDING] = Recording(changed)

    def note() -> None:
        recording.in_doubt = True

    return note


def note_undone(request: web.Request) -> None:
    """Note that what the request has recorded, if anything, was undone by another command."""
    if RECORDING in request:
        request[RECORDING].recorded = False
