"""Lists of any length, page by page."""

from collections.abc import AsyncIterator, Mapping

from msgspec import Raw, Struct

from api.client.http import Client, decoded

PAGE_JOBS = 200


class _Meta(Struct):
    next: str | None = None


class _Page(Struct):
    meta: _Meta
    objects: list[Raw]


async def every_job(client: Client, filters: Mapping[str, str | None]) -> AsyncIterator[Raw]:
    """Yield all jobs that match the filters, as the service shows them, the newest first.

    One that matches throughout comes exactly once. Pages may be empty before the last one.
    """
    after: str | None = ""
    while after is not None:
        query = {**filters, "limit": PAGE_JOBS, "after": after}
        page = decoded(await client.get("/jobs/", query), _Page)
        for raw in page.objects:
            yield raw
        after = page.meta.next
