"""Registering jobs of producers."""

from collections.abc import Iterator

from msgspec.structs import replace

from ledger.domain.aggregates.job import Job
from ledger.domain.context import Change, Environment, State
from ledger.domain.decisions.jobs import check_labels
from ledger.domain.decisions.producers.ancestors import future_parent
from ledger.domain.decisions.producers.ends import (
    check_reason,
    end_job,
    record_end,
    seal_if_complete,
)
from ledger.domain.decisions.producers.facts import fact, fact_told, new_attempt
from ledger.domain.decisions.producers.lookup import instance_of
from ledger.domain.errors import producers as errors
from ledger.domain.errors.jobs import JobDiscarded
from ledger.domain.events.jobs import ChildAttached, JobCreated
from ledger.domain.events.producers import JobRegistered, Topic
from ledger.domain.operations import OPERATIONS
from ledger.domain.producers.commands import EndJob, RegisterJob
from ledger.domain.producers.external_ids import ExternalId


def register_job(command: RegisterJob, state: State, environment: Environment) -> Iterator[Change]:
    """Register the job, unless it is registered; begin and end it as far as the command says.

    The external id finds it, whatever uuid the command has.

    Raise `Reserved`, `ReasonReserved`, `NobodyWorks`, `BadLabel`, `TooManyLabels`, `UuidTaken`,
    `JobDiscarded`, `AlreadyRegistered`, `RecordedBefore`, and what the parent refuses, or the end.
    """
    _check_registration(command)
    command = _named(command, state)
    known = state.job(command.job)
    _check_is_kept(command, known, state)
    if known is None:
        yield from _create(command, state)
        return
    _check_is_same(known, command)
    if command.once:
        raise errors.RecordedBefore(command.job)
    if command.end is not None:
        yield from end_job(EndJob(command.job, known.attempt, command.end), state, environment)


def _check_registration(command: RegisterJob) -> None:
    """Refuse what no job can be, whatever is registered already."""
    if command.operation in OPERATIONS:
        raise errors.Reserved(command.operation)
    if command.end is not None:
        check_reason(command.end)
        if command.holder is None:
            raise errors.NobodyWorks(command.job)
    check_labels(command.registered.labels)


def _check_is_kept(command: RegisterJob, known: Job | None, state: State) -> None:
    """Refuse a job that was discarded, and the uuid that it had."""
    may_be_gone = command.chosen if known is None else known.ended is not None
    if may_be_gone and state.is_spent(command.job):
        if state.spent_owner(command.job) != command.owner:
            raise errors.UuidTaken(command.job)
        raise JobDiscarded(command.job)


def _create(command: RegisterJob, state: State) -> Iterator[Change]:
    """Begin the job, and its attempt if somebody works on it; end it if it is over."""
    registered = command.registered
    if command.holder is not None and registered.ends == "children":
        raise errors.NobodyWorks(command.job)
    root, ordinal = command.job, 0
    if command.parent is not None:
        above = future_parent(state, command.parent, command.owner)
        root, ordinal = above.root, len(above.children)
    yield fact(
        command.job,
        JobCreated(command.operation, command.owner, (), root, command.parent, ordinal),
    )
    happened_at = min(state.now, registered.happened_at)
    about = tuple(each for each in registered.about if _is_own(state, each, command.owner))
    yield fact(command.job, replace(registered, happened_at=happened_at, about=about))
    if command.parent is not None:
        yield fact(command.parent, ChildAttached(command.job))
        yield from seal_if_complete(state, command.parent)
    if command.holder is not None:
        yield fact_told(state, command.job, new_attempt(1, command.holder, happened_at))
    if command.end is not None:
        yield from record_end(state, command.job, command.end)


def _is_own(state: State, topic: Topic, owner: str) -> bool:
    """Return whether this is a drive or server of the account."""
    found = state.drive(topic.uuid) if topic.kind == "drives" else state.server(topic.uuid)
    return found is not None and found.owner == owner


def _named(command: RegisterJob, state: State) -> RegisterJob:
    """Let the command be about the job that has its external id, if there is one."""
    registered = command.registered
    if registered.external_id is None:
        return command
    external = ExternalId(command.owner, registered.source, registered.external_id)
    found = state.registered_as(external)
    return command if found is None else replace(command, job=found)


def _check_is_same(known: Job, command: RegisterJob) -> None:
    """Check that this process has registered the same before, or wants no attempt at it.

    What else it may say of the job belongs to an attempt, and is not compared.
    """
    produced, wanted = known.produced, command.registered
    if produced is None or known.owner != command.owner:
        raise errors.UuidTaken(command.job)
    registered = produced.registered
    parent, below = known.parent or registered.was_below, command.parent or wanted.was_below
    if (known.operation, parent, registered.source, registered.external_id) != (
        command.operation,
        below,
        wanted.source,
        wanted.external_id,
    ) or registered.ends != wanted.ends:
        if wanted.external_id is not None and _is_named_alike(registered, wanted):
            raise errors.AlreadyRegistered(command.job, known.attempt)
        raise errors.UuidTaken(command.job)
    if command.holder is not None and instance_of(produced.holder) != command.holder.instance:
        raise errors.AlreadyRegistered(command.job, known.attempt)


def _is_named_alike(registered: JobRegistered, wanted: JobRegistered) -> bool:
    return (registered.source, registered.external_id) == (wanted.source, wanted.external_id)
