"""Whatever is done in whichever order, what the writer remembers is what is there, and lasts.

Commands of the kinds that a model of dicts does not know (`tests/projections/test_model.py`):
addresses, keypairs, tags from the beginning, several changes at once, starts after a clone.
"""

from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random

import pytest

from ledger.domain.aggregates.job import Job
from ledger.domain.commands import Command
from ledger.domain.commands.drives import (
    CloneDrive,
    CompleteResize,
    CreateDrives,
    DeleteDrives,
    EditDrive,
    EditDrives,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.commands.jobs import CancelJob, FailJob, StartAttempt, SucceedJob, UpdateProgress
from ledger.domain.commands.keypairs import CreateKeypairs, DeleteKeypair, NewKeypair
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
from ledger.domain.commands.tags import CreateTags, DeleteTag, NewTag
from ledger.domain.errors import Refusal
from ledger.domain.events.jobs import job_stream
from ledger.domain.events.servers import IpConf, Nic
from ledger.domain.quotas import Quotas
from ledger.store.seam import Cursor
from ledger.store.state_cache import StateCache
from projections.tables import IpRow
from tests.support.opened import Opened
from tests.support.world import GIB, ME, SOMEBODY_ELSE, Foreseen, disk, machine, mount

COMMANDS = 400
QUOTAS = Quotas(
    drives=40,
    servers=12,
    addresses=7,
    tags=5,
    keypairs=4,
    unfinished_uploads=2,
    jobs_running=8,
    jobs_kept=100,
)
NETWORK = "10.9.0.0/28"
"""So small that starts are refused for want of an address."""


class Happenings:
    """Commands of two accounts, most of which make sense."""

    def __init__(self, opened: Opened, chance: Random) -> None:
        self._opened = opened
        self._chance = chance
        self._made: dict[tuple[str, str], list[str]] = {}
        self._making: list[tuple[str, str, str]] = []
        self._numbers = count(1)
        self.outcomes: Counter[str] = Counter()

    def happen(self) -> None:
        """Let one thing happen."""
        owner = self._chance.choice([ME, ME, SOMEBODY_ELSE])
        happening: Callable[[str], Command] = self._chance.choice(
            [
                self._create_drives,
                self._create_server,
                self._create_tag,
                self._create_keypair,
                self._clone_server,
                self._clone_drive,
                self._switch,
                self._switch,
                self._edit_drives,
                self._edit_servers,
                self._delete,
                self._end_job,
                self._end_job,
                self._finish,
                self._finish,
            ]
        )
        self._do(happening(owner))

    def _do(self, command: Command) -> None:
        try:
            self._opened.do(command)
        except Refusal as refusal:
            self.outcomes[type(refusal).__name__] += 1
        else:
            self.outcomes[type(command).__name__] += 1
            for kind, owner, uuid in self._making:
                self._made.setdefault((kind, owner), []).append(uuid)
        self._making.clear()

    def _new(self, kind: str, owner: str) -> str:
        uuid = f"{kind}-{next(self._numbers)}"
        self._making.append((kind, owner, uuid))
        return uuid

    def _some(self, kind: str, owner: str, most: int = 2) -> tuple[str, ...]:
        """Return some of the newest that were made, some of which may be gone."""
        made = self._newest(kind, owner)
        return tuple(self._chance.sample(made, min(len(made), self._chance.randint(0, most))))

    def _one(self, kind: str, owner: str) -> str:
        return self._chance.choice(self._newest(kind, owner) or ["none"])

    def _newest(self, kind: str, owner: str) -> list[str]:
        return self._made.get((kind, owner), [])[-5:]

    def _nic(self) -> Nic:
        mac = f"22:00:00:00:00:{self._chance.randrange(256):02x}"
        static = IpConf("static", f"10.9.0.{self._chance.randint(2, 5)}")
        return Nic(mac, ip_v4_conf=self._chance.choice([IpConf("dhcp"), IpConf("dhcp"), static]))

    def _create_drives(self, owner: str) -> Command:
        new = tuple(
            NewDrive(self._new("drive", owner), disk(allow_multimount=True), tags=tags)
            for tags in (self._some("tag", owner, 1), ())
        )
        return CreateDrives(owner, new, self._chance.choice(["blank", "blank", "chunked"]))

    def _create_server(self, owner: str) -> Command:
        keys, start = self._some("keypair", owner), self._chance.random() < 1 / 2
        definition = machine(pubkeys=keys, auto_start=start)
        drives = self._some("drive", owner)
        mounts = tuple(mount(drive, nth) for nth, drive in enumerate(drives))
        nics = (self._nic(),) if self._chance.random() < 2 / 3 else ()
        tags, server = self._some("tag", owner), self._new("server", owner)
        return CreateServers(owner, (NewServer(server, definition, mounts, nics, "", tags),))

    def _create_tag(self, owner: str) -> Command:
        resources = (*self._some("drive", owner), *self._some("server", owner))
        tag = NewTag(self._new("tag", owner), "tag", {}, resources)
        return CreateTags(owner, (tag,))

    def _create_keypair(self, owner: str) -> Command:
        keypair = NewKeypair(self._new("keypair", owner), "key", "ssh-rsa AAAA")
        return CreateKeypairs(owner, (keypair,))

    def _clone_server(self, owner: str) -> Command:
        edit = ServerEdit(pubkeys=self._chance.choice([None, self._some("keypair", owner)]))
        server, job = self._new("server", owner), self._new("job", owner)
        return CloneServer(owner, self._one("server", owner), server, job, edit)

    def _clone_drive(self, owner: str) -> Command:
        drive, job = self._new("drive", owner), self._new("job", owner)
        tags = self._some("tag", owner)
        return CloneDrive(owner, self._one("drive", owner), drive, job, tags=tags)

    def _switch(self, owner: str) -> Command:
        action = self._chance.choice(["start", "start", "stop", "restart"])
        return ChangePower(owner, self._one("server", owner), action)

    def _edit_drives(self, owner: str) -> Command:
        size, tags = self._chance.choice([None, 2 * GIB]), self._some("tag", owner)
        edits = (
            EditDrive(owner, each, name="n", size=size, tags=tags)
            for each in self._some("drive", owner)
        )
        return EditDrives(tuple(edits))

    def _edit_servers(self, owner: str) -> Command:
        edit = ServerEdit(pubkeys=self._chance.choice([None, self._some("keypair", owner)]))
        servers, tags = self._some("server", owner), self._some("tag", owner)
        edits = (EditServer(owner, each, edit, nics=(self._nic(),), tags=tags) for each in servers)
        return EditServers(tuple(edits))

    def _delete(self, owner: str) -> Command:
        commands: tuple[Command, ...] = (
            DeleteDrives(owner, (self._one("drive", owner),)),
            DeleteServers(owner, (self._one("server", owner),), "all_drives"),
            DeleteTag(owner, self._one("tag", owner)),
            DeleteKeypair(owner, self._one("keypair", owner)),
            CancelJob(owner, self._one("job", owner)),
        )
        return self._chance.choice(commands)

    def _end_job(self, owner: str) -> Command:
        """Begin an attempt at a job without sub-jobs, or end it."""
        job = self._opened.current(job_stream(self._leaf(owner)))
        if not isinstance(job, Job) or not job.attempt:
            return StartAttempt("none" if not isinstance(job, Job) else job.uuid, 1, "w")
        ends: tuple[Command, ...] = (
            UpdateProgress(job.uuid, 1, max(50, job.progress), 5, 10, 5, 0),
            SucceedJob(job.uuid, 1),
            SucceedJob(job.uuid, 1),
            FailJob(job.uuid, 1, "on fire"),
        )
        return self._chance.choice(ends)

    def _leaf(self, owner: str) -> str:
        job = self._opened.current(job_stream(self._one("job", owner)))
        if isinstance(job, Job) and job.children:
            return self._chance.choice([*job.children]).uuid
        return "none" if job is None else job.uuid

    def _finish(self, owner: str) -> Command:
        """Make an image, or let it grow."""
        drive = self._one("drive", owner)
        return self._chance.choice([MarkDriveReady(drive), CompleteResize(drive)])


def cache_of(opened: Opened) -> StateCache:
    """The writer's, to be looked at while it rests."""
    return opened.ledger._writer._committed.cache


def check_memory(opened: Opened) -> None:
    """Check that the writer's cache and its counts are as what is stored."""
    cache, projection = cache_of(opened), opened.projection()

    def check(cursor: Cursor) -> None:
        for uuid, ((_, relations), _) in cache._relations._kept.items():
            assert projection.relations(cursor, uuid) == relations, uuid
        for stream, (cached, _) in cache._streams._kept.items():
            assert cache._read_stream(stream, cursor) == cached, stream
        counts = cache._counts._counted
        for (owner, kind), counted in counts.items():
            assert projection.count(cursor, owner=owner, kind=kind) == counted.number, (owner, kind)
        assert len(counts) > 5

    opened.ledger.read(check)


def check_shown(opened: Opened) -> None:
    """Check that no address is used twice, and that nothing has what is gone."""
    rows = opened.rows()
    ips = [IpRow(*row) for row in rows["ips"]]
    assert len({(ip.owner, ip.uuid) for ip in ips}) == len(ips)
    drives, keypairs, servers = [
        {str(row[0]): str(row[1]) for row in rows[kind]}
        for kind in ("drives", "keypairs", "servers")
    ]
    with opened.snapshot() as snapshot:
        for owner in set(servers.values()):
            for server in snapshot.servers_among(list(servers), owner):
                assert drives.keys() >= {mount.drive for mount in server.mounts}
                assert keypairs.keys() >= set(server.definition.pubkeys)


@pytest.mark.parametrize("nth", range(3))
@pytest.mark.thorough
def test_any_history_is_remembered_as_it_is_stored(tmp_path: Path, seed: int, nth: int) -> None:
    """And as it is rebuilt and replayed."""
    environment = Foreseen(quotas=QUOTAS, addresses=NETWORK)
    with Opened(tmp_path / "ledger.sqlite", environment=environment) as opened:
        happenings = Happenings(opened, Random(seed + nth))  # noqa: S311 - no secrets
        for _ in range(COMMANDS):
            happenings.happen()
        check_memory(opened)
        check_shown(opened)
        assert len(happenings.outcomes) > 24, happenings.outcomes
        before = opened.rows()
        assert opened.replay().divergence is None
        rebuilt = opened.rebuild()
        assert rebuilt.before == rebuilt.after
        assert opened.rows() == before
