"""A ledger in which everything is discarded, and all commands and requests about it.

`ask_before` notes what is answered before a compaction; `check` compares at any moment of it.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, Self, get_args

import pytest
from aiohttp.test_utils import TestClient

from api.app import make_app
from api.composition import open_service
from api.doctor.checks import examine_service
from api.service.ids import new_id
from api.service.service import Service
from api.service.settings import Settings
from ledger.application import Ledger
from ledger.archives import Shelf
from ledger.domain.commands import Command
from ledger.domain.commands.drives import (
    CloneDrive,
    CompleteResize,
    CreateDrives,
    DeleteDrives,
    EditDrive,
    EditDrives,
    FailImage,
    FailResize,
    MarkDriveReady,
    NewDrive,
    ResizeDrive,
)
from ledger.domain.commands.housekeeping import (
    DiscardJobs,
    ParkStream,
    RecordArchive,
    RecordCompaction,
    RecordRestore,
    ReleaseStream,
    SetRetention,
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
from ledger.domain.commands.keypairs import CreateKeypairs, DeleteKeypair, EditKeypair, NewKeypair
from ledger.domain.commands.profiles import EditProfile
from ledger.domain.commands.servers import (
    ChangePower,
    CloneServer,
    CreateServers,
    DeleteServers,
    EditServer,
    EditServers,
    NewServer,
    ServerEdit,
)
from ledger.domain.commands.tags import CreateTags, DeleteTag, EditTag, NewTag
from ledger.domain.commands.tokens import IssueToken, RemoveTokens
from ledger.domain.errors import NotFound
from ledger.domain.events.housekeeping import ArchiveWritten
from ledger.domain.events.jobs import Resource
from ledger.domain.events.producers import JobAttemptFailed, JobCancelRequested
from ledger.domain.producers import commands as producers
from ledger.images.pools import Pool
from ledger.merkle.signed_note import read_checkpoint
from ledger.proofs.keys import signer_of
from ledger.proofs.verification import verify
from ledger.store.tables.tiles import gone_count
from ledger.store.whole_streams import tails
from projections.audit.replay import replay
from projections.maintenance.rebuild import rebuild
from projections.maintenance.retention import compaction
from projections.maintenance.retention.compaction import ARCHIVES
from projections.streams import compactions, pending_sweeps
from tests.api.calling import ALICE, AUDITOR, BOB, PUBLIC_KEY, ROOT, WORKER, Api, KnownAccounts
from tests.support.api_server import ApiServer
from tests.support.discarding import AT_ONCE, discard
from tests.support.postgres import record_pools_elsewhere
from tests.support.producing import DONE, HERE, registered, report
from tests.support.world import START, disk, machine, mount

KINDS = ("sweep", "compaction", "parking", "drive", "server", "tag", "keypair", "job")
"""All kinds of streams that are discarded."""


class Dead(NamedTuple):
    """What is discarded, one of each kind; `position` is from when all of it was there."""

    job: str
    child: str
    drive: str
    server: str
    tag: str
    keypair: str
    position: int


class Place(NamedTuple):
    """Where the ledger is."""

    data: Path
    store: str | None

    @property
    def pool(self) -> Pool:
        return Pool("main", self.data / "pools" / "main")

    @property
    def settings(self) -> Settings:
        return Settings(data=self.data, store=self.store, pools=(self.pool,), copying=False)


class Asking:
    """A service that has just started, and its client."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._opened = open_service(place.settings)
        self.api: Api
        self.service: Service

    async def __aenter__(self) -> Self:
        if self._place.store is not None:
            record_pools_elsewhere(self._place.store, self._place.settings)
        opened = await self._opened.__aenter__()
        self.service = replace(opened, accounts=KnownAccounts(ALICE, BOB, AUDITOR))
        self._client = TestClient(ApiServer(make_app(self.service)))
        await self._client.__aenter__()
        self.api = Api(self._client, self.service)
        return self

    async def __aexit__(self, *how: object) -> None:
        await self._client.__aexit__(*how)
        await self._opened.__aexit__(*how)


