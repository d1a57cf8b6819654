"""The feed: what has changed is told, to whom it concerns, once it can be read."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from itertools import count
from math import ceil
from typing import Any, NamedTuple

import pytest

from api.resources.frames import frames
from ledger.codec import decode
from ledger.domain.aggregates.housekeeping import Terms
from ledger.domain.commands import Command
from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.commands.housekeeping import SetRetention
from ledger.domain.commands.jobs import CreateJob, FailJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.domain.commands.servers import CloneServer, CreateServers, DeleteServers, NewServer
from ledger.domain.commands.tags import CreateTags, NewTag
from ledger.domain.errors.store import ReadCut, StoreFailed
from ledger.domain.events.housekeeping import JobsDiscarded
from ledger.domain.events.producers import JobCancelRequested
from ledger.domain.producers.commands import EndJob, ReportProgress, RequestCancel, TakeUpJob
from ledger.store.seam import Commit, Cursor
from projections.feed import reading
from projections.feed.feed import FRAMES_AT_ONCE, Feed, Frames, Reason
from projections.feed.pacing import PER_JOB_S, Pacing
from projections.feed.resource_kinds import View
from projections.maintenance.retention.plan import plan_of
from projections.maintenance.retention.sweep import sweep
from tests.support.opened import Opened
from tests.support.producing import STOPPED, THERE, report, running
from tests.support.wait import PATIENCE_S, patience, wait_until
from tests.support.world import ME, SOMEBODY_ELSE, START, cdrom, disk, machine, mount

PROGRESS_S = 0.3
NEVER_S = 1_000.0
EXACT_S = 1.5 * 2**-10
"""About 1.5 ms, which a clock adds to whole seconds without rounding."""
_READY = {"unmounted", "mounted", "cloning_src"}

_numbers = count()


class Told(NamedTuple):
    """A frame; `shown` is None if the thing is gone."""

    type: str
    uuid: str
    shown: Any
    again: bool

    @property
    def thing(self) -> tuple[str, str]:
        return self.type, self.uuid

    @property
    def status(self) -> tuple[str, str, object]:
        """A drive's or server's status, a job's state; None for what is gone."""
        shown = self.shown or {}
        return self.type, self.uuid, shown.get("status", shown.get("state"))


class Ear:
    """A subscriber that keeps what it is told."""

    def __init__(self, looking: Callable[[Told], None] | None = None, revocation: int = 0) -> None:
        self.revocation = revocation
        self.told: list[Told] = []
        self.left: list[Reason] = []
        self._looking = looking
        self._news = asyncio.Event()

    def take(self, frames: Frames, *, again: bool) -> None:
        assert b"".join(frames.each) == frames.together
        for frame in frames.each:
            said = json.loads(frame[frame.index(b'{"') :])
            uuid = said["resource_uri"].removesuffix("/").rpartition("/")[2]
            told = Told(said["resource_type"], uuid, said.get("object"), again)
            self.told.append(told)
            if self._looking:
                self._looking(told)
        self._news.set()

    def leave(self, why: Reason) -> None:
        self.left.append(why)

    async def until(self, is_there: Callable[[list[Told]], bool]) -> None:
        async with patience("for frames"):
            while not is_there(self.told):
                self._news.clear()
                await self._news.wait()

    async def everything(self, opened: Opened, owner: str = ME) -> list[Told]:
        """All that is told of what was committed so far; the next call begins behind it.

        Things that only look different now come after what has changed, which the first of two
        other things may be together with.
        """
        for _ in range(2):
            last = f"last-{next(_numbers)}"
            opened.do(CreateDrives(owner, (NewDrive(last, disk()),), "blank"))
            await self.until(lambda told, last=last: any(each.uuid == last for each in told))  # type: ignore[misc]
        told = [each for each in self.told if not each.uuid.startswith("last-")]
        self.told.clear()
        return told


@asynccontextmanager
async def following(opened: Opened, **given: Any) -> AsyncIterator[Feed]:
    failures: list[None] = []
    feed = Feed(
        opened.views,
        on_failure=lambda: failures.append(None),
        **{
            "render": frames(lambda: START),
            "repeat_s": NEVER_S,
            "progress_s": PROGRESS_S,
            **given,
        },
    )
    opened.ledger.listen(feed.notice)
    async with feed:
        yield feed


@pytest.fixture
async def feed(opened: Opened) -> AsyncIterator[Feed]:
    async with following(opened) as feed:
        yield feed


@pytest.fixture
async def ear(feed: Feed) -> AsyncIterator[Ear]:
    ear = Ear()
    with feed.subscription(ME, ear):
        yield ear


def all_told(opened: Opened) -> None:
    """Returns once nobody is told any more of what was done before."""
    opened.ledger.exclusive(lambda _: None).result(PATIENCE_S)


