"""The feed: sends subscribers what changed once it can be read, and wakes long polls.

Each commit is handed to the event loop. There, one task reads what changed in short snapshots, and
sends each account's subscribers a frame for each changed resource. So a frame shows nothing that a
GET could not show, several changes may become one frame, and a resource that can no longer be read
is sent as gone.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Literal, NamedTuple, Protocol, Self

from ledger.domain.errors.store import ReadCut, StoreFailed, StoreUnreachable
from ledger.store.seam import Commit
from projections.feed.changes import Changes, JobChange, stopping
from projections.feed.pacing import Backlog, Item, Pacing
from projections.feed.reading import count_jobs, how_many_fit, read_views
from projections.feed.resource_kinds import KINDS, View
from projections.feed.watchers import Watchers
from projections.views.read_models import JobTree
from projections.views.snapshot import Snapshot
from projections.views.views import Views

REPEAT_S = 5.0
"""Resources in motion are sent again after this time: clients give up after 10 s of silence."""
PROGRESS_S = 1.0
"""The shortest time between two frames of a job that show progress below it."""
FRAMES_AT_ONCE = 50
"""Resources that are read before other tasks in the event loop get their turn."""
TURN_S = 0.002
"""How long frames are made and given before other tasks get their turn."""

log = logging.getLogger(__name__)

Reason = Literal["stopping", "logged out", "feed failed"]


class Frames(NamedTuple):
    """Some frames, in order; `together` are their bytes, made once for all subscribers."""

    each: tuple[bytes, ...]
    together: bytes


class Subscriber(Protocol):
    """A follower of an account."""

    revocation: int
    """The number of the last revocation of the account's logins before this login."""

    def take(self, frames: Frames, *, again: bool) -> None:
        """Take frames; `again` says that they may repeat what is known. Must not block."""

    def leave(self, reason: Reason) -> None:
        """Leave: there will be no more frames."""


Render = Callable[[str, str, View | None], bytes]
"""Makes the frame of a resource from its type, its uuid and its view; None means it is gone."""


