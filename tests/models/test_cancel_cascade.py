"""A request reaches all that is below, also what registers meanwhile through another node."""

from collections.abc import Callable, Iterator

import pytest

from tests.models.explorer import Part, Steps, World, explore, when
from tests.models.ledger import Ledger


class Cascade(Ledger):
    """A root is asked to stop through A; below it jobs register through B, which hears of it later.

    The arguments leave rules out. `looks_up`: whether a job is asked to stop is looked up in the
    jobs above it, not copied to those that are there. `subscribes_first`: a long poll waits for
    news before it looks. `settles_again`: what nobody works on is settled for as long as there is
    some, not once.
    """

    def __init__(
        self,
        *,
        running: tuple[str, ...] = ("child",),
        idle: tuple[str, ...] = ("queued",),
        has_workers: bool = True,
        looks_up: bool = True,
        subscribes_first: bool = True,
        settles_again: bool = True,
        checks_versions: bool = True,
    ) -> None:
        super().__init__(checks_versions=checks_versions)
        self.rules = looks_up, subscribes_first, settles_again
        self.running, self.idle, self.has_workers = running, idle, has_workers
        self.is_asked = self.b_knows = False
        self.copied: set[str] = set()
        self.polling: set[str] = set()
        self.woken: set[str] = set()
        self.told: set[str] = set()

    def processes(self) -> Iterator[Steps]:
        yield self.request()
        yield self.tail()
        for job in self.running:
            yield self.producer(job)
        for job in self.idle:
            yield self.registration(job)
            if self.has_workers:
                yield self.worker(job)
        if self.idle:
            yield self.settler()

    def request(self) -> Steps:
        yield "A reads what is below"
        found = {*self.streams} & {*self.running}
        yield "A records the request"
        self.is_asked = True
        self.copied = found

    def tail(self) -> Steps:
        yield when(lambda: self.is_asked, "B hears of the request")
        self.b_knows = True
        self.woken |= {job for job in self.polling if self.finds(job)}

    def finds(self, job: str) -> bool:
        """What B finds when it looks whether a job is asked to stop."""
        return self.b_knows and (self.rules[0] or job in self.copied)

    def producer(self, job: str) -> Steps:
        """Register, and poll until it is told."""
        yield from self.register(job, "running")
        yield f"B answers the registration of {job}"
        if not self.finds(job):
            yield from self.poll(job)
        self.told.add(job)

    def poll(self, job: str) -> Part:
        if self.rules[1]:
            yield f"B subscribes for {job}"
            self.polling.add(job)
        yield f"B looks for {job}"
        if self.finds(job):
            return
        if not self.rules[1]:
            yield f"B subscribes for {job}"
            self.polling.add(job)
        yield when(lambda: job in self.woken, f"{job} is woken")

    def registration(self, job: str) -> Steps:
        yield from self.register(job, "queued")

    def register(self, job: str, kind: str) -> Part:
        yield f"B records {job}"
        self.stream(job).append(kind)

    def worker(self, job: str) -> Steps:
        """Take a queued job up. The answer says that it is asked to stop, or a poll does."""
        yield when(lambda: job in self.streams, f"somebody wants {job}")
        yield from self.decide("B", job, lambda: self.begin(job))
        if self.is_taken_up(job):
            if not self.finds(job):
                yield from self.poll(job)
            self.told.add(job)

    def begin(self, job: str) -> list[str]:
        return ["attempt"] if self.stream(job) == ["queued"] else []

    def is_taken_up(self, job: str) -> bool:
        return "attempt" in self.stream(job)

    def settler(self) -> Steps:
        """End what is queued: nobody would be told."""
        while True:
            yield when(self.may_settle, "A looks for what is queued")
            for job in self.waiting():
                yield from self.decide("A", job, lambda job=job: self.cancel(job))
            if not self.rules[2]:
                return

    def may_settle(self) -> bool:
        return self.is_asked and (bool(self.waiting()) or not self.rules[2])

    def waiting(self) -> list[str]:
        return [job for job in self.idle if self.streams.get(job) == ["queued"]]

    def cancel(self, job: str) -> list[str]:
        return ["cancelled"] if self.stream(job) == ["queued"] else []

    def broken(self) -> Iterator[str]:
        if any({"attempt", "cancelled"} <= {*events} for events in self.streams.values()):
            yield "ended while somebody works on it"

    def left_undone(self) -> Iterator[str]:
        working = {*self.running, *filter(self.is_taken_up, self.idle)}
        if working - self.told:
            yield "never told"
        if self.waiting():
            yield "waits for ever"


def test_a_request_reaches_all_that_is_below() -> None:
    assert not explore(Cascade).trace


def test_what_nobody_works_on_is_settled() -> None:
    assert not explore(lambda: Cascade(running=(), has_workers=False)).trace


@pytest.mark.long
def test_the_same_with_more_jobs() -> None:
    assert not explore(lambda: Cascade(running=("first", "second"), idle=("queued",))).trace


@pytest.mark.parametrize(
    ("left_out", "broken"),
    [
        (lambda: Cascade(looks_up=False), "never told"),
        (lambda: Cascade(subscribes_first=False), "never told"),
        (lambda: Cascade(has_workers=False, settles_again=False), "waits for ever"),
        (lambda: Cascade(checks_versions=False), "ended while somebody works on it"),
    ],
    ids=["copied", "looks before it subscribes", "settled once", "no versions"],
)
def test_without_a_rule_it_is_broken(left_out: Callable[[], World], broken: str) -> None:
    assert explore(left_out).broken == broken
