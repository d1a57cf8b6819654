"""Any history of jobs, over HTTP, against a model: each answer, and what is shown after it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from api.accounts.service import Account
from api.app import make_app
from api.background.settling import settle_all
from api.composition import open_service
from api.service.settings import Settings
from ledger.domain.commands import Command
from ledger.domain.producers.commands import AbandonJob, LoseProducer
from tests.api.begun import begin_as
from tests.api.calling import Answer, KnownAccounts
from tests.api.unhurried import unhurried
from tests.support.api_server import ApiServer
from tests.v1.calling import V1, problem_of
from tests.v1.histories.model import Job, Model, Refused, Registration, Request

T = TypeVar("T")

WHO = st.sampled_from([0, 0, 0, 0, 0, 1])
"""Mostly one account; the other one learns of nothing."""
WHICH = st.integers(0, 7)
"""Picks a job, the newest first; or, with the last, one that never was."""
INSTANCES = st.sampled_from(["here", "here", "here", "there"])
OUTCOMES = st.sampled_from(["succeeded", "succeeded", "failed", "skipped", "cancelled"])
ATTEMPTS = st.sampled_from([None, None, None, 1, 2])
REGISTRATIONS = st.builds(
    Registration,
    operation=st.sampled_from(["backup", "backup", "sync"]),
    source=st.sampled_from(["//nas", "//web"]),
    external_id=st.sampled_from([None, None, None, "one", "two"]),
    series=st.sampled_from([None, None, "nightly"]),
    is_group=st.sampled_from([False, False, True]),
    queued=st.sampled_from([False, False, True]),
    cancellable=st.sampled_from([True, True, False]),
    labels=st.sampled_from([(), (("env", "prod"),), (("env", "test"),)]),
    title=st.sampled_from([None, "Nightly copy"]),
)
GROUPS = st.tuples(
    st.sampled_from([None, None, 1, 2]),
    st.sets(st.sampled_from(["failed", "cancelled", "missing"]), max_size=2),
)


def _runs_in_test(job: Job) -> bool:
    return job.state == "running" and job.labels.get("env") == "test"


FILTERS: list[tuple[str, Callable[[Job], bool]]] = [
    *(
        (f"state={state}", lambda job, state=state: job.state == state)  # type: ignore[misc]
        for state in ("queued", "running", "succeeded", "skipped", "failed", "cancelled")
    ),
    *(
        (f"condition={name}", lambda job, name=name: name in job.conditions())  # type: ignore[misc]
        for name in ("lost", "waiting", "cancel_requested", "children_running")
    ),
    ("operation=sync", lambda job: job.said.operation == "sync"),
    ("source=//web", lambda job: job.said.source == "//web"),
    ("series=nightly", lambda job: job.said.series == "nightly"),
    ("select=env=prod", lambda job: job.labels.get("env") == "prod"),
    ("select=env in (prod,test)", lambda job: "env" in job.labels),
    ("state=running&select=env=test", _runs_in_test),
    ("order=ended", lambda job: job.over),
]


class World:
    """A service for many histories, each of which has two accounts of its own."""

    def __init__(self, data: Path, store: str | None) -> None:
        self._settings = Settings(data=data, store=store, copying=False, limits=unhurried())
        self._runner = asyncio.Runner()
        self._closing = asyncio.Event()
        self._made = 0
        self.accounts = KnownAccounts()
        self.v1: V1
        self.run(self._open())

    async def _open(self) -> None:
        opened: asyncio.Future[V1] = asyncio.get_running_loop().create_future()
        self._served = asyncio.create_task(self._serve(opened))
        await asyncio.wait([self._served, opened], return_when=asyncio.FIRST_COMPLETED)
        self.v1 = await opened if opened.done() else await self._failed()

    async def _failed(self) -> V1:
        await self._served
        raise AssertionError("the service has ended")

    async def _serve(self, opened: "asyncio.Future[V1]") -> None:
        async with open_service(self._settings) as ledger:
            service = replace(ledger, accounts=self.accounts)
            async with TestClient(ApiServer(make_app(service))) as client:
                opened.set_result(V1(client, service))
                await self._closing.wait()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def close(self) -> None:
        async def end() -> None:
            self._closing.set()
            await self._served

        with self._runner:
            self.run(end())

    async def let_due_time_pass(self, job: str) -> None:
        """Let no beat be on its way to the store; one that comes later is not held."""
        beats = self.v1.service.beats
        await beats.flush()
        beats.forget(job)

    def new_uuid(self) -> str:
        self._made += 1
        return str(UUID(int=self._made))

    def new_account(self) -> Account:
        uuid = self.new_uuid()
        account = Account(uuid, f"{uuid}@example.org", "user")
        self.accounts.add(account)
        return account


class Histories(RuleBasedStateMachine):
    """Requests of all kinds, sensible ones and others, in any order."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.model = Model()
        self.who = [world.new_account(), world.new_account()]
        self.uuids: list[str] = []
        """All there ever were, the newest first."""

    def pick(self, which: int) -> str:
        if not self.uuids or which == 7:
            return self.world.new_uuid()
        return self.uuids[which % len(self.uuids)]

    def ask(self, who: int, method: str, path: str, body: object = None) -> Answer:
        return self.world.run(self.world.v1.call(method, path, json=body, by=self.who[who]))

    def check(
        self, who: int, method: str, path: str, body: object, expected: Callable[[str], int]
    ) -> Answer | None:
        """Ask, and compare status and problem with the model; return what was not refused."""
        answer = self.ask(who, method, path, body)
        note(f"{who}: {method} {path} {body} -> {answer.status}")
        problem = None
        try:
            status = expected(self.who[who].uuid)
        except Refused as refused:
            status, problem = refused.status, refused.problem
        self.settle()
        told = problem_of(answer)["type"] if answer.status >= 400 else None
        assert (answer.status, told) == (status, problem), answer.body
        return answer if problem is None else None

    def settle(self) -> None:
        """Let the service stop what nobody works on."""
        self.model.settle()
        self.world.run(settle_all(self.world.v1.service.ledger))

    def do(self, command: Command) -> None:
        self.world.run(self.world.v1.do(command))
        note(f"{command}")
        self.settle()

    # Registration and attempts

    @rule(
        who=WHO,
        said=REGISTRATIONS,
        group=GROUPS,
        above=st.one_of(st.none(), WHICH),
        instance=INSTANCES,
        end=st.sampled_from([None, None, None, "succeeded", "failed"]),
        again=st.one_of(st.none(), st.none(), WHICH),
    )
    def register(  # noqa: PLR0917 - hypothesis names them
        self,
        who: int,
        said: Registration,
        group: tuple[int | None, set[str]],
        above: int | None,
        instance: str,
        end: str | None,
        again: int | None,
    ) -> None:
        if said.is_group:
            said = replace(said, queued=False, expects=group[0], tolerates=tuple(sorted(group[1])))
        said = replace(said, parent=None if above is None else self.pick(above))
        uuid = self.world.new_uuid() if again is None else self.pick(again)
        found: list[str] = []

        def expected(owner: str) -> int:
            status, known = self.model.register(owner, uuid, said, instance, end)
            found.append(known)
            return status

        body = registration(said, instance, end)
        answer = self.check(who, "PUT", f"/jobs/{uuid}", body, expected)
        if answer is not None:
            assert answer.json["job"]["uuid"] == found[0]
            if found[0] not in self.uuids:
                self.uuids.insert(0, found[0])

    @rule(
        who=WHO,
        which=WHICH,
        after=st.integers(0, 2),
        instance=INSTANCES,
        by_force=st.sampled_from([0, 0, 1]),
    )
    def take_up(self, who: int, which: int, after: int, instance: str, by_force: int) -> None:
        uuid = self.pick(which)
        body = {"after": after, "instance": instance, "take_over": bool(by_force)}
        self.check(
            who,
            "POST",
            f"/jobs/{uuid}/attempts",
            body,
            lambda owner: self.model.take_up(owner, uuid, after, instance, by_force=bool(by_force)),
        )

    # Reports and ends

    @rule(who=WHO, which=WHICH, attempt=ATTEMPTS, done=st.sampled_from([None, 0, 3, 10]))
    def report(self, who: int, which: int, attempt: int | None, done: int | None) -> None:
        uuid = self.pick(which)
        told: dict[str, object] = {}

        def expected(owner: str) -> int:
            told.update(self.model.report(owner, uuid, attempt, done))
            return 200

        body: dict[str, object] = {"attempt": attempt}
        if done is not None:
            body["progress"] = {"done": done, "total": 10}
        answer = self.check(who, "POST", f"/jobs/{uuid}/reports", body, expected)
        if answer is not None:
            assert {"accepted": answer.json["accepted"], "over": answer.json.get("over")} == told

    @rule(
        who=WHO,
        which=WHICH,
        outcome=OUTCOMES,
        attempt=ATTEMPTS,
        children=st.sampled_from([None, None, "cancel", "require"]),
    )
    def end(
        self, who: int, which: int, outcome: str, attempt: int | None, children: str | None
    ) -> None:
        uuid = self.pick(which)
        self.check(
            who,
            "POST",
            f"/jobs/{uuid}/end",
            {"outcome": outcome, "attempt": attempt, "children": children},
            lambda owner: self.model.end(owner, uuid, outcome, attempt, children=children),
        )

    @rule(who=WHO, which=WHICH, attempt=ATTEMPTS)
    def fail_attempt(self, who: int, which: int, attempt: int | None) -> None:
        uuid = self.pick(which)
        self.check(
            who,
            "POST",
            f"/jobs/{uuid}/end",
            {"outcome": "failed", "attempt": attempt, "final": False},
            lambda owner: self.model.fail_attempt(owner, uuid, attempt),
        )

    @rule(who=WHO, which=WHICH)
    def seal(self, who: int, which: int) -> None:
        uuid = self.pick(which)
        path = f"/jobs/{uuid}/seal"
        self.check(who, "POST", path, {}, lambda owner: self.model.seal(owner, uuid))

    # Requests to stop

    @rule(who=WHO, which=WHICH, cascade=st.integers(0, 1), grace_s=st.sampled_from([0, 3600]))
    def cancel(self, who: int, which: int, cascade: int, grace_s: int) -> None:
        uuid, request = self.pick(which), Request(bool(cascade), grace_is_over=grace_s == 0)
        self.check(
            who,
            "POST",
            f"/jobs/{uuid}/cancel",
            {"cascade": bool(cascade), "grace_s": grace_s},
            lambda owner: self.model.cancel(owner, uuid, request),
        )

    @rule(who=WHO, which=WHICH)
    def force(self, who: int, which: int) -> None:
        uuid = self.pick(which)
        path = f"/jobs/{uuid}/cancel"
        self.check(who, "POST", path, {"force": True}, lambda owner: self.model.force(owner, uuid))

    # Time

    @rule(which=WHICH)
    def lose(self, which: int) -> None:
        """Its producer falls silent."""
        job = self.model.jobs.get(self.pick(which))
        if job is not None and job.works:
            self.model.lose(job.uuid)
            self.world.run(self.world.let_due_time_pass(job.uuid))
            self.do(LoseProducer(job.uuid, job.attempt))

    @rule(which=WHICH)
    def abandon(self, which: int) -> None:
        """Nothing is expected any more of what is lost, in the queue, or an open group."""
        job = self.model.jobs.get(self.pick(which))
        if job is not None and not job.over:
            self.model.abandon(job.uuid)
            self.do(AbandonJob(job.uuid, job.attempt))

    @rule(now=st.integers(0, 3))
    def discard(self, now: int) -> None:
        """All that has ended is old."""
        if not now:
            self.model.discard()
            self.world.run(asyncio.to_thread(self.world.v1.service.retention.run))

    # Whatever its state

    @rule(
        who=WHO,
        which=WHICH,
        key=st.sampled_from(["env", "team"]),
        value=st.sampled_from(["prod", "test", None]),
    )
    def label(self, who: int, which: int, key: str, value: str | None) -> None:
        uuid = self.pick(which)
        body = {"remove": [key]} if value is None else {"set": {key: value}}
        self.check(
            who,
            "POST",
            f"/jobs/{uuid}/labels",
            body,
            lambda owner: self.model.label(owner, uuid, key, value),
        )

    @rule(who=WHO, which=WHICH)
    def remove_words(self, who: int, which: int) -> None:
        uuid = self.pick(which)
        path = f"/jobs/{uuid}/texts"
        self.check(who, "DELETE", path, None, lambda owner: self.model.remove_words(owner, uuid))

    # What must hold

    @rule(who=WHO, asked=st.sampled_from(FILTERS))
    def filtered(self, who: int, asked: tuple[str, Callable[[Job], bool]]) -> None:
        query, belongs = asked
        found = [job["uuid"] for job in self.listed(who, query)]
        wanted = [job.uuid for job in self.model.of(self.who[who].uuid) if belongs(job)]
        assert (sorted(found) if "ended" in query else found) == (
            sorted(wanted) if "ended" in query else wanted
        )

    @rule(who=WHO, which=WHICH, by=st.sampled_from(["parent", "root"]))
    def related(self, who: int, which: int, by: str) -> None:
        uuid = self.pick(which)
        found = [job["uuid"] for job in self.listed(who, f"{by}={uuid}")]
        assert found == [
            job.uuid
            for job in self.model.of(self.who[who].uuid)
            if (related := job.root if by == "root" else job.above) and related.uuid == uuid
        ]

    @invariant()
    def each_account_sees_its_own_jobs_as_they_are(self) -> None:
        for who, account in enumerate(self.who):
            found = [seen(job) for job in self.listed(who, "limit=200")]
            assert found == [job.shown() for job in self.model.of(account.uuid)]

    def listed(self, who: int, query: str) -> list[Any]:
        """Return a whole list, however many pages it has."""
        jobs: list[Any] = []
        after = ""
        while True:
            page = self.ask(who, "GET", f"/jobs?{query}{after}").json
            jobs += page["jobs"]
            if page["next"] is None:
                return jobs
            after = f"&after={page['next']}"

    def teardown(self) -> None:
        """Each job alone is as in the list; whoever has lost it is told so."""
        for uuid in self.uuids:
            job = self.model.jobs.get(uuid)
            for who, account in enumerate(self.who):
                answer = self.ask(who, "GET", f"/jobs/{uuid}")
                if job is not None and job.owner == account.uuid:
                    assert seen(answer.json) == job.shown()
                else:
                    mine = self.model.gone.get(uuid) == account.uuid
                    assert answer.status == (410 if mine else 404)