def new_drives(*uuids: str, owner: str = ME) -> CreateDrives:
    return CreateDrives(owner, tuple(NewDrive(uuid, disk()) for uuid in uuids), "blank")


def ready_drives(opened: Opened, *uuids: str, owner: str = ME) -> None:
    opened.do(new_drives(*uuids, owner=owner), *(MarkDriveReady(uuid) for uuid in uuids))


def new_server(uuid: str, *drives: str) -> CreateServers:
    mounts = tuple(mount(drive, nth) for nth, drive in enumerate(drives))
    return CreateServers(ME, (NewServer(uuid, machine(), mounts, (), "hush"),))


# What is told


async def test_a_drive_from_its_creation_to_its_end(opened: Opened, ear: Ear) -> None:
    """Each change of it is told, and its end without an object."""
    opened.do(new_drives("a"))
    assert [told.status for told in await ear.everything(opened)] == [("drives", "a", "creating")]
    opened.do(MarkDriveReady("a"))
    assert [told.status for told in await ear.everything(opened)] == [("drives", "a", "unmounted")]
    opened.do(DeleteDrives(ME, ("a",)))
    assert await ear.everything(opened) == [Told("drives", "a", None, again=False)]


async def test_what_others_say_of_a_drive(opened: Opened, ear: Ear) -> None:
    """A server that mounts a drive, or does so no longer, changes it."""
    ready_drives(opened, "a")
    await ear.everything(opened)
    opened.do(new_server("s", "a"))
    told = await ear.everything(opened)
    assert [each.status for each in told] == [
        ("servers", "s", "stopped"),
        ("drives", "a", "mounted"),
    ]
    opened.do(DeleteServers(ME, ("s",), "none"))
    told = await ear.everything(opened)
    assert [each.status for each in told] == [("servers", "s", None), ("drives", "a", "unmounted")]


async def test_a_deleted_drive_changes_its_server_and_its_jobs(opened: Opened, ear: Ear) -> None:
    """The server has it no longer, and the jobs that copied it name it no longer."""
    ready_drives(opened, "a", "b")
    opened.do(new_server("s", "a", "b"))
    opened.do(CloneDrive(ME, "a", "c", "j"), StartAttempt("j", 1, "w"), SucceedJob("j", 1))
    await ear.everything(opened)
    opened.do(DeleteDrives(ME, ("a",)))
    told = {each.thing: each.shown for each in await ear.everything(opened)}
    assert told["drives", "a"] is None
    assert [drive["drive"]["uuid"] for drive in told["servers", "s"]["drives"]] == ["b"]
    assert told["jobs", "j"]["resources"] == ["/api/2.0/drives/c/"]


async def test_a_clone(opened: Opened, ear: Ear) -> None:
    """Job, source and destination are told of at each step; the source is free in the end."""
    ready_drives(opened, "a")
    await ear.everything(opened)
    opened.do(CloneDrive(ME, "a", "b", "j"))
    told = await ear.everything(opened)
    assert {each.status for each in told} == {
        ("jobs", "j", "started"),
        ("drives", "a", "cloning_src"),
        ("drives", "b", "cloning_dst"),
    }
    opened.do(StartAttempt("j", 1, "w"))
    assert [each.thing for each in await ear.everything(opened)] == [("jobs", "j")]
    opened.do(UpdateProgress("j", 1, 30, 3, 10, 3))
    (told,) = await ear.everything(opened)
    assert told.shown["data"]["progress"] == 30
    opened.do(SucceedJob("j", 1))
    told = await ear.everything(opened)
    assert {each.status for each in told} == {
        ("jobs", "j", "success"),
        ("drives", "a", "unmounted"),
        ("drives", "b", "unmounted"),
    }


async def test_a_server_clone_that_fails(opened: Opened, ear: Ear) -> None:
    """What it made is told of as gone, and every job of it as failed or as it ended."""
    ready_drives(opened, "a", "b")
    opened.do(new_server("s", "a", "b"))
    await ear.everything(opened)
    opened.do(CloneServer(ME, "s", "t", "j"))
    told = await ear.everything(opened)
    jobs = [each.uuid for each in told if each.type == "jobs"]
    copies = {each.uuid for each in told if each.type == "drives"} - {"a", "b"}
    assert len(jobs) == 3
    assert jobs[0] == "j"
    assert len(copies) == 2
    for job in jobs[1:]:
        opened.do(StartAttempt(job, 1, "w"))
    opened.do(SucceedJob(jobs[1], 1), FailJob(jobs[2], 1, "on fire"))
    last = {each.thing: each.status[2] for each in await ear.everything(opened)}
    assert {uuid: last["jobs", uuid] for uuid in jobs} == {
        "j": "failed",
        jobs[1]: "success",
        jobs[2]: "failed",
    }
    assert last["servers", "t"] is None
    assert {last["drives", copy] for copy in copies} == {None}
    assert {last["drives", source] for source in ("a", "b")} == {"mounted"}


