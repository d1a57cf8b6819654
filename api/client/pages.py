"""Lists of any length, page by page."""

from collections.abc import AsyncIterator, Mapping

from msgspec import Raw, Struct

from api.client.http import Client, decoded

PAGE = 200


class _Meta(Struct):
    next: str | None = None


class _Page(Struct):
    meta: _Meta
    objects: list[Raw]


async def every_job(client: Client, filters: Mapping[str, str | None]) -> AsyncIterator[Raw]:
    """All jobs that the filters let through, as the service shows them, the latest change first.

    One that changes meanwhile may come as it was before, and not as it is.
    """
    after: str | None = ""
    while after is not None:
        query = {**filters, "limit": PAGE, "after": after}
        page = decoded(await client.get("/jobs/", query), _Page)
        for raw in page.objects:
            yield raw
        after = page.meta.next
