"""What a spool delivers twice, late, by two processes and after a restore is recorded once.

The ledger was away: the process has spooled two reports and its end. Whoever flushes sends line
after line, and begins again if the job is unknown or an answer is lost.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.models.explorer import Steps, World, either, explore

LINES = ("register", "report 2", "report 3", "end")


class Spool(World):
    """A job of which the ledger knows one live report, and a spool of what came after it.

    `attempt` is the one that has spooled; `is_live` is whether it goes on, with live reports.
    `restores` is whether the ledger is restored meanwhile, to before the registration. The other
    arguments leave rules out. `keeps_registration`: it is in the spool even if it was answered.
    `begins_newer`: an attempt that is newer than known is begun. `two_marks`: live and buffered
    reports are ordered apart. `shows_newest`: an older one is recorded, and not shown.
    `renews_nothing`: what is buffered renews no lease and takes back no loss.
    """

    def __init__(
        self,
        *,
        flushers: int = 2,
        losses: int = 1,
        attempt: int = 1,
        is_live: bool = False,
        restores: bool = False,
        keeps_registration: bool = True,
        begins_newer: bool = True,
        two_marks: bool = True,
        shows_newest: bool = True,
        renews_nothing: bool = True,
    ) -> None:
        self.rules = begins_newer, two_marks, shows_newest, renews_nothing
        self.flushers, self.losses = flushers, losses
        self.is_live, self.restores, self.attempt = is_live, restores, attempt
        self.spool: tuple[str, ...] = LINES if keeps_registration else LINES[1:]
        if is_live:
            self.spool = self.spool[:-1]
        self.has_job, self.newest, self.is_lost = True, 1, not is_live
        self.marks = {"live": 1, "buffered": 1}
        self.shown = 1
        self.recorded: list[str] = []
        self.forgotten: set[str] = set()
        """What was answered, and taken away by a restore."""

    def processes(self) -> Iterator[Steps]:
        for nth in range(self.flushers):
            yield self.flusher(nth)
        if self.is_live:
            yield self.live()
        if self.restores:
            yield self.restore()

    def flusher(self, nth: int) -> Steps:
        yield f"{nth} opens the spool"
        lines, at = self.spool, 0
        while at < len(lines):
            sends = f"{nth} sends {lines[at]}"
            happened = yield either(sends, f"{sends}, and the answer is lost")
            is_known = self.receive(lines[at])
            if "lost" in happened and self.losses:
                self.losses -= 1
                at = 0
            elif not is_known and lines[0] == "register":
                at = 0
            else:
                at += 1
        yield f"{nth} removes the spool"
        self.spool = ()

    def receive(self, line: str) -> bool:
        """Return whether the job is known."""
        kind, _, seq = line.partition(" ")
        if kind == "register":
            self.has_job = True
        if not self.has_job:
            return False
        if kind != "register" and self.attempt > self.newest and self.rules[0]:
            self.newest = self.attempt
        if self.attempt == self.newest:
            if kind == "end" and "end" not in self.recorded:
                self.recorded.append("end")
            if kind == "report" and "end" not in self.recorded:
                self.report("buffered", int(seq))
        return True

    def report(self, how: str, seq: int) -> None:
        mark = how if self.rules[1] else "live"
        if seq <= self.marks[mark]:
            return
        self.marks[mark] = seq
        self.recorded.append(f"report {seq}")
        if seq >= self.marks["live"] or not self.rules[2]:
            self.shown = seq
        if how == "live" or not self.rules[3]:
            self.is_lost = False

    def live(self) -> Steps:
        yield "a live report comes"
        self.report("live", 4)

    def restore(self) -> Steps:
        yield "the ledger is restored"
        self.forgotten = {*self.recorded}
        self.has_job, self.newest, self.shown = False, 1, 0
        self.marks = {"live": 0, "buffered": 0}
        self.recorded = []

    def broken(self) -> Iterator[str]:
        if len({*self.recorded}) < len(self.recorded):
            yield "recorded twice"
        if self.marks["live"] > self.shown:
            yield "what is shown goes back"
        if not self.is_live and not self.is_lost:
            yield "a dead process seems to live"

    def left_undone(self) -> Iterator[str]:
        wanted = {*LINES[1:3], *([] if self.is_live else ["end"])}
        if missing := wanted - {*self.recorded} - self.forgotten:
            yield f"{min(missing)} is lost"


@pytest.mark.parametrize("attempt", [1, 2])
def test_two_processes_deliver_a_spool_once(attempt: int) -> None:
    assert not explore(lambda: Spool(attempt=attempt)).trace


def test_a_live_process_delivers_what_it_had_spooled() -> None:
    assert not explore(lambda: Spool(is_live=True, flushers=1)).trace


def test_a_restored_ledger_is_told_all_of_it() -> None:
    assert not explore(lambda: Spool(restores=True, flushers=1, attempt=2)).trace


@pytest.mark.long
def test_the_same_with_three_processes() -> None:
    assert not explore(lambda: Spool(flushers=3, losses=3)).trace


@pytest.mark.parametrize(
    ("left_out", "broken"),
    [
        (lambda: Spool(restores=True, flushers=1, keeps_registration=False), "end is lost"),
        (lambda: Spool(attempt=2, begins_newer=False), "end is lost"),
        (lambda: Spool(is_live=True, flushers=1, two_marks=False), "report 3 is lost"),
        (lambda: Spool(is_live=True, flushers=1, shows_newest=False), "what is shown goes back"),
        (lambda: Spool(renews_nothing=False), "a dead process seems to live"),
    ],
    ids=["no registration", "newer refused", "one mark", "shows the last", "renews"],
)
def test_without_a_rule_it_is_broken(left_out: Callable[[], World], broken: str) -> None:
    assert explore(left_out).broken == broken