async def test_a_shared_cdrom(opened: Opened, ear: Ear) -> None:
    """A cdrom that a clone shares is mounted by one more server."""
    opened.do(CreateDrives(ME, (NewDrive("cd", cdrom()),), "blank"), MarkDriveReady("cd"))
    opened.do(new_server("s", "cd"))
    await ear.everything(opened)
    opened.do(CloneServer(ME, "s", "t", "j"))
    told = {each.thing: each.shown for each in await ear.everything(opened)}
    mounted = [server["uuid"] for server in told["drives", "cd"]["mounted_on"]]
    assert sorted(mounted) == ["s", "t"]
    assert told["jobs", "j"]["state"] == "success"


async def test_what_is_told_can_be_read_already(opened: Opened) -> None:
    """Whoever reads when a frame comes sees at least what it says: it may have gone on since."""
    behind: list[Told] = []

    def look(told: Told) -> None:
        with opened.snapshot() as snapshot:
            if told.type == "jobs":
                tree = snapshot.job(told.uuid, ME)
                if tree is None or tree.job.last_modified < told.shown["last_modified"]:
                    behind.append(told)
            else:
                drive = snapshot.drive(told.uuid, ME)
                is_ready = told.shown is not None and told.shown["status"] in _READY
                if drive is not None and (told.shown is None or is_ready > drive.ready):
                    behind.append(told)

    def work(nth: int) -> None:
        drive, copy, job = f"d{nth}", f"c{nth}", f"j{nth}"
        ready_drives(opened, drive)
        opened.do(CloneDrive(ME, drive, copy, job), StartAttempt(job, 1, "w"))
        opened.do(*(UpdateProgress(job, 1, progress) for progress in range(0, 100, 5)))
        opened.do(SucceedJob(job, 1), DeleteDrives(ME, (drive,)))

    async with following(opened) as feed:
        ear = Ear(look)
        with feed.subscription(ME, ear):
            await asyncio.gather(*(asyncio.to_thread(work, nth) for nth in range(8)))
            told = await ear.everything(opened)
    assert behind == []
    last = {each.thing: each.status[2] for each in told}
    for nth in range(8):
        assert last["drives", f"d{nth}"] is None
        assert last["drives", f"c{nth}"] == "unmounted"
        assert last["jobs", f"j{nth}"] == "success"


async def test_a_thing_never_goes_back(opened: Opened, ear: Ear) -> None:
    """Frames of one thing come in the order of its changes, also when repeated in between."""
    async with following(opened, repeat_s=0.002) as feed:
        also = Ear()
        with feed.subscription(ME, also):
            opened.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
            await asyncio.to_thread(
                opened.do, *(UpdateProgress("j", 1, progress) for progress in range(100))
            )
            await also.until(
                lambda told: (
                    any(_progress(each) == 99 for each in told) and any(each.again for each in told)
                )
            )
            progress = [told.shown["data"]["progress"] for told in also.told]
    assert progress == sorted(progress)


async def test_many_changes_of_one_thing_may_be_one_frame(opened: Opened, ear: Ear) -> None:
    """What cannot be told at once is told as it is in the end."""
    opened.do(CreateJob(ME, "j", "x"), StartAttempt("j", 1, "w"))
    opened.do(*(UpdateProgress("j", 1, progress) for progress in range(100)))
    (told,) = await ear.everything(opened)  # the loop had no turn in between
    assert told.shown["data"]["progress"] == 99


