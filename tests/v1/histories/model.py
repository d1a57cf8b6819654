"""What `/api/v1` promises of jobs, as plain objects. No code of the product decides here.

Each method does what a request does, and returns its status; what is refused raises `Refused`, with
the name of the problem.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

STATUS = {
    "already-registered": 409,
    "uuid-taken": 409,
    "attempt-taken": 409,
    "attempt-replaced": 409,
    "attempt-over": 409,
    "job-over": 409,
    "job-forced": 409,
    "job-unknown": 404,
    "job-discarded": 410,
    "parent-unknown": 404,
    "parent-over": 409,
    "sealed": 409,
    "children-running": 409,
    "not-cancellable": 409,
    "grace-not-over": 409,
    "bad-value": 400,
    "conflict": 409,
}
GIVEN_UP = ("lost", "expired")
REASONS = {"failed": "program", "cancelled": "interrupted"}
"""What is taken for the reason of an end that says none."""


class Refused(Exception):
    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.status = STATUS[problem]


@dataclass(frozen=True)
class Registration:
    """What a client says of a new job. `instance` is the process that works on it, if one does."""

    operation: str = "backup"
    source: str = "//nas"
    external_id: str | None = None
    series: str | None = None
    parent: str | None = None
    is_group: bool = False
    queued: bool = False
    expects: int | None = None
    tolerates: tuple[str, ...] = ()
    cancellable: bool = True
    labels: tuple[tuple[str, str], ...] = ()
    title: str | None = None

    @property
    def works(self) -> bool:
        return not (self.queued or self.is_group)


@dataclass(frozen=True)
class Request:
    """A request to stop."""

    cascade: bool
    grace_is_over: bool


@dataclass(eq=False)
class Job:
    uuid: str
    owner: str
    said: Registration
    above: "Job | None"
    born: int
    labels: dict[str, str]
    title: str | None
    instance: str | None = None
    attempt: int = 0
    works: bool = False
    lost: bool = False
    waiting: bool = False
    outcome: str | None = None
    reason: str | None = None
    late: str | None = None
    sealed: bool = False
    cancel: Request | None = None
    asked_when_it_ended: bool = False
    stops_below: bool = False
    done: int | None = None
    children: list["Job"] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.outcome is not None

    @property
    def queued(self) -> bool:
        return not (self.over or self.works or self.said.is_group)

    @property
    def state(self) -> str:
        return self.outcome or ("queued" if self.queued else "running")

    @property
    def was_given_up(self) -> bool:
        return self.reason in GIVEN_UP and self.attempt > 0

    @property
    def root(self) -> "Job":
        return self if self.above is None else self.above.root

    def tree(self) -> Iterator["Job"]:
        yield self
        for child in self.children:
            yield from child.tree()

    def lineage(self) -> Iterator["Job"]:
        """Yield the jobs above it."""
        if self.above is not None:
            yield self.above
            yield from self.above.lineage()

    @property
    def unattended(self) -> bool:
        return not self.over and (self.queued or (self.said.is_group and not self.sealed))

    @property
    def asked(self) -> bool | None:
        """Whether it has had its time to stop; None if it is not asked to."""
        if not (self.said.cancellable or self.unattended):
            return None
        asking = [] if self.cancel is None else [self.cancel]
        for above in self.lineage():
            if above.cancel is not None:
                if above.cancel.cascade or above.stops_below:
                    asking.append(above.cancel)
            elif above.over and (above.stops_below or above.outcome in ("failed", "cancelled")):
                asking.append(Request(cascade=True, grace_is_over=False))
        return any(each.grace_is_over for each in asking) if asking else None

    def conditions(self) -> set[str]:
        found = {
            "lost": self.lost and not self.over,
            "waiting": self.waiting and not self.over,
            "cancel_requested": not self.over
            and (self.cancel is not None or self.asked is not None),
            "children_running": self.over and any(not child.over for child in self.children),
        }
        return {name for name, holds in found.items() if holds}

    def shown(self) -> dict[str, Any]:
        """What a client sees of it, as far as the model knows."""
        by_end = [child.outcome for child in self.children]
        return {
            "uuid": self.uuid,
            "operation": self.said.operation,
            "title": self.title,
            "source": self.said.source,
            "external_id": self.said.external_id,
            "series": self.said.series,
            "labels": self.labels,
            "state": self.state,
            "done": self.over,
            "outcome": self.outcome,
            "reason": self.reason,
            "late": self.late,
            "attempt": self.attempt or None,
            "parent": None if self.above is None else self.above.uuid,
            "root": self.root.uuid,
            "sealed": self.sealed,
            "conditions": self.conditions(),
            "progress": self.done,
            "children": {
                "total": len(by_end),
                "running": by_end.count(None),
                "succeeded": by_end.count("succeeded") + by_end.count("skipped"),
                "failed": by_end.count("failed"),
                "cancelled": by_end.count("cancelled"),
            },
        }


class Model:
    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.gone: dict[str, str] = {}
        """The owners of jobs that were discarded, by uuid."""

    def of(self, owner: str) -> list[Job]:
        """Return the account's jobs, newest first."""
        mine = [job for job in self.jobs.values() if job.owner == owner]
        return sorted(mine, key=lambda job: -job.born)

    # Registration and attempts

    def register(
        self,
        owner: str,
        uuid: str,
        said: Registration,
        instance: str,
        end: str | None = None,
    ) -> tuple[int, str]:
        """Return the status and the job's uuid, which is another if its external id finds it."""
        if end is not None and not said.works:
            raise Refused("conflict")
        named = self._named(owner, said)
        uuid = uuid if named is None else named.uuid
        known = self.jobs.get(uuid)
        if known is not None:
            self._check_is_same(known, owner, said, instance, by_name=named is not None)
            if end is not None:
                self._end(known, known.attempt, end)
            return 200, uuid
        if uuid in self.gone:
            raise Refused("job-discarded" if self.gone[uuid] == owner else "uuid-taken")
        above = None if said.parent is None else self._parent(owner, said.parent)
        job = Job(uuid, owner, said, above, len(self.jobs) + len(self.gone), {}, said.title)
        job.labels = dict(said.labels)
        self.jobs[uuid] = job
        if above is not None:
            above.children.append(job)
            if above.said.is_group and len(above.children) == above.said.expects:
                above.sealed = True
        if said.works:
            self._begin(job, instance)
        if end is not None:
            self._finish(job, end, REASONS.get(end))
        return 201, uuid

    def _named(self, owner: str, said: Registration) -> Job | None:
        if said.external_id is None:
            return None
        wanted = (owner, said.source, said.external_id)
        return next(
            (
                job
                for job in self.jobs.values()
                if (job.owner, job.said.source, job.said.external_id) == wanted
            ),
            None,
        )

    @staticmethod
    def _check_is_same(
        known: Job, owner: str, said: Registration, instance: str, *, by_name: bool
    ) -> None:
        if known.owner != owner:
            raise Refused("uuid-taken")

        def what(one: Registration) -> tuple[object, ...]:
            return one.operation, one.source, one.external_id, one.parent, one.is_group

        if what(known.said) != what(said):
            raise Refused("already-registered" if by_name else "uuid-taken")
        if said.works and known.instance != instance:
            raise Refused("already-registered")

    def _parent(self, owner: str, uuid: str) -> Job:
        above = self.jobs.get(uuid)
        if above is None or above.owner != owner:
            raise Refused("parent-unknown")
        if above.over:
            raise Refused("parent-over")
        if above.sealed:
            raise Refused("sealed")
        return above

    def take_up(self, owner: str, uuid: str, after: int, instance: str, *, by_force: bool) -> int:
        job = self._own(owner, uuid)
        if job.over:
            raise Refused("job-over")
        if job.said.is_group:
            raise Refused("conflict")
        if after != job.attempt:
            if job.instance == instance and after == job.attempt - 1:
                return 200
            raise Refused("attempt-taken")
        if not (job.queued or job.lost or by_force):
            raise Refused("attempt-taken")
        self._begin(job, instance)
        return 201

    @staticmethod
    def _begin(job: Job, instance: str) -> None:
        job.attempt += 1
        job.instance, job.works = instance, True
        job.lost = job.waiting = False
        job.done = None

    # Reports

    def report(
        self, owner: str, uuid: str, attempt: int | None, done: int | None
    ) -> dict[str, object]:
        """Return what is told of whether it counts."""
        job = self._own(owner, uuid)
        said = job.attempt if attempt is None else attempt
        if job.over:
            if said < job.attempt:
                raise Refused("attempt-replaced")
            if job.reason == "forced":
                raise Refused("job-forced")
            return {"accepted": False, "over": job.outcome}
        if said > job.attempt:
            raise Refused("attempt-taken")
        if said < job.attempt:
            raise Refused("attempt-replaced")
        if not job.works:
            raise Refused("attempt-over" if job.attempt else "conflict")
        job.lost = False
        job.done = job.done if done is None else done
        return {"accepted": True, "over": None}

    # Ends

    def end(
        self,
        owner: str,
        uuid: str,
        outcome: str,
        attempt: int | None,
        *,
        children: str | None = None,
    ) -> int:
        job = self._own(owner, uuid)
        self._end(job, self._attempt(job, attempt), outcome, children)
        return 200

    def _end(self, job: Job, attempt: int, outcome: str, children: str | None = None) -> None:
        if not job.over:
            self._check_attempt(job, attempt)
            if children == "require" and any(self._works_below(job)):
                raise Refused("children-running")
            job.stops_below = children == "cancel" and outcome == "succeeded"
            self._finish(job, outcome, REASONS.get(outcome))
            return
        if job.reason == "forced":
            raise Refused("job-forced")
        if not job.was_given_up or attempt < job.attempt:
            self._check_attempt(job, attempt)
        if job.was_given_up and job.late is None:
            job.late = outcome
        elif outcome != (job.late or job.outcome):
            raise Refused("job-over")

    def fail_attempt(self, owner: str, uuid: str, attempt: int | None) -> int:
        job = self._own(owner, uuid)
        said = self._attempt(job, attempt)
        if job.over:
            raise Refused("job-over")
        self._check_attempt(job, said)
        job.works, job.lost, job.waiting = False, False, True
        return 200

    @staticmethod
    def _attempt(job: Job, said: int | None) -> int:
        if said is None and job.attempt > 1:
            raise Refused("bad-value")
        attempt = job.attempt if said is None else said
        if attempt > job.attempt and not job.over:
            raise Refused("attempt-taken")
        return attempt

    @staticmethod
    def _check_attempt(job: Job, attempt: int) -> None:
        if job.attempt == 0:
            raise Refused("conflict")
        if attempt != job.attempt:
            raise Refused("attempt-replaced")

    def _finish(self, job: Job, outcome: str, reason: str | None = None) -> None:
        job.asked_when_it_ended = job.asked is not None
        job.outcome, job.reason = outcome, reason
        job.works = False
        if job.above is not None and job.above.said.is_group and not job.above.over:
            self._settle_group(job.above)

    def _settle_group(self, group: Job) -> None:
        if group.sealed and all(child.over for child in group.children):
            self._finish_group(group)

    def _finish_group(self, group: Job) -> None:
        """Failure comes first, then cancellation; what never came is missing."""
        ends = [child.outcome for child in group.children]
        asked, said = group.cancel is not None, group.said
        missing = said.expects is not None and len(ends) < said.expects
        if missing and not asked and "missing" not in said.tolerates:
            self._finish(group, "failed", "lost")
        elif "failed" in ends and "failed" not in said.tolerates:
            self._finish(group, "failed", "children")
        elif (
            "cancelled" in ends or (asked and (missing or not ends))
        ) and "cancelled" not in said.tolerates:
            self._finish(group, "cancelled", "requested" if asked else None)
        else:
            self._finish(group, "succeeded")

    def seal(self, owner: str, uuid: str) -> int:
        job = self._own(owner, uuid)
        if not job.said.is_group:
            raise Refused("conflict")
        if not job.sealed:
            self._seal(job)
        return 200

    def _seal(self, group: Job) -> None:
        if group.over:
            raise Refused("job-over")
        group.sealed = True
        self._settle_group(group)

    # Requests to stop

    def cancel(self, owner: str, uuid: str, request: Request) -> int:
        job = self._own(owner, uuid)
        if job.over:
            return self._stopped_before(job)
        if not (job.said.cancellable or job.queued):
            raise Refused("not-cancellable")
        job.cancel = job.cancel or request
        if job.queued:
            self._finish(job, "cancelled", "requested")
        elif job.said.is_group:
            self._seal(job)
        return 202

    def force(self, owner: str, uuid: str) -> int:
        job = self._own(owner, uuid)
        if job.over:
            return 200 if job.reason in ("forced", "lost") else self._stopped_before(job)
        if job.lost:
            self._finish(job, "failed", "lost")
            return 202
        if not job.asked:
            raise Refused("grace-not-over")
        self._finish(job, "cancelled", "forced")
        return 202

    @staticmethod
    def _stopped_before(job: Job) -> int:
        if not job.asked_when_it_ended:
            raise Refused("job-over")
        return 200

    def settle(self) -> None:
        """Stop what nobody works on and is asked to stop: the service does so by itself."""
        while True:
            found = [job for job in self.jobs.values() if job.unattended and job.asked is not None]
            if not found:
                return
            for job in found:
                if job.queued:
                    self._finish(job, "cancelled", "requested")
                elif not job.sealed:
                    job.cancel = job.cancel or Request(cascade=True, grace_is_over=False)
                    self._seal(job)

    # Time

    def lose(self, uuid: str) -> None:
        """Its producer falls silent."""
        job = self.jobs[uuid]
        job.lost = job.lost or job.works

    def abandon(self, uuid: str) -> None:
        """So long after that, nothing more is expected of it."""
        job = self.jobs[uuid]
        if job.queued:
            self._finish(job, "failed", "expired")
        elif (job.lost or (job.said.is_group and not job.sealed)) and not any(
            self._works_below(job)
        ):
            self._finish(job, "failed", "lost")

    @staticmethod
    def _works_below(job: Job) -> Iterator[bool]:
        return (each.works and not each.lost for each in job.tree() if each is not job)

    def discard(self) -> None:
        """Discard each tree in which every job has ended."""
        for job in [
            job for job in self.jobs.values() if all(each.over for each in job.root.tree())
        ]:
            self.gone[job.uuid] = job.owner
            del self.jobs[job.uuid]

    # Whatever its state

    def label(self, owner: str, uuid: str, key: str, value: str | None) -> int:
        job = self._own(owner, uuid)
        if value is None:
            job.labels.pop(key, None)
        else:
            job.labels[key] = value
        return 200

    def remove_words(self, owner: str, uuid: str) -> int:
        self._own(owner, uuid).title = None
        return 204

    def _own(self, owner: str, uuid: str) -> Job:
        job = self.jobs.get(uuid)
        if job is not None and job.owner == owner:
            return job
        raise Refused("job-discarded" if self.gone.get(uuid) == owner else "job-unknown")
