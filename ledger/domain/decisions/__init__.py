"""Which decision answers which command."""

from collections.abc import Iterator
from typing import assert_never

from ledger.domain import commands as c
from ledger.domain.context import Change, Environment, State
from ledger.domain.decisions.change import (
    complete_resize,
    edit_drive,
    edit_profile,
    edit_server,
    fail_resize,
    resize_drive,
)
from ledger.domain.decisions.clone import clone_drive, clone_server
from ledger.domain.decisions.create import create_drives, create_servers, mark_drive_ready
from ledger.domain.decisions.delete import delete_drives, delete_servers
from ledger.domain.decisions.housekeeping import (
    discard_jobs,
    park_stream,
    record_archive,
    record_compaction,
    record_restore,
    release_stream,
    set_retention,
)
from ledger.domain.decisions.jobs import (
    cancel_job,
    create_job,
    fail_job,
    lose_attempt,
    start_attempt,
    succeed_job,
    update_progress,
)
from ledger.domain.decisions.power import change_power
from ledger.domain.decisions.tags import create_tags, delete_tag, edit_tag


def decide(command: c.Command, state: State, environment: Environment) -> Iterator[Change]:
    """What the command brings about in this state; pure.

    Raises a `Refusal`, before or between changes; then none of them may be kept.
    """
    match command:
        case c.UpdateProgress():
            return update_progress(command, state)
        case c.StartAttempt():
            return start_attempt(command, state)
        case c.LoseAttempt():
            return lose_attempt(command, state)
        case c.SucceedJob():
            return succeed_job(command, state)
        case c.FailJob():
            return fail_job(command, state)
        case c.CloneDrive():
            return clone_drive(command, state, environment)
        case c.CloneServer():
            return clone_server(command, state, environment)
        case c.CreateDrives():
            return create_drives(command, state, environment)
        case c.MarkDriveReady():
            return mark_drive_ready(command, state)
        case c.EditDrive():
            return edit_drive(command, state)
        case c.ResizeDrive():
            return resize_drive(command, state)
        case c.CompleteResize():
            return complete_resize(command, state)
        case c.FailResize():
            return fail_resize(command, state)
        case c.DeleteDrives():
            return delete_drives(command, state)
        case c.CreateServers():
            return create_servers(command, state)
        case c.EditServer():
            return edit_server(command, state)
        case c.ChangePower():
            return change_power(command, state, environment)
        case c.DeleteServers():
            return delete_servers(command, state)
        case c.CreateTags():
            return create_tags(command, state)
        case c.EditTag():
            return edit_tag(command, state)
        case c.DeleteTag():
            return delete_tag(command, state)
        case c.EditProfile():
            return edit_profile(command, state)
        case c.CreateJob():
            return create_job(command, state)
        case c.CancelJob():
            return cancel_job(command, state)
        case c.SetRetention():
            return set_retention(command, state)
        case c.DiscardJobs():
            return discard_jobs(command, state)
        case c.RecordArchive():
            return record_archive(command, state)
        case c.RecordCompaction():
            return record_compaction(command, state)
        case c.RecordRestore():
            return record_restore(command, state)
        case c.ParkStream():
            return park_stream(command, state)
        case c.ReleaseStream():
            return release_stream(command, state)
        case _:
            assert_never(command)