# What there is


async def make_dead(api: Api) -> Dead:
    """Make things and discard them all, in a ledger with acts of earlier runs."""
    ledger, retention = api.service.ledger, api.service.retention
    await api.do(SetRetention(AT_ONCE))
    for _ in range(2):  # so that there is a compaction that is not the newest
        await api.succeed(await api.job())
        retention.run()
    await api.do(
        ParkStream("job-that-left", "test", "it cannot be read"),
        ReleaseStream("job-that-left", skip=False),
    )
    dead = await _make_things(api)
    discard(ledger, api.service.new_id(), api.service.now())
    return dead


async def _make_things(api: Api) -> Dead:
    drive = await api.drive()
    server, copy, job, tag, keypair = (api.service.new_id() for _ in range(5))
    new_keypair = NewKeypair(keypair, "laptop", PUBLIC_KEY)
    with_key = machine(pubkeys=(keypair,))
    await api.do(
        CreateKeypairs(ALICE.uuid, (new_keypair,)),
        CreateServers(ALICE.uuid, (NewServer(server, with_key, (mount(drive),), (), "hush"),)),
        CreateTags(ALICE.uuid, (NewTag(tag, "fleet", {}, (drive, server)),)),
        CloneServer(ALICE.uuid, server, copy, job),
    )
    found = api.service.ledger.job(job)
    assert found is not None
    [child] = (child.uuid for child in found.children)
    await api.succeed(child)
    position = api.service.ledger.position
    await api.do(
        DeleteServers(ALICE.uuid, (server, copy), "all_drives"),
        DeleteTag(ALICE.uuid, tag),
        DeleteKeypair(ALICE.uuid, keypair),
    )
    return Dead(job, child, drive, server, tag, keypair, position)


def stops(service: Service) -> dict[str, int]:
    """Return how many events are gone when a stream of each kind has just lost its first."""
    with service.ledger.log() as log:
        [swept] = pending_sweeps(log)
        dead = {*swept.streams()}
        stored = [event for event in log.events() if event.stream in dead]
        gone = gone_count(log.cursor())
    longer = {event.stream for event in stored if event.version > 1}
    found: dict[str, int] = {}
    for number, event in enumerate(stored, gone + 1):
        if event.version == 1 and event.stream in longer:
            found.setdefault(event.stream.partition("-")[0], number)
    assert found.keys() == {*KINDS}
    return found


# Commands

OF_NOTHING_DEAD = {
    CreateKeypairs,
    EditProfile,
    IssueToken,
    ParkStream,
    RecordRestore,
    RemoveTokens,
    SetRetention,
}
"""Commands that name nothing that is ever discarded."""


