"""`?wait=SECONDS` on a job: the answer comes when the job has changed, or the time is over.

With `If-None-Match` it comes at once if the client does not have the present state, so that no
change is missed between two requests. A copy's bytes and rate move all the time, and do not count
as a change: otherwise there would be no waiting for a copy.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from aiohttp import web

from api.http.errors import BadRequest
from api.http.etags import given_tags
from projections.feed.feed import Feed

WAIT_MAX_S = 60
"""The longest wait that may be asked for."""
ANSWER_S = 50.0
"""When a longer wait is answered: proxies give up on an answer after a minute."""

_SECONDS = re.compile(r"[0-9]{1,2}(\.[0-9]{1,3})?")


def job_tag(recorded: str, shown: str) -> str:
    """Return a job's entity tag: digests of its recorded state, and of the answer with figures."""
    return f'"{recorded}-{shown}"'


def wait_of(request: web.Request) -> float:
    """Return how many seconds the client will wait; 0 if it will not. Raise `BadRequest`."""
    given = request.query.getall("wait", ()) if request.query_string else ()
    if not given:
        return 0.0
    if not _SECONDS.fullmatch(given[-1]) or float(given[-1]) > WAIT_MAX_S:
        raise BadRequest(f"wait must be a number of seconds from 0 to {WAIT_MAX_S}", point="wait")
    return min(float(given[-1]), ANSWER_S)


def known_to(request: web.Request) -> frozenset[str]:
    """Return the digests of the recorded states that the client has."""
    return frozenset(tag.strip('"').partition("-")[0] for tag in given_tags(request))


class Polled(NamedTuple):
    """A job as it is now: whether it has ended, the digest of what is recorded, and its answer."""

    ended: bool
    recorded: str
    answer: Callable[[], web.Response]


async def changed(
    feed: Feed,
    read: Callable[[], Awaitable[Polled]],
    *,
    job: str,
    account: str,
    known: frozenset[str],
    wait_s: float,
) -> Polled:
    """Return what `read` reads of the job once what is recorded is not known, or it has ended.

    Or after `wait_s`. With none known, the present one is. Raise whatever `read` raises.
    """
    known = known or frozenset({(await read()).recorded})
    with feed.watch(job, account) as news, suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while not feed.closed:
                news.clear()
                now = await read()
                if now.ended or now.recorded not in known:
                    return now
                del now  # its answer may be long, and so may the wait
                await news.wait()
    return await read()
