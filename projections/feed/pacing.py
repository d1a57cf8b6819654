"""When the feed sends what: each resource once, accounts in turn, and large trees not too often.

A job's frame shows all jobs below it, so a change below a job changes its frame too; but a tree of
a thousand jobs must not be sent a thousand times in a second in which they all progress.
"""

from typing import NamedTuple

PER_JOB_S = 0.001
"""The shortest time between two frames of a tree, for each of its jobs, when one ends or begins:
so the work for its frames is bounded, whatever its size."""


class Item(NamedTuple):
    """A resource to send; `leaf` is a job without sub-jobs (see `resource_kinds.LEAF`)."""

    kind: str
    uuid: str
    leaf: bool = False


class Backlog:
    """The resources still to be sent, by account, each once however often it changes."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[Item, None]] = {}

    def add(self, account: str, item: Item) -> None:
        self._accounts.setdefault(account, {})[item] = None

    def __bool__(self) -> bool:
        return bool(self._accounts)

    def take(self, most: int) -> tuple[str, list[Item]] | None:
        """Take the next items of the account whose turn it is; then it is the others' turn."""
        if not self._accounts:
            return None
        account = next(iter(self._accounts))
        items = self._accounts.pop(account)
        taken = list(items)[:most]
        for item in taken:
            del items[item]
        if items:
            self._accounts[account] = items
        return account, taken


class _LastFrame(NamedTuple):
    at: float
    jobs: int


class Pacing:
    """When a job may be sent again for what happens below it. Times are of one clock, in s.

    The first time it may be sent at once; then for progress after `progress_s`, and for anything
    else after a time that grows with the tree, up to `progress_s`.
    """

    def __init__(self, progress_s: float) -> None:
        self._progress_s = progress_s
        self._last: dict[str, _LastFrame] = {}
        self._waiting: dict[str, tuple[float, str]] = {}

    def note_shown(self, job: str, jobs: int, now: float) -> None:
        """Note that the job was sent with its tree of `jobs` jobs: nothing of it waits any more."""
        self._waiting.pop(job, None)
        self._last.pop(job, None)  # to be the last: the oldest come first
        self._last[job] = _LastFrame(now, jobs)

    def may_show(self, job: str, account: str, now: float, *, progress_only: bool) -> bool:
        """Return whether the job may be sent now; if not, it is due later."""
        due = self._due(job, progress_only=progress_only)
        if due <= now:
            return True
        earlier = self._waiting.get(job)
        self._waiting[job] = (due if earlier is None else min(due, earlier[0]), account)
        return False

    def take_due(self, now: float) -> list[tuple[str, str]]:
        """Take the jobs that are due, with their accounts."""
        self._forget(now)
        due = [(account, job) for job, (at, account) in self._waiting.items() if at <= now]
        for _, job in due:
            del self._waiting[job]
        return due

    def next_due(self) -> float | None:
        """Return when the next waiting job may be sent."""
        return min((at for at, _ in self._waiting.values()), default=None)

    def _due(self, job: str, *, progress_only: bool) -> float:
        shown = self._last.get(job)
        if shown is None:
            return 0.0
        wait_s = self._progress_s
        return shown.at + (wait_s if progress_only else min(wait_s, shown.jobs * PER_JOB_S))

    def _forget(self, now: float) -> None:
        """Forget frames so old that they delay nothing."""
        for job, shown in list(self._last.items()):
            if shown.at + self._progress_s > now:
                return
            del self._last[job]
