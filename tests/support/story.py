"""A short history in which most things happen: a ledger worth rebuilding and auditing."""

from ledger.domain.commands import Command
from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    EditDrive,
    MarkDriveReady,
    NewDrive,
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
from ledger.domain.commands.keypairs import CreateKeypairs, DeleteKeypair, NewKeypair
from ledger.domain.commands.profiles import EditProfile
from ledger.domain.commands.servers import (
    ChangePower,
    CloneServer,
    CreateServers,
    DeleteServers,
    NewServer,
)
from ledger.domain.commands.tags import CreateTags, DeleteTag, NewTag
from ledger.domain.events.jobs import Resource
from ledger.domain.events.servers import IpConf, Nic
from tests.support.producing import PRODUCED
from tests.support.world import ME, SOMEBODY_ELSE, cdrom, disk, machine, mount

DHCP = Nic("22:00:00:00:00:01", ip_v4_conf=IpConf("dhcp"))

STORY: tuple[Command, ...] = (
    CreateDrives(
        ME,
        (
            NewDrive("a", disk("a")),
            NewDrive("b", disk("b", storage_type="zadara")),
            NewDrive("cd", cdrom()),
            NewDrive("gone", disk("gone")),
        ),
        "blank",
    ),
    CreateDrives(SOMEBODY_ELSE, (NewDrive("theirs", disk("theirs")),), "blank"),
    *(MarkDriveReady(uuid) for uuid in ("a", "b", "cd", "gone")),
    CreateServers(
        ME,
        (
            NewServer(
                "s",
                machine("s"),
                (mount("a"), mount("b", 1), mount("cd", 2), mount("gone", 3)),
                (),
                "hush",
            ),
            NewServer("t", machine("t"), (mount("cd"),), (), "hush"),
        ),
    ),
    DeleteDrives(ME, ("gone",)),
    # a server clone that succeeds: drives new-1 and new-3, jobs new-2 and new-4
    CloneServer(ME, "s", "s2", "clone-of-s"),
    StartAttempt("new-2", 1, "w"),
    UpdateProgress("new-2", 1, 30, 3, 10, 3),
    StartAttempt("new-4", 1, "w"),
    LoseAttempt("new-2", 1),
    StartAttempt("new-2", 2, "w"),
    UpdateProgress("new-2", 2, 60, 6, 10, 6),
    SucceedJob("new-2", 2),
    SucceedJob("new-4", 1),
    # one that fails: drives new-5 and new-7, jobs new-6 and new-8
    CloneServer(ME, "s", "s3", "failing-clone-of-s"),
    StartAttempt("new-6", 1, "w"),
    StartAttempt("new-8", 1, "w"),
    FailJob("new-6", 1, "on fire"),
    SucceedJob("new-8", 1),
    # one that still runs: drives new-9 and new-11, jobs new-10 and new-12
    CloneServer(ME, "s", "s4", "running-clone-of-s"),
    StartAttempt("new-10", 1, "w"),
    UpdateProgress("new-10", 1, 41, 41, 100, 41),
    CloneServer(ME, "t", "t2", "clone-of-t"),
    CloneDrive(ME, "a", "a2", "clone-of-a", name="a2"),
    StartAttempt("clone-of-a", 1, "w"),
    FailJob("clone-of-a", 1, "on fire"),
    # four deep
    CreateJob(ME, "root", "x", (Resource("servers", "t", "source"),)),
    CreateJob(ME, "branch", "x", parent="root"),
    CreateJob(ME, "twig", "x", parent="branch"),
    CreateJob(ME, "leaf", "x", parent="twig"),
    CreateJob(ME, "other-leaf", "x", parent="twig"),
    StartAttempt("leaf", 1, "w"),
    SucceedJob("leaf", 1),
    StartAttempt("other-leaf", 1, "w"),
    LoseAttempt("other-leaf", 1),
    DeleteServers(ME, ("t2",), "none"),
    CreateJob(SOMEBODY_ELSE, "their-job", "x"),
    CreateTags(ME, (NewTag("fleet", "fleet", {"k": "v"}, ("a", "s")), NewTag("old", "old"))),
    DeleteTag(ME, "old"),
    EditProfile(ME, {"phone": '"1"'}, "COUNTER"),
    EditDrive(ME, "a", name="renamed", tags=()),
    ChangePower(ME, "t", "start"),
    CloneDrive(ME, "cd", "cd2", "cancelled-clone"),
    CancelJob(ME, "cancelled-clone"),
    CreateKeypairs(ME, (NewKeypair("key", "key", "ssh-rsa AAAA"), NewKeypair("lost", "l", "k"))),
    CreateServers(
        ME, (NewServer("u", machine("u", pubkeys=("key", "lost")), (), (DHCP,), "hush"),)
    ),
    ChangePower(ME, "u", "start"),
    DeleteKeypair(ME, "lost"),
    *PRODUCED,
    # labels of a job that runs, and of one that has ended
    LabelJob(ME, "root", {"env": "prod", "example.test/team": "a"}),
    LabelJob(ME, "root", {"env": "test"}, ("example.test/team",)),
    LabelJob(ME, "clone-of-s", {"env": "prod", "note": ""}),
)
