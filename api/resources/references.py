"""How representations name other resources."""

from collections.abc import Sequence

from api.http.fields import Reference
from api.text.urls import API_ROOT
from projections.views.read_models import JobReference


def job_references(jobs: Sequence[JobReference]) -> tuple[Reference, ...]:
    return references("jobs", [each.job for each in jobs])


def references(kind: str, uuids: Sequence[str]) -> tuple[Reference, ...]:
    return tuple(reference_to(kind, uuid) for uuid in uuids)


def reference_to(kind: str, uuid: str) -> Reference:
    return Reference(resource_uri=f"{API_ROOT}/{kind}/{uuid}/", uuid=uuid)


def reference_or_none(kind: str, uuid: str | None) -> Reference | None:
    return None if uuid is None else reference_to(kind, uuid)
