"""`?wait=SECONDS` on a job: the answer comes when the job has changed, or when the time is over.

With `If-None-Match` it comes at once if the job is not what the client has, so that nothing is
missed between two requests. What moves all the time while a copy runs, its bytes and its rate, is
no change here: else there would be no waiting for such a job.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from api.http.errors import BadRequest
from api.http.etags import given_tags
from projections.feed.feed import Feed
from projections.views.read_models import JobTree

WAIT_MAX_S = 60

_SECONDS = re.compile(r"[0-9]{1,2}(\.[0-9]{1,3})?")


def job_tag(recorded: str, shown: str) -> str:
    """A job's entity tag: digests of what is recorded, and of what is shown, live figures too."""
    return f'"{recorded}-{shown}"'


def wait_of(request: web.Request) -> float:
    """How many seconds the client will wait at the most; 0 if it will not. Raises `BadRequest`."""
    given = request.query.getall("wait", ()) if request.query_string else ()
    if not given:
        return 0.0
    if not _SECONDS.fullmatch(given[-1]) or float(given[-1]) > WAIT_MAX_S:
        raise BadRequest(f"wait must be a number of seconds from 0 to {WAIT_MAX_S}", point="wait")
    return float(given[-1])


def known_to(request: web.Request) -> frozenset[str]:
    """The digests of what is recorded of the job in the states that the client has."""
    return frozenset(tag.strip('"').partition("-")[0] for tag in given_tags(request))


async def changed(
    feed: Feed,
    read: Callable[[], JobTree],
    recorded: Callable[[JobTree], str],
    *,
    known: frozenset[str],
    wait_s: float,
) -> JobTree:
    """The job once its `recorded` is none of the known ones, once it has ended, or after `wait_s`.

    With none known, what it is now is known. Raises whatever `read` raises.
    """
    tree = read()
    known = known or frozenset({recorded(tree)})
    with feed.watch(tree.job.uuid, tree.job.owner) as news, suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while not feed.closed:
                news.clear()
                tree = read()
                if tree.job.state != "started" or recorded(tree) not in known:
                    return tree
                await news.wait()
    return read()
