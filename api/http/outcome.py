"""`X-Ledger-Outcome`: what became of a change whose request has failed.

The answer to every failed request that could have changed something has it; without it, as from a
proxy, nothing is known. A recorded change is never answered with a failure: if it cannot be shown,
the answer is a success that only names what was made or changed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from aiohttp import hdrs, web

from api.http.access import SAFE
from api.http.fields import Reference
from api.http.responses import json_answer
from api.http.wire.bodies import KEYED_REQUEST
from ledger.domain.errors import Expected
from ledger.domain.errors.store import StoreUnreachable
from ledger.domain.outcomes import Outcome, outcome_of

T = TypeVar("T")

OUTCOME = "X-Ledger-Outcome"
SHOW_S = 10.0
"""How long to try to show what was recorded."""
PAUSE_S = 0.1
NAMED_MAX = 3
"""How many URLs an error names at most."""


class Changed(NamedTuple):
    """What a command makes or changes, and the status of its answer; known without a read.

    `text` is the whole answer, if that is not JSON.
    """

    status: int
    objects: tuple[Reference, ...] = ()
    text: str | None = None

    def answer(self) -> web.Response:
        """Answer a command that was recorded and cannot be shown."""
        if self.status == web.HTTPNoContent.status_code or self.text is not None:
            answer = web.Response(status=self.status, text=self.text)
        else:
            named = [
                {"uuid": each.uuid, "resource_uri": each.resource_uri} for each in self.objects
            ]
            answer = json_answer({"objects": named}, self.status)
        if self.status == web.HTTPCreated.status_code and len(self.objects) == 1:
            answer.headers[hdrs.LOCATION] = self.objects[0].resource_uri
        return answer


@dataclass
class Recording:
    """What a request has begun to record, and what is known of it if anything fails from now on."""

    changed: Changed
    recorded: bool = False
    in_doubt: bool = False
    """Whether a part is recorded, and it is unknown what else will be."""


RECORDING = web.RequestKey("recording", Recording)
"""Set once a request has begun to record something."""


async def show(read: Callable[[], Awaitable[T]]) -> T:
    """Return what `read` reads of what was recorded; try again while the store is out of reach."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SHOW_S
    while True:
        try:
            return await read()
        except StoreUnreachable:
            if loop.time() > until:
                raise
        await asyncio.sleep(PAUSE_S)


def recorded_by(request: web.Request, error: Exception) -> Changed | None:
    """Return what the request has changed, if its command was recorded.

    Not if the error leaves open whether a later command of the request has undone it.
    """
    recording = request.get(RECORDING)
    is_recorded = recording is not None and recording.recorded and outcome_of(error) != "unknown"
    return recording.changed if recording is not None and is_recorded else None


def outcome_after(request: web.Request, error: Exception) -> Outcome:
    """Return what is known of the request's change after the error.

    An unexpected error may come before or after a change, so the outcome is unknown unless the
    request has begun to record one.
    """
    recording = request.get(RECORDING)
    if recording is None:
        is_expected = isinstance(error, Expected | web.HTTPException)
        return outcome_of(error) if is_expected else "unknown"
    return "unknown" if recording.in_doubt else outcome_of(error)


def note_outcome(request: web.BaseRequest, answer: web.StreamResponse, outcome: Outcome) -> None:
    """Add the outcome to the answer of a request that has failed, if it could change anything."""
    if request.method not in SAFE:
        answer.headers[OUTCOME] = outcome


def advice(request: web.Request, error: Exception) -> str:
    """Return what an error of the service says of a change, and what to do; "" for a mere read."""
    if request.method in SAFE:
        return ""
    if outcome_after(request, error) == "not-recorded":
        return "nothing was changed; try again later"
    return f"it may have been recorded: {_how_to_know(request)}"


def _how_to_know(request: web.Request) -> str:
    recording = request.get(RECORDING)
    urls = [each.resource_uri for each in recording.changed.objects] if recording else []
    ways = []
    if urls:
        ways.append("look at " + ", ".join(urls[:NAMED_MAX]))
    if KEYED_REQUEST in request:
        ways.append("repeat it with the same Idempotency-Key")
    return ", or ".join(ways) or "repeat it"
