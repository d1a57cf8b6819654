"""Which decision answers which command."""

from collections.abc import Iterator
from typing import assert_never

from ledger import commands as c
from ledger.clone import clone_drive, clone_server
from ledger.creation import create_drives, create_servers, mark_drive_ready
from ledger.removal import delete_drives, delete_servers
from ledger.reports import create_job, fail_job, start_attempt, succeed_job, update_progress
from ledger.world import Change, Circumstances, World


def decide(command: c.Command, world: World, circumstances: Circumstances) -> Iterator[Change]:
    """What the command brings about in this world; pure.

    Raises a `Refusal`, before or between changes; then none of them may be kept.
    """
    match command:
        case c.UpdateProgress():
            return update_progress(command, world)
        case c.StartAttempt():
            return start_attempt(command, world)
        case c.SucceedJob():
            return succeed_job(command, world)
        case c.FailJob():
            return fail_job(command, world)
        case c.CloneDrive():
            return clone_drive(command, world, circumstances)
        case c.CloneServer():
            return clone_server(command, world, circumstances)
        case c.CreateDrives():
            return create_drives(command, world, circumstances)
        case c.MarkDriveReady():
            return mark_drive_ready(command, world)
        case c.DeleteDrives():
            return delete_drives(command, world)
        case c.CreateServers():
            return create_servers(command, world)
        case c.DeleteServers():
            return delete_servers(command, world)
        case c.CreateJob():
            return create_job(command, world)
        case _:
            assert_never(command)
