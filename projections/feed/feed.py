"""The feed: tells of what has changed, after it can be read, and wakes who waits for a job.

Each commit is handed over to the event loop. There one task reads what has changed
anew, in short snapshots, and gives each account's subscribers a frame for each changed thing. So a
frame says what is or was so already for whoever reads, several changes may become one frame, and a
thing that cannot be read any more is told of as gone.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal, Protocol, Self

from ledger.domain.errors import StoreFailed, StoreUnreachable
from ledger.store.seam import Commit
from projections.feed.changes import Changes, JobChange
from projections.feed.pacing import Backlog, Item, Pacing
from projections.feed.resource_kinds import KINDS, LEAF, View
from projections.views.read_models import JobTree
from projections.views.snapshot import Snapshot
from projections.views.views import Views

REPEAT_S = 5.0
"""What is in motion is told of again after this time: clients give a silent thing up after 10 s."""
PROGRESS_S = 1.0
"""The shortest time between two frames of a job for the progress of what is below it."""
SLICE = 50
"""Frames that are made before others in the event loop have their turn."""

log = logging.getLogger(__name__)

Why = Literal["stopping", "logged out", "feed failed"]


class Subscriber(Protocol):
    """Somebody who follows an account."""

    ending: int
    """The last ending of the account's logins that is before this one's."""

    def take(self, frame: bytes, *, again: bool) -> None:
        """One more frame; `again` says that it repeats what need not be news. Must not block."""

    def leave(self, why: Why) -> None:
        """There will be no more frames."""


Render = Callable[[str, str, View | None], bytes]
"""The frame for a resource: its type, its uri, and how it is read now; None: it is gone."""


class Feed:
    """For one event loop; only `notice` is called in another thread."""

    def __init__(
        self,
        views: Views,
        render: Render,
        *,
        on_failure: Callable[[], None],
        repeat_s: float = REPEAT_S,
        progress_s: float = PROGRESS_S,
    ) -> None:
        """`on_failure` is called when the store cannot be read."""
        self._loop = asyncio.get_running_loop()
        self._views = views
        self._render = render
        self._on_failure = on_failure
        self._repeat_s = repeat_s
        self._repeat_due = False
        self._followed: Counter[str] = Counter()
        self._subscribers: dict[str, set[Subscriber]] = {}
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._changes = Changes()
        self._news, self._repeats = Backlog(), Backlog()
        self._pacing = Pacing(progress_s)
        self._woken = asyncio.Event()
        self._closed = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        self._timer = self._loop.call_later(self._repeat_s, self._repeat)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        self._timer.cancel()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    # Who is told

    @contextmanager
    def subscribed(self, account: str, subscriber: Subscriber) -> Iterator[None]:
        """Meanwhile `subscriber` is told of every change of the account's things."""
        if self._closed:
            subscriber.leave("stopping")
        self._subscribers.setdefault(account, set()).add(subscriber)
        self._followed[account] += 1
        try:
            yield
        finally:
            self._unfollow(account)
            self._subscribers[account].discard(subscriber)
            if not self._subscribers[account]:
                del self._subscribers[account]

    @contextmanager
    def watching(self, job: str, account: str) -> Iterator[asyncio.Event]:
        """Meanwhile the event is set whenever the job, or one below it, may have changed.

        It is set also when the feed closes: see `closed`.
        """
        changed = asyncio.Event()
        self._watchers.setdefault(job, set()).add(changed)
        self._followed[account] += 1
        try:
            yield changed
        finally:
            self._unfollow(account)
            self._watchers[job].discard(changed)
            if not self._watchers[job]:
                del self._watchers[job]

    def _unfollow(self, account: str) -> None:
        self._followed[account] -= 1
        if not self._followed[account]:
            del self._followed[account]

    @property
    def subscribers(self) -> int:
        """How many there are."""
        return sum(map(len, self._subscribers.values()))

    @property
    def closed(self) -> bool:
        """Whether nobody is told of anything any more."""
        return self._closed

    def dismiss(self, account: str, ending: int) -> None:
        """Send the subscribers of an account away whose logins are from before this ending.

        Another node tells of an ending a little later; who has logged in since then stays.
        """
        for subscriber in tuple(self._subscribers.get(account, ())):
            if subscriber.ending < ending:
                subscriber.leave("logged out")

    def close(self) -> None:
        """Sends everybody away, and wakes all who wait."""
        self._closed = True
        self._send_away("stopping")

    def _send_away(self, why: Why) -> None:
        for subscribers in tuple(self._subscribers.values()):
            for subscriber in tuple(subscribers):
                subscriber.leave(why)
        for watchers in self._watchers.values():
            for changed in watchers:
                changed.set()

    # What has changed

    def is_followed(self) -> bool:
        """Whether anybody wants to be told of anything. In any thread."""
        return bool(self._followed)

    def notice(self, commit: Commit) -> None:
        """A commit, told of in another thread; costs it nothing while nobody follows."""
        if self._followed:
            self._loop.call_soon_threadsafe(self._take, commit)

    def _take(self, commit: Commit) -> None:
        self._changes.add(commit, self._followed)
        self._woken.set()

    def _repeat(self) -> None:
        self._timer = self._loop.call_later(self._repeat_s, self._repeat)
        if self._subscribers:
            self._repeat_due = True
            self._woken.set()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._pacing.next_due()):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self._tell_all()
            except Exception as error:
                log.exception("the feed failed; whoever follows it is sent to look for himself")
                self._send_away("feed failed")
                if isinstance(error, StoreFailed) and not isinstance(error, StoreUnreachable):
                    self._on_failure()

    async def _tell_all(self) -> None:
        """Tells of all there is to tell, a slice at a time; of news before repetitions."""
        while True:
            self._gather()
            again = False
            turn = self._news.take(SLICE)
            if turn is None:
                turn, again = self._repeats.take(SLICE), True
            if turn is None:
                return
            self._tell(*turn, again=again)
            await asyncio.sleep(0)

    def _gather(self) -> None:
        """Finds out what is to be told, and to whom."""
        now = self._loop.time()
        for account, job in self._pacing.take_due(now):
            self._news.add(account, Item("job", job))
        changes, self._changes = self._changes, Changes()
        if changes:
            with self._views.snapshot() as snapshot:
                self._gather_jobs(snapshot, changes, now)
                self._gather_others(snapshot, changes)
        if self._repeat_due:
            self._repeat_due = False
            with self._views.snapshot() as snapshot:
                self._gather_repeats(snapshot)

    def _gather_jobs(self, snapshot: Snapshot, changes: Changes, now: float) -> None:
        """Jobs that changed, or name what is gone, and all above them: they show what is below."""
        jobs = {
            uuid: JobChange(owner, parent)
            for uuid, owner, parent in snapshot.jobs_naming(changes.gone)
            if owner in self._followed
        }
        jobs |= changes.jobs
        parents = {change.parent for change in jobs.values() if change.parent is not None}
        above = snapshot.parents(sorted(parents))
        for uuid, change in jobs.items():
            self._wake(uuid)
            if change.own:
                self._news.add(change.owner, Item("job", uuid, change.leaf))
            else:
                self._add_paced(uuid, change, now)
            parent = change.parent
            while parent is not None:
                self._wake(parent)
                self._add_paced(parent, change, now)
                parent = above[parent]

    def _add_paced(self, job: str, change: JobChange, now: float) -> None:
        if self._pacing.may_show(job, change.owner, now, progress_only=change.progress_only):
            self._news.add(change.owner, Item("job", job))

    def _wake(self, job: str) -> None:
        for changed in self._watchers.get(job, ()):
            changed.set()

    def _gather_others(self, snapshot: Snapshot, changes: Changes) -> None:
        for (kind, uuid), owner in changes.others.items():
            self._news.add(owner, Item(kind, uuid))
        for thing in snapshot.drives_and_servers(list(changes.related)):
            if thing.owner in self._followed:
                self._news.add(thing.owner, Item(thing.kind, thing.uuid))

    def _gather_repeats(self, snapshot: Snapshot) -> None:
        for account in self._subscribers:
            for thing in snapshot.in_motion(account):
                self._repeats.add(account, Item(thing.kind, thing.uuid))

    def _tell(self, account: str, items: list[Item], *, again: bool) -> None:
        """Reads these things and gives their frames to who follows the account."""
        if account not in self._subscribers:
            return
        with self._views.snapshot() as snapshot:
            views = _read(snapshot, items, account)
        now = self._loop.time()
        for item in items:
            view = views.get(item)
            if isinstance(view, JobTree) and view.children:
                self._pacing.shown(item.uuid, _count(view), now)
            kind = KINDS[item.kind]
            frame = self._render(kind.resource_type, kind.uri_of(item.uuid), view)
            for subscriber in tuple(self._subscribers[account]):
                subscriber.take(frame, again=again)


def _read(snapshot: Snapshot, items: list[Item], owner: str) -> dict[Item, View]:
    """How these things are now; those that are gone are missing."""
    found: dict[Item, View] = {}
    for kind, leaf in {(item.kind, item.leaf): None for item in items}:
        uuids = [item.uuid for item in items if (item.kind, item.leaf) == (kind, leaf)]
        read = LEAF.read if leaf else KINDS[kind].read
        views = read(snapshot, uuids, owner)
        found |= {Item(kind, uuid, leaf): view for uuid, view in views.items()}
    return found


def _count(tree: JobTree) -> int:
    """How many jobs the tree shows."""
    return 1 + sum(map(_count, tree.children))