async def test_more_than_a_slice(opened: Opened, ear: Ear) -> None:
    """However much changes at once, all of it is told, and others have their turn in between."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    uuids = [f"d{number:03}" for number in range(4 * FRAMES_AT_ONCE)]
    opened.do(new_drives(*uuids))
    task = asyncio.create_task(others())
    told = await ear.everything(opened)
    task.cancel()
    await asyncio.wait([task])
    assert [each.uuid for each in told] == uuids
    assert turns >= 4


async def test_a_frame_is_made_once_for_all_subscribers(opened: Opened) -> None:
    """However many there are; they get the same bytes."""
    made: list[str] = []
    render = frames(lambda: START)

    def noted(resource_type: str, uuid: str, view: View | None) -> bytes:
        made.append(uuid)
        return render(resource_type, uuid, view)

    async with following(opened, render=noted) as feed:
        ears = [Ear() for _ in range(5)]
        with ExitStack() as stack:
            for ear in ears:
                stack.enter_context(feed.subscription(ME, ear))
            opened.do(new_drives("a", "b"))
            for ear in ears:
                assert [each.uuid for each in await ear.everything(opened)] == ["a", "b"]
    assert made[:2] == ["a", "b"]
    assert len(set(made)) == len(made)


async def test_others_get_their_turn_while_frames_are_made(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 2 ms; a frame that takes longer is given alone."""
    loop = asyncio.get_running_loop()
    now_s, cost_s = ceil(loop.time()), EXACT_S
    monkeypatch.setattr(loop, "time", lambda: now_s)
    render = frames(lambda: START)

    def costly(resource_type: str, uuid: str, view: View | None) -> bytes:
        nonlocal now_s
        now_s += cost_s
        return render(resource_type, uuid, view)

    class Counting(Ear):
        def take(self, frames: Frames, *, again: bool) -> None:
            given.append(len(frames.each))
            super().take(frames, again=again)

    async def given_at_once() -> list[int]:
        given.clear()
        names = [f"d{next(_numbers)}" for _ in range(FRAMES_AT_ONCE)]
        opened.do(new_drives(*names))
        await ear.until(lambda told: {*names} <= {each.uuid for each in told})
        return [*given]

    given: list[int] = []
    async with following(opened, render=costly) as feed:
        ear = Counting()
        with feed.subscription(ME, ear):
            assert set(await given_at_once()) == {2}
            cost_s = 0.1
            assert set(await given_at_once()) == {1}
            cost_s = 0.0
            assert FRAMES_AT_ONCE in await given_at_once()


