"""When the feed tells of what: each thing once, account by account, and large trees not too often.

A job's frame shows all below it, so what happens below a job changes its frame too; but a tree of a
thousand jobs must not be shown a thousand times in the second in which they all go on.
"""

from typing import NamedTuple

PER_JOB_S = 0.001
"""A tree is shown again after so much time for each of its jobs, if an end or a new job calls for
it: the work for its frames is then bounded whatever its size."""


class Item(NamedTuple):
    """Something to tell of; `leaf` is a job without family (see `resource_kinds.LEAF`)."""

    kind: str
    uuid: str
    leaf: bool = False


class Backlog:
    """What is still to be told, by account: a thing that changes again meanwhile is there once."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[Item, None]] = {}

    def add(self, account: str, item: Item) -> None:
        self._accounts.setdefault(account, {})[item] = None

    def take(self, most: int) -> tuple[str, list[Item]] | None:
        """The next items of the account whose turn it is; then it is the others' turn."""
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


class _Shown(NamedTuple):
    at: float
    jobs: int


class Pacing:
    """When a job may be shown again for what happens below it. Times are those of one clock, in s.

    The first time it may be at once; then for progress after `progress_s`, and for anything else
    after a time that grows with the tree, up to `progress_s`.
    """

    def __init__(self, progress_s: float) -> None:
        self._progress_s = progress_s
        self._shown: dict[str, _Shown] = {}
        self._waiting: dict[str, tuple[float, str]] = {}

    def shown(self, job: str, jobs: int, now: float) -> None:
        """The job was shown, a tree of so many jobs: whatever waited is told."""
        self._waiting.pop(job, None)
        self._shown.pop(job, None)  # to be the last: the oldest come first
        self._shown[job] = _Shown(now, jobs)

    def may_show(self, job: str, account: str, now: float, *, progress_only: bool) -> bool:
        """Whether it may be shown now; if not, it is due later."""
        due = self._due(job, progress_only=progress_only)
        if due <= now:
            return True
        earlier = self._waiting.get(job)
        self._waiting[job] = (due if earlier is None else min(due, earlier[0]), account)
        return False

    def take_due(self, now: float) -> list[tuple[str, str]]:
        """The jobs whose time has come, with their accounts."""
        self._forget(now)
        due = [(account, job) for job, (at, account) in self._waiting.items() if at <= now]
        for _, job in due:
            del self._waiting[job]
        return due

    def next_due(self) -> float | None:
        """When the next job that waits may be shown."""
        return min((at for at, _ in self._waiting.values()), default=None)

    def _due(self, job: str, *, progress_only: bool) -> float:
        shown = self._shown.get(job)
        if shown is None:
            return 0.0
        wait_s = self._progress_s
        return shown.at + (wait_s if progress_only else min(wait_s, shown.jobs * PER_JOB_S))

    def _forget(self, now: float) -> None:
        """What is so long ago that it delays nothing."""
        for job, shown in list(self._shown.items()):
            if shown.at + self._progress_s > now:
                return
            del self._shown[job]