class Feed:
    """Sends changes, in one event loop; other threads call only `notice` and `is_followed`."""

    def __init__(
        self,
        views: Views,
        render: Render,
        *,
        on_failure: Callable[[], None],
        repeat_s: float,
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
        self._watchers = Watchers()
        self._stop_watchers = Watchers()
        self._account_watchers = Watchers()
        self._changes = Changes()
        self._news, self._repeats = Backlog(), Backlog()
        self._pacing = Pacing(progress_s)
        self._woken = asyncio.Event()
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        """Of its own: nobody's long reads, nor writes to disks, delay what everybody is told."""

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
        await asyncio.to_thread(self._thread.shutdown)

    # Followers

    @contextmanager
    def subscription(self, account: str, subscriber: Subscriber) -> Iterator[None]:
        """Send `subscriber` every change of the account's resources until the block ends."""
        if self._closed:
            subscriber.leave("stopping")
        self._subscribers.setdefault(account, set()).add(subscriber)
        try:
            with self._following(account):
                yield
        finally:
            self._subscribers[account].discard(subscriber)
            if not self._subscribers[account]:
                del self._subscribers[account]

    @contextmanager
    def watch(self, job: str, account: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever the job, or one below it, may have changed.

        It is also set when the feed closes: see `closed`.
        """
        with self._watchers.watch((job,)) as news, self._following(account):
            yield news

    @contextmanager
    def watch_stops(self, about: Collection[str], account: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever one of these jobs was asked to stop, ended or began.

        Who watches a job and all above it learns at once that it is asked to stop, that it is over,
        or that another process has taken it up. The instance of a process stands for all jobs that
        it begins. It is also set when the feed closes.
        """
        with self._stop_watchers.watch(about) as news, self._following(account):
            yield news

    @contextmanager
    def watch_account(self, account: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set after each commit about what the account has.

        It is also set when the feed closes.
        """
        with self._account_watchers.watch((account,)) as news, self._following(account):
            yield news

    @contextmanager
    def _following(self, account: str) -> Iterator[None]:
        self._followed[account] += 1
        try:
            yield
        finally:
            self._followed[account] -= 1
            if not self._followed[account]:
                del self._followed[account]

    @property
    def subscribers(self) -> int:
        return sum(map(len, self._subscribers.values()))

    @property
    def closed(self) -> bool:
        return self._closed

    def dismiss(self, account: str, revocation: int) -> None:
        """Disconnect those subscribers of an account who logged in before this revocation.

        Another node reports a revocation a little later; subscribers who log in meanwhile stay.
        """
        for subscriber in tuple(self._subscribers.get(account, ())):
            if subscriber.revocation < revocation:
                subscriber.leave("logged out")

    def close(self) -> None:
        """Disconnect all subscribers, and wake all long polls."""
        self._closed = True
        self._send_away("stopping")

    def _send_away(self, reason: Reason) -> None:
        for account in tuple(self._subscribers):
            self._send_account_away(account, reason)
        for watchers in (self._watchers, self._stop_watchers, self._account_watchers):
            watchers.wake_all()

    def _send_account_away(self, account: str, reason: Reason) -> None:
        for subscriber in tuple(self._subscribers.get(account, ())):
            subscriber.leave(reason)

    def call_soon(self, call: Callable[[], object]) -> None:
        """Call it in the event loop, from any thread; do nothing once the loop has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)

    # Changes

    def is_followed(self) -> bool:
        """Return whether anyone follows any account. For any thread."""
        return bool(self._followed)

    def notice(self, commit: Commit) -> None:
        """Note a commit, in the thread that reports it; costs nothing while no one follows."""
        if self._followed:
            self._loop.call_soon_threadsafe(self._note_commit, commit)

    def _note_commit(self, commit: Commit) -> None:
        self._changes.add(commit, self._followed)
        self._woken.set()
        if self._stop_watchers:
            for about in stopping(commit):
                self._stop_watchers.wake(about)
        if self._account_watchers:
            for account in {state.owner for state in commit.states.values()}:
                self._account_watchers.wake(account)

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
                await self._send_all()
            except Exception as error:
                log.exception(
                    "the feed failed; its subscribers are disconnected, and must read again"
                )
                self._send_away("feed failed")
                if isinstance(error, StoreFailed) and not isinstance(error, StoreUnreachable):
                    self._on_failure()

    async def _send_all(self) -> None:
        """Send everything there is to send, some frames at a time; news before repetitions."""
        while True:
            self._gather()
            backlog = self._news or self._repeats
            turn = backlog.take(FRAMES_AT_ONCE)
            if turn is None:
                return
            account, items = turn
            again = backlog is self._repeats
            for item in await self._send_or_send_away(account, items, again=again):
                backlog.add(account, item)
            await asyncio.sleep(0)

    def _gather(self) -> None:
        """Find out what to send to which account."""
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
        """Gather jobs that changed or name what is gone, and the jobs above, which show them."""
        jobs = {
            uuid: JobChange(owner, parent)
            for uuid, owner, parent in snapshot.jobs_naming(changes.gone)
            if owner in self._followed
        }
        jobs |= changes.jobs
        parents = {change.parent for change in jobs.values() if change.parent is not None}
        above = snapshot.parents(sorted(parents))
        for uuid, change in jobs.items():
            self._watchers.wake(uuid)
            if change.own:
                self._news.add(change.owner, Item("job", uuid, change.leaf))
            else:
                self._add_paced(uuid, change, now)
            parent = change.parent
            while parent is not None:
                self._watchers.wake(parent)
                self._add_paced(parent, change, now)
                parent = above.get(parent)  # it may have been discarded since

    def _add_paced(self, job: str, change: JobChange, now: float) -> None:
        if self._pacing.may_show(job, change.owner, now, progress_only=change.progress_only):
            self._news.add(change.owner, Item("job", job))

    def _gather_others(self, snapshot: Snapshot, changes: Changes) -> None:
        for (kind, uuid), owner in changes.others.items():
            self._news.add(owner, Item(kind, uuid))
        related = changes.related | dict.fromkeys(snapshot.servers_with(list(changes.gone)))
        for resource in snapshot.drives_and_servers(list(related)):
            if resource.owner in self._followed:
                self._news.add(resource.owner, Item(resource.kind, resource.uuid))

    def _gather_repeats(self, snapshot: Snapshot) -> None:
        for account in self._subscribers:
            for resource in snapshot.in_motion(account):
                self._repeats.add(account, Item(resource.kind, resource.uuid))

    async def _send_or_send_away(
        self, account: str, items: list[Item], *, again: bool
    ) -> Sequence[Item]:
        """Send what an account follows; return what is left for its next turn.

        If it cannot be shown, or only by a read that was cut, disconnect this account alone.
        """
        try:
            return await self._send_frames(account, items, again=again)
        except ReadCut as error:
            log.warning("what account %s follows cannot be shown: %s", account, error)
        except StoreFailed:
            raise
        except Exception:
            log.exception("what account %s follows cannot be shown: it must read again", account)
        self._send_account_away(account, "feed failed")
        return ()

    async def _send_frames(self, account: str, items: list[Item], *, again: bool) -> Sequence[Item]:
        """Read these resources and give their frames to the account's subscribers.

        Return those that make this turn too long, so that other accounts wait for none of them.
        """
        if account not in self._subscribers:
            return ()
        with self._views.snapshot() as snapshot:
            fitting = how_many_fit(snapshot, items)
            views = read_views(snapshot, items[:fitting], account)
        if fitting:
            await self._send_short(account, items[:fitting], views, again=again)
            return items[fitting:]
        show = partial(self._read_and_show, items[0], account)
        frame, jobs = await self._loop.run_in_executor(self._thread, show)
        self._note_shown(items[0], jobs)
        await self._give(account, [frame], again=again)
        return items[1:]

    def _read_and_show(self, item: Item, account: str) -> tuple[bytes, int]:
        """Return the frame of a long resource, and of how many jobs it tells; in any thread."""
        with self._views.long_snapshot() as snapshot:
            view = read_views(snapshot, [item], account).get(item)
        return self._show(item, view)

    async def _send_short(
        self, account: str, items: Sequence[Item], views: Mapping[Item, View], *, again: bool
    ) -> None:
        """Make frames and give them.

        Other tasks get their turn after every `TURN_S`, so subscribers get some at a time.
        """
        turn = _Turn(self._loop)
        made: list[bytes] = []
        for item in items:
            frame, jobs = self._show(item, views.get(item))
            self._note_shown(item, jobs)
            made.append(frame)
            if turn.is_over():
                await self._give(account, made, again=again)
                made.clear()
                await turn.of_others()
        if made:
            await self._give(account, made, again=again)

    async def _give(self, account: str, made: Sequence[bytes], *, again: bool) -> None:
        turn = _Turn(self._loop)
        frames = Frames(tuple(made), b"".join(made))
        for subscriber in tuple(self._subscribers.get(account, ())):
            if turn.is_over():
                await turn.of_others()
            if subscriber in self._subscribers.get(account, ()):  # it may have left meanwhile
                subscriber.take(frames, again=again)

    def _show(self, item: Item, view: View | None) -> tuple[bytes, int]:
        """Return the frame, and of how many jobs it tells, if it is of a tree."""
        jobs = count_jobs(view) if isinstance(view, JobTree) and view.children else 0
        return self._render(KINDS[item.kind].resource_type, item.uuid, view), jobs

    def _note_shown(self, item: Item, jobs: int) -> None:
        if jobs:
            self._pacing.note_shown(item.uuid, jobs, self._loop.time())


class _Turn:
    """How long the feed works before other tasks in the event loop do."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ends = loop.time() + TURN_S

    def is_over(self) -> bool:
        return self._loop.time() >= self._ends

    async def of_others(self) -> None:
        """Let others work, then start over."""
        await asyncio.sleep(0)
        self._ends = self._loop.time() + TURN_S
