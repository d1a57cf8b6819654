"""What jobs are found by besides their labels, as rows of the same table. Pure.

Each facet has a key that no label can have. One index serves them all, in the order in which jobs
were created; none of them changes with a mere report of progress.
"""

import hashlib
from collections.abc import Iterator
from typing import Literal, get_args

from ledger.domain.aggregates.job import Job
from ledger.domain.producers.conditions import (
    may_have_children_running,
    overdue_since,
    recorded_conditions,
    state_of,
)

Facet = Literal["state", "condition", "operation", "source", "series", "subject", "host"]
KEYS: dict[Facet, str] = {facet: f":{facet}" for facet in get_args(Facet)}
STATE, CONDITION = KEYS["state"], KEYS["condition"]
OPERATION = KEYS["operation"]
RESOURCE = ":resource"
"""The key of the account's drives and servers that a producer's job is about and does not lock.

Besides what jobs of ours name, `?resource=` of `/api/2.0/jobs/` reads it, and nothing else.
"""

LONG_BYTES = 800
"""A longer value is found by its digest: PostgreSQL's indexes take no longer rows than 2.7 kB."""


def facets(job: Job) -> Iterator[tuple[str, str]]:
    """Yield the job's facets, as key and value.

    Whether it is overdue, or jobs below it run although it has ended, is looked up when somebody
    asks for such jobs: these are the facets of those that may be.
    """
    yield STATE, state_of(job)
    yield OPERATION, facet_value(job.operation)
    produced = job.produced
    if produced is None:
        return
    registered, holder = produced.registered, produced.holder
    yield KEYS["source"], facet_value(registered.source)
    if registered.series is not None:
        yield KEYS["series"], facet_value(registered.series)
    for uri in dict.fromkeys(subject.uri for subject in registered.subjects):
        yield KEYS["subject"], facet_value(uri)
    for topic in registered.about:
        yield RESOURCE, topic.uuid
    if holder is not None and holder.host is not None:
        yield KEYS["host"], facet_value(holder.host)
    for condition in recorded_conditions(produced):
        yield CONDITION, condition.type
    if overdue_since(job) is not None:
        yield CONDITION, "overdue"
    if may_have_children_running(job):
        yield CONDITION, "children_running"


def facet_value(text: str) -> str:
    """Return a value as it is stored, which may be its digest."""
    stored = text.encode()
    return text if len(stored) <= LONG_BYTES else f"sha256:{hashlib.sha256(stored).hexdigest()}"
