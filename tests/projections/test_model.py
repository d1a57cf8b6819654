"""Any history at all, against a model of plain dicts; then rebuilt, audited and opened again."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ledger.domain.commands import Command
from ledger.domain.commands.drives import (
    CloneDrive,
    CompleteResize,
    CreateDrives,
    DeleteDrives,
    EditDrive,
    FailResize,
    MarkDriveReady,
    NewDrive,
    ResizeDrive,
)
from ledger.domain.commands.jobs import (
    CancelJob,
    CreateJob,
    FailJob,
    LabelJob,
    LoseAttempt,
    StartAttempt,
    SucceedJob,
    UpdateProgress,
)
from ledger.domain.commands.servers import (
    ChangePower,
    CloneServer,
    CreateServers,
    DeleteServers,
    EditServer,
    NewServer,
    Recurse,
    ServerEdit,
)
from ledger.domain.commands.tags import CreateTags, DeleteTag, NewTag
from ledger.domain.errors import Refusal
from ledger.domain.events.servers import PowerAction
from projections.views.read_models import JobTree
from projections.views.snapshot import Snapshot
from tests.projections.checking import check_views
from tests.support.model import Model, Refused
from tests.support.opened import Opened
from tests.support.read_models import jobs_of
from tests.support.world import (
    GIB,
    ME,
    SOMEBODY_ELSE,
    Foreseen,
    Ticking,
    cdrom,
    disk,
    machine,
    mount,
)

PLAIN, LONG = settings().max_examples, 1_000
HISTORIES = 2 * PLAIN if PLAIN >= LONG else PLAIN
"""As many as of other machines, but twice as many in a long run."""
OWNERS = st.sampled_from([ME, ME, ME, ME, SOMEBODY_ELSE])
WHICH = st.integers(0, 15)
"""Picks one of what there ever was, the newest first; or, with the last, what never was."""
ENDINGS = st.sampled_from([True, True, True, False, None])
ACTIONS = st.sampled_from(["start", "start", "start", "stop", "shutdown", "restart"])
PERCENTS = st.lists(st.integers(0, 100), max_size=3)


class Histories(RuleBasedStateMachine):
    """Commands of all kinds, sensible ones and others, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="histories-")
        self.file = Path(self.directory.name) / "ledger.sqlite"
        self.now = Ticking()
        self.ids = Foreseen()
        self.opened = Opened(self.file, environment=self.ids, now=self.now)
        self.model = Model()
        self.made = 0
        self.drives: list[str] = []
        self.servers: list[str] = []
        self.jobs: list[str] = []
        self.tags: list[str] = []
        self.seen: dict[str, int] = {}

    def new(self, kind: str) -> str:
        self.made += 1
        return f"{kind}{self.made}"

    @staticmethod
    def pick(those: Sequence[str], which: int) -> str:
        return those[which % len(those)] if those and which < 15 else "nothing"

    def do(self, command: Command, expected: Refused) -> None:
        refused: Refused = None
        try:
            self.opened.do(command)
        except Refusal as refusal:
            refused = type(refusal)
        note(f"{command} -> {refused.__name__ if refused else 'done'}")
        assert expected is refused
        self.look_for_news()

    def look_for_news(self) -> None:
        """What there is now can be picked; what was refused never came to be."""
        for there, those in (
            (self.model.drives, self.drives),
            (self.model.servers, self.servers),
            (self.model.jobs, self.jobs),
            (self.model.tags, self.tags),
        ):
            those[:0] = [uuid for uuid in there if uuid not in those]

    @initialize(disks=st.integers(1, 3))
    def begin_with_a_server(self, disks: int) -> None:
        """One with disks that can be cloned and a cdrom, all tagged: most histories clone it."""
        self.create_drive(ME, cd=0, ready=1)
        for _ in range(disks):
            self.create_drive(ME, cd=1, ready=1)
        self.create_server(ME, list(range(disks + 1)))
        self.create_tag(ME, list(range(disks + 1)), [0])
        self.clone_server(ME, 0)

    # Drives

    @rule(owner=OWNERS, cd=st.integers(0, 3), ready=st.integers(0, 3))
    def create_drive(self, owner: str, cd: int, ready: int) -> None:
        definition = disk() if cd else cdrom()
        uuid = self.new("drive")
        self.do(
            CreateDrives(owner, (NewDrive(uuid, definition),), "blank"),
            self.model.create_drive(owner, uuid, definition.media),
        )
        if ready:
            self.do(MarkDriveReady(uuid), self.model.mark_ready(uuid))

    @rule(which=WHICH)
    def mark_ready(self, which: int) -> None:
        uuid = self.pick(self.drives, which)
        self.do(MarkDriveReady(uuid), self.model.mark_ready(uuid))

    @rule(owner=OWNERS, which=st.lists(WHICH, min_size=1, max_size=2))
    def delete_drives(self, owner: str, which: list[int]) -> None:
        uuids = [self.pick(self.drives, one) for one in which]
        self.do(DeleteDrives(owner, tuple(uuids)), self.model.delete_drives(owner, uuids))

    @rule(owner=OWNERS, which=WHICH)
    def clone_drive(self, owner: str, which: int) -> None:
        source = self.pick(self.drives, which)
        destination, job = self.new("drive"), self.new("job")
        self.do(
            CloneDrive(owner, source, destination, job),
            self.model.clone_drive(owner, source, destination, job),
        )

    @rule(owner=OWNERS, which=WHICH, gib=st.integers(1, 4), well=ENDINGS)
    def resize(self, owner: str, which: int, gib: int, *, well: bool | None) -> None:
        """And let it end, well or not; or leave it."""
        uuid = self.pick(self.drives, which)
        self.do(ResizeDrive(owner, uuid, gib * GIB), self.model.resize(owner, uuid, gib))
        if well is not None:
            command = CompleteResize(uuid) if well else FailResize(uuid, "on fire")
            self.do(command, self.model.end_resize(uuid, well=well))

    # Servers

    @rule(owner=OWNERS, which=st.lists(WHICH, max_size=4))
    def create_server(self, owner: str, which: list[int]) -> None:
        drives = [self.pick(self.drives, one) for one in which]
        uuid = self.new("server")
        mounts = tuple(mount(drive, nth) for nth, drive in enumerate(drives))
        self.do(
            CreateServers(owner, (NewServer(uuid, machine(), mounts, (), uuid),)),
            self.model.create_server(owner, uuid, drives),
        )

    @rule(
        owner=OWNERS,
        which=WHICH,
        recurse=st.sampled_from(["none", "disks", "cdroms", "all_drives"]),
    )
    def delete_server(self, owner: str, which: int, recurse: Recurse) -> None:
        uuid = self.pick(self.servers, which)
        self.do(
            DeleteServers(owner, (uuid,), recurse), self.model.delete_server(owner, uuid, recurse)
        )

    @rule(owner=OWNERS, which=WHICH, drives=st.lists(WHICH, max_size=4))
    def set_mounts(self, owner: str, which: int, drives: list[int]) -> None:
        uuid = self.pick(self.servers, which)
        wanted = [self.pick(self.drives, one) for one in drives]
        mounts = tuple(mount(drive, nth) for nth, drive in enumerate(wanted))
        self.do(
            EditServer(owner, uuid, ServerEdit(), mounts),
            self.model.set_mounts(owner, uuid, wanted),
        )

    @rule(owner=OWNERS, which=WHICH, action=ACTIONS)
    def switch(self, owner: str, which: int, action: PowerAction) -> None:
        uuid = self.pick(self.servers, which)
        self.do(ChangePower(owner, uuid, action), self.model.switch(owner, uuid, action))

    @rule(owner=OWNERS, which=WHICH)
    def clone_server(self, owner: str, which: int) -> None:
        source = self.pick(self.servers, which)
        destination, job = self.new("server"), self.new("job")
        command = CloneServer(owner, source, destination, job)
        copies: list[tuple[str, str]] = []
        try:
            self.opened.do(command)
        except Refusal as refusal:
            refused: Refused = type(refusal)
        else:
            refused = None
            copies = self.copies_made(job, owner)
        note(f"{command} -> {refused.__name__ if refused else copies}")
        assert self.model.clone_server(owner, source, destination, job, copies) is refused
        self.look_for_news()

    def copies_made(self, job: str, owner: str) -> list[tuple[str, str]]:
        """The drives and jobs that were made for the disks; their ids are chosen by the ledger."""
        with self.opened.snapshot() as snapshot:
            tree = snapshot.job(job, owner)
            assert tree is not None
            return [(self.copy_made(child), child.job.uuid) for child in tree.children]

    def copy_made(self, child: JobTree) -> str:
        named = {resource.split("/")[-1] for resource in child.resources}
        [made] = named - self.model.drives.keys()
        return made

    # Tags

    @rule(owner=OWNERS, drives=st.lists(WHICH, max_size=2), servers=st.lists(WHICH, max_size=2))
    def create_tag(self, owner: str, drives: list[int], servers: list[int]) -> None:
        bearers = [self.pick(self.drives, one) for one in drives]
        bearers += [self.pick(self.servers, one) for one in servers]
        uuid = self.new("tag")
        self.do(
            CreateTags(owner, (NewTag(uuid, uuid, {}, tuple(bearers)),)),
            self.model.create_tag(owner, uuid, bearers),
        )

    @rule(owner=OWNERS, which=WHICH)
    def delete_tag(self, owner: str, which: int) -> None:
        uuid = self.pick(self.tags, which)
        self.do(DeleteTag(owner, uuid), self.model.delete_tag(owner, uuid))

    @rule(owner=OWNERS, which=WHICH, tags=st.lists(st.integers(0, 3), max_size=3))
    def tag_drive(self, owner: str, which: int, tags: list[int]) -> None:
        uuid, wanted = self.pick(self.drives, which), [self.pick(self.tags, one) for one in tags]
        self.do(
            EditDrive(owner, uuid, tags=tuple(wanted)), self.model.tag_drive(owner, uuid, wanted)
        )

    @rule(owner=OWNERS, which=WHICH, tags=st.lists(st.integers(0, 3), max_size=3))
    def tag_server(self, owner: str, which: int, tags: list[int]) -> None:
        uuid, wanted = self.pick(self.servers, which), [self.pick(self.tags, one) for one in tags]
        self.do(
            EditServer(owner, uuid, ServerEdit(), tags=tuple(wanted)),
            self.model.tag_server(owner, uuid, wanted),
        )

    # Jobs

    @rule(owner=OWNERS, which=WHICH, nested=st.integers(0, 3))
    def create_job(self, owner: str, which: int, nested: int) -> None:
        parent = self.pick(self.jobs, which) if nested else None
        uuid = self.new("job")
        self.do(
            CreateJob(owner, uuid, "x", parent=parent), self.model.create_job(owner, uuid, parent)
        )

    @rule(which=WHICH)
    def create_job_below_work(self, which: int) -> None:
        """Let a worker begin a job, then create one below it: chance alone rarely does so."""
        running = [uuid for uuid in self.jobs if self.is_running_leaf(uuid)]
        if not running:
            return
        parent = running[which % len(running)]
        known, uuid = self.model.jobs[parent], self.new("job")
        attempt = known.attempt + 1
        self.do(StartAttempt(parent, attempt, "w"), self.model.start(parent, attempt))
        self.do(
            CreateJob(known.owner, uuid, "x", parent=parent),
            self.model.create_job(known.owner, uuid, parent),
        )

    @rule(
        what=st.sampled_from(["start", "lose", "progress", "succeed", "fail"]),
        which=WHICH,
        late=st.integers(0, 4),
        percent=st.integers(-1, 101),
    )
    def report(self, what: str, which: int, late: int, percent: int) -> None:
        """Of any job, mostly in the attempt that it is at."""
        uuid = self.pick(self.jobs, which)
        known = self.model.jobs.get(uuid)
        attempt = max(0, (known.attempt if known else 0) + (what == "start") - (late == 0))
        match what:
            case "start":
                self.do(StartAttempt(uuid, attempt, "w"), self.model.start(uuid, attempt))
            case "lose":
                self.do(LoseAttempt(uuid, attempt), self.model.lose(uuid, attempt))
            case "progress":
                self.do(
                    UpdateProgress(uuid, attempt, percent),
                    self.model.progress(uuid, attempt, percent),
                )
            case _:
                self.end(uuid, attempt, well=what == "succeed")

    def end(self, uuid: str, attempt: int, *, well: bool) -> None:
        if well:
            self.do(SucceedJob(uuid, attempt), self.model.succeed(uuid, attempt))
        else:
            self.do(FailJob(uuid, attempt, "on fire"), self.model.fail(uuid, attempt))

    @rule(owner=OWNERS, which=WHICH)
    def cancel(self, owner: str, which: int) -> None:
        uuid = self.pick(self.jobs, which)
        self.do(CancelJob(owner, uuid), self.model.cancel(owner, uuid))

    @rule(
        owner=OWNERS,
        which=WHICH,
        key=st.sampled_from(["env", "team"]),
        value=st.sampled_from([None, "", "a", "b"]),
    )
    def label(self, owner: str, which: int, key: str, value: str | None) -> None:
        uuid = self.pick(self.jobs, which)
        labels, removed = ({}, (key,)) if value is None else ({key: value}, ())
        self.do(LabelJob(owner, uuid, labels, removed), self.labelled(owner, uuid, key, value))

    def labelled(self, owner: str, uuid: str, key: str, value: str | None) -> Refused:
        """Label it in the model."""
        return self.model.label(owner, uuid, key, value)

    @rule(workers=st.lists(st.tuples(WHICH, ENDINGS, PERCENTS), min_size=1, max_size=4))
    def work(self, workers: list[tuple[int, bool | None, list[int]]]) -> None:
        """Workers take up running jobs and report of them, so that jobs get on and do end."""
        for which, well, percents in workers:
            running = [uuid for uuid in self.jobs if self.is_running_leaf(uuid)]
            if not running:
                return
            uuid = running[which % len(running)]
            attempt = self.model.jobs[uuid].attempt + 1
            self.do(StartAttempt(uuid, attempt, "w"), self.model.start(uuid, attempt))
            for percent in percents:
                self.do(
                    UpdateProgress(uuid, attempt, percent),
                    self.model.progress(uuid, attempt, percent),
                )
            if well is not None:
                self.end(uuid, attempt, well=well)

    def is_running_leaf(self, uuid: str) -> bool:
        job = self.model.jobs[uuid]
        return job.state == "started" and not job.children

    @rule(reopen=st.booleans())
    def maintain(self, *, reopen: bool) -> None:
        if reopen:
            self.reopen()
        else:
            rebuilt = self.opened.rebuild()
            assert rebuilt.before == rebuilt.after

    def reopen(self) -> None:
        self.opened.close()
        self.opened = Opened(self.file, environment=self.ids, now=self.now)

    # What must hold

    @invariant()
    def views_say_what_the_model_says(self) -> None:
        with self.opened.snapshot() as snapshot:
            for owner in (ME, SOMEBODY_ELSE):
                check_views(self.model, snapshot, owner)
                self.check_progress(snapshot, owner)

    def check_progress(self, snapshot: Snapshot, owner: str) -> None:
        """It never goes back."""
        for tree in jobs_of(snapshot, owner):
            assert self.seen.get(tree.job.uuid, 0) <= tree.job.progress
            self.seen[tree.job.uuid] = tree.job.progress

    def teardown(self) -> None:
        try:
            self.check_the_end()
        finally:
            self.opened.close()
            self.directory.cleanup()

    def check_the_end(self) -> None:
        assert self.opened.replay().divergence is None
        live = self.opened.rows()
        assert {
            (owner, key, value, uuid)
            for owner, key, value, _, uuid in live["labels"]
            if not str(key).startswith(":")
        } == {
            (job.owner, *label, uuid)
            for uuid, job in self.model.jobs.items()
            for label in job.labels.items()
        }
        self.reopen()
        self.views_say_what_the_model_says()
        rebuilt = self.opened.rebuild()
        assert rebuilt.before == rebuilt.after
        assert live == self.opened.rows()
        self.views_say_what_the_model_says()
        assert self.opened.replay().divergence is None
        assert self.opened.failures == []


@pytest.mark.thorough
class TestHistories(Histories.TestCase):
    """Whatever is asked for in whatever order, the views say what a model of plain dicts says.

    Progress never goes back, a rebuild gives the live rows, an audit finds nothing, and after
    reopening everything is there.
    """

    settings = settings(max_examples=HISTORIES)
