"""Who waits for news of what: events that are set when it comes. For one event loop."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class Watchers:
    """Events by what they are about: jobs or accounts."""

    def __init__(self) -> None:
        self._events: dict[str, set[asyncio.Event]] = {}

    def __bool__(self) -> bool:
        return bool(self._events)

    def count(self, about: str) -> int:
        """Return how many wait for news of this."""
        return len(self._events.get(about, ()))

    @contextmanager
    def watch(self, about: Collection[str]) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever there is news about one of these."""
        news = asyncio.Event()
        for each in about:
            self._events.setdefault(each, set()).add(news)
        try:
            yield news
        finally:
            for each in about:
                self._leave(each, news)

    def _leave(self, about: str, news: asyncio.Event) -> None:
        others = self._events[about]
        others.discard(news)
        if not others:
            del self._events[about]

    def wake(self, about: str) -> None:
        for news in self._events.get(about, ()):
            news.set()

    def wake_all(self) -> None:
        for about in self._events:
            self.wake(about)