async def test_others_get_their_turn_while_frames_are_given(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 2 ms, however many subscribers there are."""
    loop = asyncio.get_running_loop()
    now_s = ceil(loop.time())
    monkeypatch.setattr(loop, "time", lambda: now_s)
    given: list[int] = []
    all_are_told = asyncio.Event()

    class Slow(Ear):
        def take(self, frames: Frames, *, again: bool) -> None:
            nonlocal now_s
            now_s += EXACT_S
            given.append(turns)
            super().take(frames, again=again)
            if len(given) == len(ears):
                all_are_told.set()

    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with following(opened) as feed:
        with ExitStack() as stack:
            ears = [Slow() for _ in range(10)]
            for ear in ears:
                stack.enter_context(feed.subscription(ME, ear))
            task = asyncio.create_task(others())
            opened.do(new_drives("a"))
            await all_are_told.wait()
            task.cancel()
            await asyncio.wait([task])
    assert max(Counter(given).values()) == 2


# Who waits


async def test_a_process_is_woken_by_what_may_stop_it(opened: Opened, feed: Feed) -> None:
    """A request above it, its own end, and an attempt of another process; not by progress."""
    opened.do(running("j"), running("child", "j"), running("other"))
    line = ("child", "j")
    with feed.watch_stops(line, ME) as news, feed.watch_account(ME) as any_news:
        for unheard in (
            ReportProgress("child", report(1)),
            RequestCancel(ME, "other", JobCancelRequested(60)),
        ):
            any_news.clear()
            opened.do(unheard)
            async with patience("for the account to hear"):
                await any_news.wait()
            assert not news.is_set()
        for heard in (
            RequestCancel(ME, "j", JobCancelRequested(60)),
            TakeUpJob("child", 1, THERE, replaces=True),
            EndJob("child", 2, STOPPED),
        ):
            opened.do(heard)
            async with patience(f"for {heard}"):
                await news.wait()
            news.clear()
    assert not feed._stop_watchers
    assert not feed._account_watchers


async def test_an_account_is_not_woken_by_others(opened: Opened, feed: Feed) -> None:
    with feed.watch_account(ME) as mine, feed.watch_account(SOMEBODY_ELSE) as theirs:
        opened.do(CreateJob(SOMEBODY_ELSE, "k", "x"))
        async with patience("for the other to hear"):
            await theirs.wait()
        assert not mine.is_set()
        feed.close()
        assert mine.is_set()


# To whom


async def test_everybody_is_told_of_their_own(opened: Opened, feed: Feed) -> None:
    """Of an account's things its own subscribers are told, all of them, and nobody else."""
    mine, mine_too, theirs = Ear(), Ear(), Ear()
    with (
        feed.subscription(ME, mine),
        feed.subscription(ME, mine_too),
        feed.subscription(SOMEBODY_ELSE, theirs),
    ):
        ready_drives(opened, "a")
        ready_drives(opened, "x", owner=SOMEBODY_ELSE)
        opened.do(CloneDrive(ME, "a", "b", "j"), CreateJob(SOMEBODY_ELSE, "k", "x"))
        told = await mine.everything(opened)
        await mine_too.until(lambda frames: len(frames) > len(told))
        others = await theirs.everything(opened, SOMEBODY_ELSE)
    assert {each.uuid for each in told} == {"a", "b", "j"}
    assert mine_too.told[: len(told)] == told
    assert {each.uuid for each in others} == {"x", "k"}


async def test_things_of_one_commit_but_of_several_accounts(opened: Opened, feed: Feed) -> None:
    """A batch of commands of two accounts is told to each as its own."""
    mine, theirs = Ear(), Ear()
    ready_drives(opened, "a")
    ready_drives(opened, "x", owner=SOMEBODY_ELSE)
    begun, go = threading.Event(), threading.Event()

    def wait(_: Cursor) -> None:
        begun.set()
        assert go.wait(PATIENCE_S)

    with feed.subscription(ME, mine), feed.subscription(SOMEBODY_ELSE, theirs):
        held = opened.ledger.exclusive(wait)
        await wait_until("for the writer to be busy", begun.is_set)
        clones = [
            asyncio.to_thread(opened.do, CloneDrive(ME, "a", "b", "j")),
            asyncio.to_thread(opened.do, CloneDrive(SOMEBODY_ELSE, "x", "y", "k")),
        ]
        both = asyncio.gather(*clones)
        queue = opened.ledger._writer._queue
        await wait_until("for both to wait", lambda: queue.qsize() == len(clones))
        go.set()
        await both
        held.result(PATIENCE_S)
        told = await mine.everything(opened)
        others = await theirs.everything(opened, SOMEBODY_ELSE)
    assert {each.uuid for each in told} == {"a", "b", "j"}
    assert {each.uuid for each in others} == {"x", "y", "k"}


async def test_whoever_has_left_is_told_nothing(opened: Opened, feed: Feed) -> None:
    """And nothing is remembered of them."""
    ear, stays = Ear(), Ear()
    with feed.subscription(ME, stays):
        with feed.subscription(ME, ear):
            pass
        opened.do(new_drives("a"))
        await stays.everything(opened)
    with feed.watch("j", ME):
        pass
    assert ear.told == []
    assert not feed._subscribers
    assert not feed._watchers
    assert not feed._followed


async def test_it_costs_the_writer_nothing_while_nobody_follows(
    opened: Opened, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop is not even woken; with a subscriber it is, once for each commit."""
    handed: list[object] = []
    monkeypatch.setattr(feed._loop, "call_soon_threadsafe", lambda call, *args: handed.append(call))
    opened.do(new_drives("a"), new_drives("b"))
    all_told(opened)
    assert handed == []
    with feed.subscription(ME, Ear()):
        opened.do(new_drives("c", "d", "e"), new_drives("f"))
        all_told(opened)
    assert handed == [feed._note_commit, feed._note_commit]


async def test_the_end_of_the_feed(opened: Opened) -> None:
    """All are sent away, also who comes after it, and all who wait for a job are woken."""
    ear, late = Ear(), Ear()
    async with following(opened) as feed:
        with feed.subscription(ME, ear), feed.watch("j", ME) as changed:
            assert not changed.is_set()
            feed.close()
            assert changed.is_set()
            assert feed.closed
            with feed.subscription(ME, late):
                pass
    assert ear.left[0] == late.left[0] == "stopping"


async def test_a_revocation_disconnects_those_who_logged_in_before(feed: Feed) -> None:
    """Subscribers who logged in later stay, and so do those of other accounts."""
    mine, theirs, later = Ear(), Ear(), Ear(revocation=1)
    with (
        feed.subscription(ME, mine),
        feed.subscription(SOMEBODY_ELSE, theirs),
        feed.subscription(ME, later),
    ):
        feed.dismiss(ME, 1)
        assert mine.left == ["logged out"]
        assert theirs.left == []
        assert later.left == []
        feed.dismiss(ME, 2)
        assert later.left == ["logged out"]


async def test_a_feed_that_fails_says_so(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who follows is sent away rather than left in silence; a failure of the store is told of."""
    failed: list[None] = []
    feed = Feed(
        opened.views,
        frames(lambda: START),
        on_failure=lambda: failed.append(None),
        repeat_s=NEVER_S,
    )
    opened.ledger.listen(feed.notice)
    async with feed:
        for error, failures in ((ZeroDivisionError(), 0), (StoreFailed("SQLite"), 1)):
            ear = Ear()
            with monkeypatch.context() as patch, feed.subscription(ME, ear):

                def read(error: Exception = error) -> None:
                    raise error

                patch.setattr(opened.views, "snapshot", read)
                opened.do(new_drives(f"d{failures}"))
                await wait_until("for the end", lambda ear=ear: bool(ear.left))
            assert ear.left == ["feed failed"]
            assert len(failed) == failures
        ear = Ear()
        with feed.subscription(ME, ear):
            opened.do(new_drives("after"))
            assert [told.uuid for told in await ear.everything(opened)] == ["after"]
    assert "the feed failed" in caplog.text


@pytest.mark.parametrize("error", [ZeroDivisionError(), ReadCut()], ids=["wrong", "cut"])
async def test_what_cannot_be_shown_sends_nobody_else_away(
    opened: Opened, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Its account alone must read again, and hears of what it makes then."""
    shown = frames(lambda: START)

    def render(kind: str, uuid: str, view: View | None) -> bytes:
        if uuid == "bad":
            raise error
        return shown(kind, uuid, view)

    mine, theirs = Ear(), Ear()
    async with following(opened, render=render) as feed:
        with feed.subscription(ME, mine), feed.subscription(SOMEBODY_ELSE, theirs):
            opened.do(new_drives("bad"))
            await wait_until("for the end", lambda: bool(mine.left))
            assert await theirs.everything(opened, SOMEBODY_ELSE) == []
            assert (mine.left, theirs.left) == (["feed failed"], [])
        again = Ear()
        with feed.subscription(ME, again):
            opened.do(new_drives("good"))
            assert [told.uuid for told in await again.everything(opened)] == ["good"]
    assert "cannot be shown" in caplog.text


# Families


async def test_ancestors_are_told_of_what_is_below(opened: Opened, ear: Ear) -> None:
    """Progress, ends and new sub-jobs show in all jobs above, whatever the depth."""
    family = {"root", "branch", "leaf"}
    opened.do(CreateJob(ME, "root", "x"), CreateJob(ME, "branch", "x", parent="root"))
    opened.do(CreateJob(ME, "leaf", "x", parent="branch"))
    told = {each.uuid: each.shown for each in await ear.everything(opened)}
    assert told["root"]["children"][0]["children"][0]["uuid"] == "leaf"

    opened.do(StartAttempt("leaf", 1, "w"), UpdateProgress("leaf", 1, 40))
    await ear.until(lambda told: {each.uuid for each in told if _progress(each) == 40} == family)

    ear.told.clear()
    opened.do(SucceedJob("leaf", 1))
    told = {each.uuid: each.shown["state"] for each in await ear.everything(opened)}
    assert told == dict.fromkeys(family, "success")


def _progress(told: Told) -> int:
    progress: int = told.shown["data"]["progress"]
    return progress


async def test_progress_below_shows_a_job_now_and_then(opened: Opened, ear: Ear) -> None:
    """A hundred reports of its children are a few frames of a parent, the last one included."""
    opened.do(CreateJob(ME, "root", "x"))
    for child in ("one", "two"):
        opened.do(CreateJob(ME, child, "x", parent="root"), StartAttempt(child, 1, "w"))
    await ear.everything(opened)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for progress in range(1, 51):
        for child in ("one", "two"):
            await asyncio.to_thread(opened.do, UpdateProgress(child, 1, progress))
            await ear.until(_shows(child, progress))
    await ear.until(_shows("root", 50))
    lasted = loop.time() - began
    of_the_root = [each for each in ear.told if each.uuid == "root"]
    assert len(ear.told) - len(of_the_root) == 100
    assert 1 <= len(of_the_root) <= 2 + lasted / PROGRESS_S


def _shows(job: str, progress: int) -> Callable[[list[Told]], bool]:
    return lambda told: any(each.uuid == job and _progress(each) == progress for each in told)


async def test_an_end_below_is_told_at_once(opened: Opened) -> None:
    """However little time has passed since the parent's last frame."""
    async with following(opened, progress_s=NEVER_S) as feed:
        ear = Ear()
        with feed.subscription(ME, ear):
            opened.do(CreateJob(ME, "root", "x"))
            for child in ("one", "two", "three"):
                opened.do(CreateJob(ME, child, "x", parent="root"), StartAttempt(child, 1, "w"))
            await ear.everything(opened)
            for child, how in (("one", SucceedJob("one", 1)), ("two", FailJob("two", 1, "x"))):
                opened.do(UpdateProgress(child, 1, 10), how)
                await ear.until(lambda told, child=child: _has_ended(told, child))


def _has_ended(told: list[Told], child: str) -> bool:
    trees = [each.shown for each in told if each.uuid == "root"]
    children = {below["uuid"]: below["state"] for tree in trees for below in tree["children"]}
    return children.get(child, "started") != "started"


async def test_a_large_tree_is_not_shown_for_each_of_its_ends(opened: Opened) -> None:
    """A tree of hundreds that end one by one is shown a few times, and as it is in the end."""
    children = [f"c{number}" for number in range(300)]
    opened.do(CreateJob(ME, "root", "x"), *(CreateJob(ME, c, "x", parent="root") for c in children))
    opened.do(*(StartAttempt(child, 1, "w") for child in children))
    all_told(opened)
    loop = asyncio.get_running_loop()
    async with following(opened) as feed:
        ear = Ear()
        with feed.subscription(ME, ear):
            began = loop.time()
            for child in children:
                await asyncio.to_thread(opened.do, SucceedJob(child, 1))
            told = await ear.everything(opened)
            lasted = loop.time() - began
    of_the_root = [each for each in told if each.uuid == "root"]
    assert len(told) - len(of_the_root) == len(children)
    assert len(of_the_root) <= 2 + lasted / min(PROGRESS_S, PER_JOB_S * len(children))
    assert of_the_root[-1].shown["state"] == "success"


# Again


async def test_what_is_in_motion_is_told_again(opened: Opened) -> None:
    """A running job, its source and its destination, without any change; not what is idle."""
    ready_drives(opened, "a", "idle")
    opened.do(CloneDrive(ME, "a", "b", "j"), CreateJob(SOMEBODY_ELSE, "k", "x"))
    opened.do(new_drives("blank"), CreateJob(ME, "over", "x"))
    opened.do(StartAttempt("over", 1, "w"), SucceedJob("over", 1))
    all_told(opened)
    async with following(opened, repeat_s=0.01) as feed:
        ear = Ear()
        with feed.subscription(ME, ear):
            await ear.until(lambda told: [each.uuid for each in told].count("j") >= 3)
            assert {each.status for each in ear.told} == {
                ("jobs", "j", "started"),
                ("drives", "a", "cloning_src"),
                ("drives", "b", "cloning_dst"),
                ("drives", "blank", "creating"),
            }
            assert all(each.again for each in ear.told)
            opened.do(StartAttempt("j", 1, "w"), SucceedJob("j", 1), MarkDriveReady("blank"))
            await ear.until(lambda told: ("jobs", "j", "success") in {t.status for t in told})
            opened.do(CreateJob(ME, "later", "x"))
            await ear.until(_again("later", 1))
            ear.told.clear()
            await ear.until(_again("later", 2))
            assert {each.thing for each in ear.told if each.again} == {("jobs", "later")}


def _again(job: str, times: int) -> Callable[[list[Told]], bool]:
    return lambda told: sum(each.uuid == job and each.again for each in told) >= times


async def test_news_come_before_repetitions(opened: Opened) -> None:
    """Thousands of jobs that are told of again do not keep a change waiting."""
    opened.do(*(CreateJob(ME, f"j{number}", "x") for number in range(5 * FRAMES_AT_ONCE)))
    all_told(opened)
    async with following(opened, repeat_s=NEVER_S) as feed:
        ear = Ear()
        with feed.subscription(ME, ear):
            feed._repeat()
            await ear.until(lambda told: len(told) >= FRAMES_AT_ONCE)
            opened.do(CreateJob(ME, "new", "x"))
            await ear.until(lambda told: len(told) == 5 * FRAMES_AT_ONCE + 1)
    place = [each.uuid for each in ear.told].index("new")
    assert place < 5 * FRAMES_AT_ONCE


# Waiting for a job


async def test_a_watcher_is_woken_by_what_it_shows(opened: Opened, feed: Feed) -> None:
    """By the job itself and by any below it, not by one above or beside it."""
    opened.do(CreateJob(ME, "root", "x"))
    for uuid, parent in (("branch", "root"), ("leaf", "branch"), ("other", "root")):
        opened.do(CreateJob(ME, uuid, "x", parent=parent))
    all_told(opened)
    for changing, woken in (
        ("leaf", {"root", "branch", "leaf"}),
        ("other", {"root", "other"}),
    ):
        with (
            feed.watch("root", ME) as root,
            feed.watch("branch", ME) as branch,
            feed.watch("leaf", ME) as leaf,
            feed.watch("other", ME) as other,
        ):
            opened.do(StartAttempt(changing, 1, "w"))
            async with patience("for the watcher of the root"):
                await root.wait()
            events = {"root": root, "branch": branch, "leaf": leaf, "other": other}
            assert {uuid for uuid, event in events.items() if event.is_set()} == woken


# What is discarded


def discard_everything(opened: Opened) -> None:
    """All that is over, by a policy that keeps nothing."""
    opened.do(SetRetention(timedelta(0)))
    with opened.ledger.log() as log:
        newest = list(log.events())[-1]
    cutoff = decode(newest.topic, newest.state).recorded_at
    plan = plan_of(opened.ledger.log, Terms(timedelta(0), 20), cutoff)
    swept = sweep(opened.ledger, plan, lambda: "sweep")
    assert swept.trees > 0


def ended_family(root: str, owner: str = ME) -> list[Command]:
    below = f"{root}-below"
    return [
        CreateJob(owner, root, "x"),
        CreateJob(owner, below, "x", parent=root),
        StartAttempt(below, 1, "w"),
        SucceedJob(below, 1),
    ]


async def test_discarded_jobs_are_told_of_as_gone(opened: Opened, feed: Feed) -> None:
    """Each to its owner, once a GET answers 404; the sweep itself is nobody's business."""
    shown: list[bool] = []

    def look(told: Told) -> None:
        if told.type == "jobs":
            with opened.snapshot() as snapshot:
                shown.append(bool(snapshot.jobs_among([told.uuid], ME)))

    opened.do(*ended_family("mine"), *ended_family("theirs", SOMEBODY_ELSE))
    all_told(opened)
    ear, other = Ear(look), Ear()
    with feed.subscription(ME, ear), feed.subscription(SOMEBODY_ELSE, other):
        discard_everything(opened)
        told = await ear.everything(opened)
        assert sorted(told) == [
            Told("jobs", "mine", None, again=False),
            Told("jobs", "mine-below", None, again=False),
        ]
        assert shown == [False, False]
        told = await other.everything(opened, SOMEBODY_ELSE)
        assert {each.thing for each in told} == {("jobs", "theirs"), ("jobs", "theirs-below")}


async def test_a_tree_that_is_discarded_before_its_end_is_told(
    opened: Opened, feed: Feed, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read is newer than what is told: the job above is gone already."""
    note, held = feed._note_commit, list[Commit]()

    def hold_discards(commit: Commit) -> None:
        discards = [each for _, each in commit.events if isinstance(each.event, JobsDiscarded)]
        held.append(commit) if discards else note(commit)

    monkeypatch.setattr(feed, "_note_commit", hold_discards)
    opened.do(*ended_family("mine"))
    discard_everything(opened)
    await ear.everything(opened)
    for commit in held:
        note(commit)
    told = await ear.everything(opened)
    assert {each.thing: each.shown for each in told} == {
        ("jobs", "mine"): None,
        ("jobs", "mine-below"): None,
    }
    assert ear.left == []


async def test_a_watcher_is_woken_when_the_job_is_discarded(opened: Opened, feed: Feed) -> None:
    """It finds out by itself that there is no such job any more."""
    opened.do(*ended_family("mine"))
    all_told(opened)
    with feed.watch("mine", ME) as changed:
        discard_everything(opened)
        async with patience("for the watcher"):
            await changed.wait()


# What is long


async def test_what_is_long_is_shown_in_a_thread_and_others_have_turns_between(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an account's many long tags, another waits for one at the most; each is told whole."""
    monkeypatch.setattr(reading, "TURN_BYTES", 4_000)
    shown, made = frames(lambda: START), list[tuple[str, str]]()

    def render(kind: str, uuid: str, view: View | None) -> bytes:
        made.append((uuid, threading.current_thread().name.partition("_")[0]))
        return shown(kind, uuid, view)

    drives = tuple(f"d{number}" for number in range(20))
    opened.do(new_drives(*drives))
    mine, theirs = Ear(), Ear()
    async with following(opened, render=render) as feed:
        with feed.subscription(ME, mine), feed.subscription(SOMEBODY_ELSE, theirs):
            tags = (NewTag("a", "", {}, drives), NewTag("b", "", {}, drives), NewTag("c", ""))
            opened.do(CreateTags(ME, tags), new_drives("x", "y", owner=SOMEBODY_ELSE))
            told = await mine.everything(opened)
            await theirs.everything(opened, SOMEBODY_ELSE)
    assert made[:5] == [
        ("a", "feed"),
        ("x", "MainThread"),
        ("y", "MainThread"),
        ("b", "feed"),
        ("c", "MainThread"),
    ]
    assert {each.uuid for each in told} == {"a", "b", "c", *drives}
    assert {thread for uuid, thread in made if uuid not in ("a", "b")} == {"MainThread"}


async def test_a_long_tree_of_jobs_is_shown_in_a_thread(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And paced as shorter ones are."""
    monkeypatch.setattr(reading, "TURN_BYTES", 4_000)
    threads: dict[str, str] = {}

    def render(kind: str, uuid: str, view: View | None) -> bytes:
        threads.setdefault(uuid, threading.current_thread().name.partition("_")[0])
        return frames(lambda: START)(kind, uuid, view)

    noted: list[tuple[str, int]] = []
    note = Pacing.note_shown

    def note_shown(self: Pacing, job: str, jobs: int, now: float) -> None:
        noted.append((job, jobs))
        note(self, job, jobs, now)

    monkeypatch.setattr(Pacing, "note_shown", note_shown)
    drives = tuple(f"d{number}" for number in range(8))
    ready_drives(opened, *drives)
    opened.do(new_server("s", *drives))
    ear = Ear()
    async with following(opened, render=render) as feed:
        with feed.subscription(ME, ear):
            opened.do(CloneServer(ME, "s", "copy", "j"))
            told = await ear.everything(opened)
    assert ("jobs", "j") in [each.thing for each in told]
    assert threads.pop("j") == "feed"
    assert set(threads.values()) == {"MainThread"}
    assert ("j", 9) in noted
