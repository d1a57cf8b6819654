"""Following jobs until they have ended, through whatever happens to the connection."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from api.client.errors import Refused, Unreachable
from api.client.http import NOT_MODIFIED, Client, decoded
from api.client.responses import Job

PAUSE_S = 0.5
"""Between two looks at a job, at least ..."""
LOOKS_A_SECOND = 50
"""... and at the most so many looks at all of them: a watch is to cost the service little."""
NOT_FOUND = 404
AWAY = frozenset({502, 503, 504})
"""What is answered for a service that stops or begins, also by a proxy before it."""


@dataclass
class Followed:
    """A job as it was seen last; None as long as it is not there."""

    uuid: str
    job: Job | None = None
    lost: bool = False
    """Whether the service cannot be reached just now."""
    tag: str = ""

    @property
    def has_ended(self) -> bool:
        return self.job is not None and self.job.state != "started"

    @property
    def went_well(self) -> bool:
        return self.job is not None and self.job.state == "success"


async def follow(
    client: Client, uuids: Sequence[str], *, fail_fast: bool
) -> AsyncIterator[list[Followed]]:
    """All of them after each look, until all have ended; or one badly, if that is to be enough.

    A job that is not there is waited for, and so is a service. Raises any other `ClientError`.
    """
    followed = [Followed(uuid) for uuid in dict.fromkeys(uuids)]
    while True:
        running = [each for each in followed if not each.has_ended]
        await asyncio.gather(*(_look(client, each) for each in running))
        yield followed
        failed = any(each.has_ended and not each.went_well for each in followed)
        if all(each.has_ended for each in followed) or (fail_fast and failed):
            return
        await asyncio.sleep(max(PAUSE_S, len(running) / LOOKS_A_SECOND))


async def _look(client: Client, followed: Followed) -> None:
    headers = {"If-None-Match": followed.tag} if followed.tag else {}
    try:
        answer = await client.get(f"/jobs/{followed.uuid}/", headers=headers)
    except Unreachable:
        followed.lost = True
        return
    except Refused as error:
        followed.lost = error.status in AWAY
        if not followed.lost and (error.status != NOT_FOUND or followed.job is not None):
            raise  # also of a job that was there: it is gone, and nothing more will be told of it
        return
    followed.lost = False
    if answer.status != NOT_MODIFIED:
        followed.job = decoded(answer, Job)
        followed.tag = answer.headers.get("ETag", "")
