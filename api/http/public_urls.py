"""The URLs that need no login."""

from aiohttp import web


class PublicUrls:
    """Whoever asks for one of these is nobody in particular; credentials are not even looked at.

    A handler behind such a URL that must know who asks finds that out for itself.
    """

    def __init__(self) -> None:
        self._resources: set[web.AbstractResource] = set()

    def add(self, resource: web.AbstractResource) -> None:
        self._resources.add(resource)

    async def include(self, request: web.Request) -> bool:
        """Whether the URL is one of them, whatever the method."""
        resource = request.match_info.route.resource
        if resource is not None:
            return resource in self._resources
        # The router found no handler; there is no such URL, or it has not this method.
        if not isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
            return False
        resolved = [await resource.resolve(request) for resource in self._resources]
        return any(allowed for _, allowed in resolved)


PUBLIC_URLS = web.AppKey("public-urls", PublicUrls)