def about(dead: Dead) -> list[Command]:
    """Return all other commands, about what is dead; none of them records anything."""
    me, job, drive, server, tag = ALICE.uuid, dead.child, dead.drive, dead.server, dead.tag
    nowhere = NewDrive("new", disk(storage_type="nowhere"))
    with_it = NewServer("new", machine(), (mount(drive),), (), "")
    with_key = NewServer("new", machine(pubkeys=(dead.keypair,)), (), (), "")
    return [
        CreateDrives(me, (nowhere,), "blank", (drive, server)),
        MarkDriveReady(drive),
        FailImage(drive, "why"),
        EditDrive(me, drive, name="new"),
        EditDrives((EditDrive(me, drive, name="new"),)),
        ResizeDrive(me, drive, 1 << 40),
        CompleteResize(drive),
        FailResize(drive, "on fire"),
        DeleteDrives(me, (drive,)),
        CloneDrive(me, drive, "new", "new job"),
        CreateServers(me, (with_it,)),
        CreateServers(me, (with_key,)),
        EditServer(me, server, ServerEdit(name="new")),
        EditServers((EditServer(me, server, ServerEdit(name="new")),)),
        ChangePower(me, server, "start"),
        DeleteServers(me, (server,)),
        CloneServer(me, server, "new", "new job"),
        CreateTags(me, (NewTag("new", "new", {}, (drive,)),)),
        EditTag(me, tag, name="new"),
        DeleteTag(me, tag),
        EditKeypair(me, dead.keypair, "new"),
        DeleteKeypair(me, dead.keypair),
        CreateJob(me, "new", "x", (Resource("drives", drive, "source"),)),
        CreateJob(me, "new", "x", parent=dead.job),
        CancelJob(me, dead.job),
        CancelJob(me, job),
        StartAttempt(job, 2, "w"),
        LoseAttempt(job, 1),
        UpdateProgress(job, 1, 100),
        SucceedJob(job, 1),
        FailJob(job, 1, "on fire"),
        LabelJob(me, job, {"env": "prod"}),
        *(
            producers.RegisterJob(me, each, "x", registered(), None, HERE, chosen=True)
            for each in (dead.job, job)
        ),
        producers.RegisterJob(me, "new", "x", registered(), dead.job, HERE),
        producers.TakeUpJob(job, 0, HERE),
        producers.ReportProgress(job, report(1)),
        producers.ReturnAttempt(job, 1),
        producers.LoseProducer(job, 1),
        producers.FailAttempt(job, JobAttemptFailed(1, START)),
        producers.EndJob(job, 1, DONE),
        producers.RequestCancel(me, job, JobCancelRequested(60)),
        producers.SettleJob(job),
        producers.SeeCancel(job, 1),
        producers.ForceEnd(me, job),
        producers.SealJob(me, job),
        producers.AbandonJob(job, 1),
        producers.RemoveTexts(me, job),
        DiscardJobs("new", timedelta(1), START, 0, (), (), ()),
        RecordArchive("new", ArchiveWritten("never", "", 0, 0, 0, ("never",))),
        RecordCompaction("never", 0),
        ReleaseStream("job-that-left", skip=True),
    ]


async def outcomes(service: Service, dead: Dead) -> list[type[Exception] | None]:
    """Return how each of these commands ends."""
    asked = about(dead)
    assert {*map(type, asked), *OF_NOTHING_DEAD} == {*get_args(Command)}
    found: list[type[Exception] | None] = []
    before = service.ledger.position
    for command in asked:
        try:
            await service.ledger.execute(command, WORKER)
            found.append(None)
        except Exception as error:  # noqa: BLE001 - its kind is compared
            found.append(type(error))
    assert service.ledger.position == before
    return found


# Requests

Answers = dict[str, tuple[int, bytes]]
"""Status and body by method and URL; the body only of what is about one thing, or the past."""


async def answers(api: Api, dead: Dead) -> Answers:
    found: Answers = {}
    for method, url in _urls(api, dead):
        by = AUDITOR if "/ledger/" in url or "owner=" in url else ALICE
        body = {} if method in ("POST", "PUT") else None
        answer = await api.call(method, url, json=body, by=by)
        lasting = any(uuid in url for uuid in dead[:-1]) or "as_of" in url or "proofs" in url
        found[f"{method} {url}"] = answer.status, answer.body if lasting else b""
    return found


def _urls(api: Api, dead: Dead) -> Iterator[tuple[str, str]]:
    """Each URL of the router that is read, and each with a uuid whatever the method."""
    uuids = {"jobs": [dead.job, dead.child], "drives": [dead.drive], "libdrives": [dead.drive]}
    uuids |= {"servers": [dead.server], "tags": [dead.tag]}
    uuids |= {"keypairs": [dead.keypair], "pubkeys": [dead.keypair]}
    for route in api.client.server.app.router.routes():
        assert route.resource is not None
        url = route.resource.canonical
        if not url.startswith(ROOT) or url.endswith(("/", "websocket")):
            continue
        kind = url.removeprefix(f"{ROOT}/").partition("/")[0]
        url = url.replace("{kind}", "drives") + _query(url, dead)
        if "{uuid}" in url:
            for uuid in uuids.get(kind, [dead.drive]):
                yield route.method, url.replace("{uuid}", uuid)
        elif route.method in ("GET", "HEAD"):
            yield route.method, url
    for url in ("/jobs", f"/jobs/{dead.job}", f"/jobs/{dead.child}"):
        yield "GET", f"{ROOT}{url}?as_of={dead.position}"


