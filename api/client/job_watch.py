"""Follow jobs until they have ended, whatever happens to the connection."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from api.client.errors import Refused, Unintelligible, UnknownJob, Unreachable
from api.client.http import NOT_MODIFIED, Client, Limit, decoded
from api.client.responses import Job

PAUSE_S = 0.5
"""The pause between two looks at a job, at least ..."""
LOOKS_PER_S_MAX = 50
"""... and the number of looks at all jobs together: a watch must cost the service little."""
LOOK = Limit(6, total_s=6)
"""A request that takes longer counts as a lost connection, which is reported."""
UNKNOWN_S = 60.0
"""How long to wait for a job that does not exist yet."""
NOT_FOUND = 404


@dataclass
class Followed:
    """A job as it was last seen; None until it exists."""

    uuid: str
    job: Job | None = None
    answer: bytes = b""
    """The job in the service's own words."""
    lost: bool = False
    """Whether the service gives no answer at the moment."""
    etag: str = ""
    known: bool = False
    """Whether the service has ever given an answer of its own."""
    unknown_since: float | None = None
    pause_s: float = 0.0
    """How long the service asks to be left alone."""

    @property
    def has_ended(self) -> bool:
        return self.job is not None and self.job.state != "started"

    @property
    def has_succeeded(self) -> bool:
        return self.job is not None and self.job.state == "success"


async def follow(
    client: Client, uuids: Sequence[str], *, fail_fast: bool
) -> AsyncIterator[list[Followed]]:
    """Yield all jobs after each look, until all have ended; with `fail_fast`, until one fails.

    A service that is away, and whatever else may pass, is waited for; a job that does not exist,
    for `UNKNOWN_S`. Raises any other `ClientError`.
    """
    followed = [Followed(uuid) for uuid in dict.fromkeys(uuids)]
    while True:
        running = [each for each in followed if not each.has_ended]
        await asyncio.gather(*(_look(client, each) for each in running))
        yield followed
        failed = any(each.has_ended and not each.has_succeeded for each in followed)
        if all(each.has_ended for each in followed) or (fail_fast and failed):
            return
        asked = max((each.pause_s for each in running), default=0.0)
        await asyncio.sleep(max(PAUSE_S, len(running) / LOOKS_PER_S_MAX, asked))


async def _look(client: Client, followed: Followed) -> None:
    """Look once: the next look is the repetition. Raises what will not pass."""
    followed.lost, followed.pause_s = True, 0.0
    headers = {"If-None-Match": followed.etag} if followed.etag else {}
    path = f"/jobs/{followed.uuid}/"
    try:
        answer = await client.send("GET", path, headers=headers, limit=LOOK)
        if answer.status != NOT_MODIFIED:
            followed.job, followed.answer = decoded(answer, Job), answer.body
            followed.etag = answer.headers.get("ETag", "")
        followed.lost, followed.known = False, True
    except Unreachable:
        return
    except Unintelligible:
        if not followed.known:
            raise  # the URL may be wrong; later it is a proxy that speaks for the service
    except Refused as error:
        _wait_or_raise(followed, error)


def _wait_or_raise(followed: Followed, error: Refused) -> None:
    """Raise the refusal unless it may pass."""
    if error.may_pass:
        followed.pause_s = error.retry_after_s
        return
    if error.status != NOT_FOUND or followed.job is not None:
        raise error  # also for a job that existed: it has been discarded
    followed.lost, followed.known = False, True
    now = time.monotonic()
    if followed.unknown_since is None:
        followed.unknown_since = now
    if now - followed.unknown_since > UNKNOWN_S:
        raise UnknownJob(followed.uuid)
