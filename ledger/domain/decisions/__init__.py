"""The decisions by topic, and the table that says which one answers which command."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_type_hints

from ledger.domain.commands import Command
from ledger.domain.context import Change, Environment, Fact, State
from ledger.domain.decisions import (
    change,
    clone,
    create,
    delete,
    housekeeping,
    jobs,
    keypairs,
    power,
    tags,
    tokens,
)
from ledger.domain.decisions.producers import attempts, cancels, ends, losses, registration, texts
from ledger.domain.decisions.room import require_room
from ledger.domain.quotas import begun_by, check_quota

Decision = Callable[[Any, State, Environment], Iterator[Change]]
"""A generator of the changes that a command brings about in a state."""

_DECISIONS: Mapping[type[Command], Decision] = {
    get_type_hints(decision)["command"]: decision
    for decision in (
        create.create_drives,
        create.mark_drive_ready,
        create.fail_image,
        change.edit_drive,
        change.edit_drives,
        change.resize_drive,
        change.complete_resize,
        change.fail_resize,
        delete.delete_drives,
        clone.clone_drive,
        create.create_servers,
        change.edit_server,
        change.edit_servers,
        power.change_power,
        delete.delete_servers,
        clone.clone_server,
        tags.create_tags,
        tags.edit_tag,
        tags.delete_tag,
        keypairs.create_keypairs,
        keypairs.edit_keypair,
        keypairs.delete_keypair,
        change.edit_profile,
        tokens.issue_token,
        tokens.remove_tokens,
        jobs.create_job,
        jobs.cancel_job,
        jobs.label_job,
        jobs.start_attempt,
        jobs.lose_attempt,
        jobs.update_progress,
        jobs.succeed_job,
        jobs.fail_job,
        registration.register_job,
        attempts.take_up_job,
        attempts.report_progress,
        losses.return_attempt,
        losses.lose_producer,
        attempts.fail_attempt,
        ends.end_job,
        cancels.request_cancel,
        cancels.settle_job,
        cancels.see_cancel,
        cancels.force_end,
        ends.seal_job,
        losses.abandon_job,
        texts.remove_texts,
        housekeeping.set_retention,
        housekeeping.discard_jobs,
        housekeeping.record_archive,
        housekeeping.record_compaction,
        housekeeping.record_restore,
        housekeeping.park_stream,
        housekeeping.release_stream,
    )
}
"""By the type of the command that each decision takes."""

assert _DECISIONS.keys() == set(get_args(Command)), "each command has one decision"


def decide(command: Command, state: State, environment: Environment) -> Iterator[Change]:
    """Yield the changes that the command brings about in this state; pure.

    Raise a `Refusal`, before, between or after changes, or `StoreFull`; then none of them may be
    kept. What it makes is within the owner's quotas.
    """
    require_room(command, state)
    check_changes = tags.changes_checked(command, environment.quotas)
    for decided in _DECISIONS[type(command)](command, state, environment):
        yield decided
        if isinstance(decided, Fact):
            for holding in begun_by(decided.event):
                check_quota(holding, state, environment.quotas)
            tags.check_tagging(decided, state, environment.quotas)
            check_changes(decided)