def _query(url: str, dead: Dead) -> str:
    """What the URL needs to be asked."""
    if url.endswith("/inclusion"):
        return f"?leaf=0&size={dead.position}"
    if url.endswith("/consistency"):
        return f"?old=1&new={dead.position}"
    if url.endswith("/action"):
        return "?do=cancel" if "/jobs/" in url else "?do=clone"
    return ""


# All of it

OF_THIS_MACHINE = {"disk", "pool-space", "open-files", "fsync", "full-page-writes"}
"""Checks of the doctor whose findings are no fault of the ledger."""


class Before(NamedTuple):
    """What was answered when nothing was archived, and a checkpoint of then."""

    outcomes: list[type[Exception] | None]
    answers: Answers
    note: str


async def ask_before(asking: Asking, dead: Dead) -> Before:
    return Before(
        await outcomes(asking.service, dead),
        await answers(asking.api, dead),
        asking.service.checkpoints.sign(),
    )


async def check(asking: Asking, dead: Dead, before: Before) -> None:
    """Check that everything is answered as before or with 404, and that the ledger is sound."""
    service = asking.service
    now = await outcomes(service, dead)
    for command, was, is_ in zip(about(dead), before.outcomes, now, strict=True):
        assert is_ is was or (is_ is not None and issubclass(is_, NotFound)), (command, was, is_)
    for url, answer in (await answers(asking.api, dead)).items():
        assert answer[0] == 404 or answer == before.answers[url], (url, answer)
    await asyncio.to_thread(check_sound, service, before.note)


def check_sound(service: Service, note: str) -> None:
    """Check the ledger by a rebuild, replays, a verification and the doctor."""
    rebuilt = rebuild(service.ledger, _silent)
    assert rebuilt.before == rebuilt.after
    archives = service.data / ARCHIVES
    for there in (None, archives):
        assert replay(service.ledger.log, _silent, there).divergence is None
    verifier = signer_of(service.data, new_id=service.new_id).verifier
    checkpoint, shelf = read_checkpoint(note.encode(), verifier), Shelf(archives)
    with service.ledger.log() as log:
        verified = verify(log, shelf, checkpoint, verifier, names=shelf.names())
        left = tails(log.cursor())
    assert verified.intact, verified.findings
    found = examine_service(service)
    wrong = [one for one in found.checks if one.problems and one.name not in OF_THIS_MACHINE]
    assert not wrong, wrong
    assert found.retention is not None
    deleting = found.retention.deleting
    assert (deleting.tails if deleting else []) == left


def _silent(done: int, total: int) -> None:
    pass


# The compaction


def compact_until(ledger: Ledger, archives: Path, gone: int, stopped: Callable[[], bool]) -> None:
    """Compact event by event until so many are gone, then do what `stopped` does."""

    def stopping() -> bool:
        return ledger.read(gone_count) >= gone and stopped()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "DELETED_AT_ONCE", 1)
        patch.setattr(compaction, "SLICE_S", 0.0)
        assert ledger.maintenance.acquire()
        try:
            compaction.compact(ledger, archives, new_id, stopping=stopping)
        finally:
            ledger.maintenance.release()


def is_over(service: Service) -> bool:
    """Whether everything that was discarded is in an archive, and in the store no more."""
    with service.ledger.log() as log:
        return not pending_sweeps(log) and all(one.gone is not None for one in compactions(log))