def registration(said: Registration, instance: str, end: str | None) -> dict[str, Any]:
    return {
        "operation": said.operation,
        "title": said.title,
        "source": said.source,
        "external_id": said.external_id,
        "series": said.series,
        "parent": said.parent,
        "ends": "children" if said.is_group else "self",
        "expect_children": said.expects,
        "tolerate": said.tolerates,
        "queued": said.queued,
        "cancellable": said.cancellable,
        "labels": dict(said.labels),
        "instance": instance,
        "end": None if end is None else {"outcome": end},
    }


def seen(job: Any) -> dict[str, Any]:
    """Return what the model knows of a job, out of what is shown of it."""
    names = Job("", "", Registration(), None, 0, {}, None).shown()
    return {name: job[name] for name in names} | {
        "attempt": job["attempt"] and job["attempt"]["n"],
        "conditions": {each["type"] for each in job["conditions"]},
        "progress": job["progress"] and job["progress"]["done"],
    }


@pytest.fixture
def world(begun: Path, tmp_path: Path, store: str | None) -> Iterator[World]:
    if store is None:
        begin_as(begun, tmp_path)
    world = World(tmp_path, store)
    retention = world.v1.service.retention
    retention.set(timedelta(0), keep_last=0)
    yield world
    world.close()


@pytest.mark.thorough
def test_any_history_is_answered_and_shown_as_promised(world: World) -> None:
    run_state_machine_as_test(
        lambda: Histories(world),
        settings=settings(max_examples=settings().max_examples // 4, stateful_step_count=30),
    )
