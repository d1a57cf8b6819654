"""Removing the words of jobs."""

from collections.abc import Iterator

from ledger.domain.context import Change, Environment, State
from ledger.domain.decisions.jobs import own_job
from ledger.domain.decisions.producers.facts import fact
from ledger.domain.events.producers import JobTextsRemoved
from ledger.domain.producers.commands import RemoveTexts
from ledger.domain.producers.texts import DropTexts


def remove_texts(command: RemoveTexts, state: State, environment: Environment) -> Iterator[Change]:
    """Remove the words beside the job; record it if an event has any.

    Words of a report that is no event lie beside the job, too. Raise `JobNotFound`, `JobDiscarded`.
    """
    job = own_job(state, command.job, command.owner)
    if job.produced is not None and job.produced.has_texts:
        yield fact(job.uuid, JobTextsRemoved())
    yield DropTexts((job.uuid,))
