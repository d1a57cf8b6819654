"""Pages of jobs by what they are found by, against a model: whatever changes meanwhile."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from msgspec.structs import replace

from ledger.domain.aggregates.job import Attempt, Job
from ledger.domain.aggregates.produced import CancelRequest, Produced
from ledger.domain.events.producers import Holder, JobRegistered, Subject
from ledger.domain.producers.limits import limits
from ledger.store.postgres.cursor import PgCursor
from projections.facets import KEYS, LONG_BYTES
from projections.views import walks
from projections.views.producers.pages import (
    PARENT,
    ROOT,
    Order,
    Requirement,
    Wanted,
    is_short,
    page_sql,
)
from projections.views.walks import Key, Step
from tests.support.opened import Opened
from tests.support.opened_postgres import in_postgres
from tests.support.postgres import PostgresServer
from tests.support.producing import PRODUCED
from tests.support.read_models import ReadModels, job_of
from tests.support.world import ME, SOMEBODY_ELSE, START

LOOKED_AT = 3
NOW = START + timedelta(seconds=100)
TIMES = st.integers(0, 5)
WHICH = st.integers(0, 20)
OWNERS = st.sampled_from([ME, ME, ME, SOMEBODY_ELSE])
DRAWN = {
    "env": ["prod", "test"],
    "team": ["a", "b"],
    KEYS["state"]: ["queued", "running", "succeeded", "skipped", "failed"],
    KEYS["condition"]: ["lost", "overdue", "children_running", "cancel_requested"],
    KEYS["operation"]: ["backup", "drive_clone"],
    KEYS["source"]: ["//nas"],
    KEYS["series"]: ["nightly", "weekly"],
    KEYS["subject"]: ["file://a", "file://b" + "x" * LONG_BYTES],
    KEYS["host"]: ["nas", "laptop"],
    PARENT: ["job1", "job2"],
    ROOT: ["job1", "job2", "job3"],
}


def requirement(key: str) -> st.SearchStrategy[Requirement]:
    values = st.lists(st.sampled_from(DRAWN[key]), min_size=1, max_size=2).map(tuple)
    operators = st.just("in") if key.startswith(":") else st.sampled_from(["in", "notin", "exists"])
    return st.builds(Requirement, st.just(key), operators, values)  # type: ignore[arg-type]


REQUIREMENTS = st.lists(st.sampled_from([*DRAWN]).flatmap(requirement), max_size=3).map(tuple)


def registered(series: str | None, subjects: Sequence[str], deadline_s: int) -> JobRegistered:
    return JobRegistered(
        "//nas",
        limits(lease_s=90, deadline_s=deadline_s),
        START,
        series=series,
        subjects=tuple(Subject(uri, "input") for uri in subjects),
    )


@dataclass
class Paging:
    """A list that is paged through, and what it has to meet: what has matched since it began."""

    wanted: Wanted
    limit: int
    throughout: set[str]
    met: list[str] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)
    at: Key | None = None
    over: bool = False


class Pages(RuleBasedStateMachine):
    """Several lists at once, while jobs of producers and of ours come, change and go."""

    def __init__(self) -> None:
        super().__init__()
        self.models = ReadModels()
        self.jobs: dict[str, Job] = {}
        self.paging: list[Paging] = []
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(walks, "LOOKED_AT_MAX", LOOKED_AT)

    def teardown(self) -> None:
        for paging in self.paging:
            while not paging.over:
                self.take_page(paging)
        self.patched.undo()
        self.models.connection.close()

    # What changes

    @rule(owner=OWNERS, created=TIMES, changes=st.booleans())
    def make_clone(self, owner: str, created: int, *, changes: bool) -> None:
        job = job_of(f"job{len(self.jobs) + 1}", created, owner=owner)
        self._show(replace(job, attempt=int(changes)))

    @rule(
        owner=OWNERS,
        created=TIMES,
        series=st.sampled_from([None, "nightly", "weekly"]),
        subjects=st.lists(st.sampled_from(DRAWN[KEYS["subject"]]), max_size=2, unique=True),
        labels=st.dictionaries(st.sampled_from(["env", "team"]), st.sampled_from(["prod", "a"])),
        deadline=st.sampled_from([10, 1_000]),
        below=st.none() | WHICH,
    )
    def register(
        self,
        *,
        owner: str,
        created: int,
        series: str | None,
        subjects: Sequence[str],
        labels: dict[str, str],
        deadline: int,
        below: int | None,
    ) -> None:
        uuid = f"job{len(self.jobs) + 1}"
        said = registered(series, subjects, deadline)
        job = replace(
            job_of(uuid, created, owner=owner, operation="backup"),
            labels=labels,
            produced=Produced(said, queued=True, said_at=START),
        )
        running = [each for each in self.jobs.values() if each.owner == owner and not each.ended]
        if below is not None and running:
            parent = running[below % len(running)]
            job = replace(job, parent=parent.uuid, root=parent.root)
            self._show(replace(parent, children=parent.children.attach(uuid)))
        self._show(job)

    @rule(which=WHICH, host=st.sampled_from(DRAWN[KEYS["host"]]))
    def take_up(self, which: int, host: str) -> None:
        def begin(job: Job, produced: Produced) -> Job:
            began = Attempt(job.created, 0, None, job.created)
            holder = Holder("x", host=host)
            return replace(
                job, current=began, produced=replace(produced, queued=False, holder=holder)
            )

        self._change(which, begin)

    @rule(which=WHICH, lost=st.booleans())
    def lose_or_return(self, which: int, *, lost: bool) -> None:
        self._change(
            which,
            lambda job, produced: replace(
                job, produced=replace(produced, lost_since=START if lost else None)
            ),
        )

    @rule(which=WHICH)
    def ask(self, which: int) -> None:
        asked = CancelRequest(START, ME, 60, cascade=True)
        self._change(
            which, lambda job, produced: replace(job, produced=replace(produced, cancel=asked))
        )

    @rule(which=WHICH, ended=TIMES, outcome=st.sampled_from(["succeeded", "skipped", "failed"]))
    def end(self, which: int, ended: int, outcome: Any) -> None:
        state = "failed" if outcome == "failed" else "success"
        at = START + timedelta(seconds=ended)
        self._change(
            which,
            lambda job, produced: replace(
                job,
                state=state,
                ended=at,
                produced=replace(produced, queued=False, outcome=outcome, lost_since=None),
            ),
        )

    @precondition(lambda self: self.jobs)
    @rule(which=WHICH, key=st.sampled_from(["env", "team"]), value=st.sampled_from(["prod", "b"]))
    def label(self, which: int, key: str, value: str) -> None:
        job = self._pick(which)
        self._show(replace(job, labels={**job.labels, key: value}))

    @precondition(lambda self: self.jobs)
    @rule(which=WHICH)
    def discard_tree(self, which: int) -> None:
        root = self._pick(which).root
        for uuid in [uuid for uuid, job in self.jobs.items() if job.root == root]:
            self.jobs[uuid] = replace(self.jobs[uuid], owner="nobody any more")
            self.models.discard(uuid)
        self._look_again()

    def _change(self, which: int, how: Any) -> None:
        """Change a producer's job that runs, if there is one."""
        running = [job for job in self._here() if job.produced is not None and not job.ended]
        if running:
            job = running[which % len(running)]
            self._show(how(job, job.produced))

    # Who pages

    @rule(
        requirements=REQUIREMENTS,
        order=st.sampled_from(["created", "ended"]),
        since=st.none() | TIMES,
        before=st.none() | TIMES,
        limit=st.integers(1, 4),
    )
    def begin_list(
        self,
        requirements: tuple[Requirement, ...],
        order: Order,
        since: int | None,
        before: int | None,
        limit: int,
    ) -> None:
        wanted = Wanted(requirements, order, _time(since), _time(before))
        self.paging.append(Paging(wanted, limit, self._matching(wanted)))

    @precondition(lambda self: any(not each.over for each in self.paging))
    @rule(which=WHICH)
    def page_on(self, which: int) -> None:
        under_way = [each for each in self.paging if not each.over]
        self.take_page(under_way[which % len(under_way)])

    def take_page(self, paging: Paging) -> None:
        step = self.models.snapshot().job_page(
            ME, paging.wanted, NOW, key=paging.at, limit=paging.limit
        )
        assert len(step.uuids) <= paging.limit
        assert set(step.uuids) <= self._matching(paging.wanted)
        paging.met += step.uuids
        paging.keys += [
            (getattr(self.jobs[uuid], paging.wanted.order), uuid) for uuid in step.uuids
        ]
        assert paging.keys == sorted(set(paging.keys), reverse=True)
        paging.at, paging.over = step.next, step.next is None
        if paging.over:
            assert paging.throughout <= set(paging.met)

    # The model

    def _show(self, job: Job) -> None:
        self.jobs[job.uuid] = job
        self.models.show(job)
        self._look_again()

    def _here(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.owner != "nobody any more"]

    def _pick(self, which: int) -> Job:
        return [*self.jobs.values()][which % len(self.jobs)]

    def _look_again(self) -> None:
        for paging in self.paging:
            paging.throughout &= self._matching(paging.wanted)

    def _matching(self, wanted: Wanted) -> set[str]:
        return {
            job.uuid
            for job in self._here()
            if job.owner == ME
            and _is_between(getattr(job, wanted.order), wanted)
            and all(self._meets(job, each) for each in wanted.requirements)
        }

    def _meets(self, job: Job, requirement: Requirement) -> bool:
        key, operator, values = requirement
        has = self._values(job, key)
        match operator:
            case "in":
                return bool(has & set(values))
            case "notin":
                return not has & set(values)
            case "exists":
                return bool(has)

    def _values(self, job: Job, key: str) -> set[str]:
        if not key.startswith(":"):
            return {job.labels[key]} if key in job.labels else set()
        produced = job.produced
        if key == PARENT:
            return {job.parent or ""}
        if key == ROOT:
            return {job.root}
        if key == KEYS["operation"]:
            return {job.operation}
        if key == KEYS["state"]:
            if produced is None:
                return {"running" if job.attempt or len(job.children) else "queued"}
            return {produced.outcome or ("queued" if produced.queued else "running")}
        if produced is None:
            return set()
        return {
            KEYS["source"]: {"//nas"},
            KEYS["series"]: {produced.registered.series or ""},
            KEYS["subject"]: {subject.uri for subject in produced.registered.subjects},
            KEYS["host"]: {(produced.holder and produced.holder.host) or ""},
            KEYS["condition"]: self._conditions(job, produced),
        }[key]

    def _conditions(self, job: Job, produced: Produced) -> set[str]:
        has = set()
        if produced.lost_since is not None:
            has.add("lost")
        if not job.ended and any(map(_stops, [job, *self._lineage(job)])):
            has.add("cancel_requested")
        deadline = timedelta(seconds=produced.registered.limits.deadline_s or 0)
        if job.current is not None and not job.ended and job.created + deadline <= NOW:
            has.add("overdue")
        if job.ended and any(each.parent == job.uuid and not each.ended for each in self._here()):
            has.add("children_running")
        return has

    def _lineage(self, job: Job) -> Iterator[Job]:
        """Yield the jobs above it."""
        if job.parent is not None:
            yield self.jobs[job.parent]
            yield from self._lineage(self.jobs[job.parent])


def _stops(job: Job) -> bool:
    """Whether it is asked to stop with all that is below it, or has failed above it."""
    produced = job.produced
    return produced is not None and (produced.cancel is not None or produced.outcome == "failed")


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else START + timedelta(seconds=seconds)


def _is_between(at: datetime | None, wanted: Wanted) -> bool:
    return (
        at is not None
        and (wanted.since is None or at >= wanted.since)
        and (wanted.before is None or at < wanted.before)
    )


TestPages = Pages.TestCase
TestPages.settings = settings(max_examples=settings().max_examples // 2)
"""What was there throughout comes exactly once; each page has what matches, in the one order."""


def test_a_page_looks_at_so_many_rows_and_may_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one begins where it stopped, and only its `next` ends the list."""
    monkeypatch.setattr(walks, "LOOKED_AT_MAX", 50)
    with ReadModels() as models:
        models.show_all(
            [
                replace(job_of(f"{n:06d}", n), labels={"env": "prod", "n": str(n)})
                for n in range(walks.LOOKED_AT_MAX + 1)
            ]
        )
        newest = Wanted((Requirement("n", "exists"), Requirement("env", "in", ("prod", "x"))))
        page = models.snapshot().job_page(ME, newest, NOW, limit=2)
        assert page.uuids == ["000050", "000049"]
        none = Wanted((Requirement("env", "in", ("prod",)), Requirement("none", "exists")))
        empty = models.snapshot().job_page(ME, none, NOW, limit=2)
        assert empty.uuids == []
        assert empty.next is not None
        assert empty.next.uuid == "000001"
        assert models.snapshot().job_page(ME, none, NOW, key=empty.next, limit=2) == Step([], None)


@pytest.mark.parametrize(("seconds", "found"), [(9, []), (10, ["slow"])])
def test_a_job_is_overdue_from_its_deadline_on(seconds: int, found: list[str]) -> None:
    """No event says so, and nothing is written."""
    began = Attempt(START, 0, None, START)
    with ReadModels() as models:
        for uuid, deadline_s in (("slow", 10), ("slower", 1_000)):
            said = registered(None, [], deadline_s)
            produced = Produced(said, queued=False, said_at=START)
            models.show(replace(job_of(uuid, 0), current=began, produced=produced))
        overdue = Wanted((Requirement(KEYS["condition"], "in", ("lost", "overdue")),))
        now = START + timedelta(seconds=seconds)
        assert models.snapshot().job_page(ME, overdue, now, limit=2).uuids == found


def test_pages_that_look_further_than_they_show_are_known() -> None:
    """They are read in a thread."""
    prod, overdue = (
        Requirement("env", "in", ("prod",)),
        Requirement(KEYS["condition"], "in", ("overdue",)),
    )
    assert is_short(Wanted())
    assert is_short(Wanted((prod,)))
    assert is_short(Wanted(order="ended"))
    assert not is_short(Wanted((prod, Requirement("team", "exists"))))
    assert is_short(Wanted((Requirement("env", "in", ("prod", "test")),)))
    assert not is_short(Wanted((prod,), "ended"))
    assert not is_short(Wanted((overdue,)))


# Indexes


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    if request.param == "sqlite":
        with Opened(tmp_path_factory.mktemp("pages") / "ledger.sqlite") as opened:
            opened.do(*PRODUCED)
            yield opened
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.new_ledger()
    with in_postgres(url) as opened:
        opened.do(*PRODUCED)
        yield opened
    server.drop(url)


def plan_of(cursor: Any, sql: str, parameters: list[str]) -> tuple[set[str], set[str]]:
    """Return what is read by an index, and what else the statement does."""
    if isinstance(cursor, PgCursor):
        # The tables are so small that reading all of them is cheapest.
        for setting in ("enable_seqscan", "enable_sort", "enable_bitmapscan"):
            cursor.execute(f"SET LOCAL {setting} = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", [*parameters, 10])
        nodes = [*_nodes(cursor.fetchone()[0][0]["Plan"])]
        return (
            {node["Index Name"] for node in nodes if "Index Name" in node},
            {node["Node Type"] for node in nodes} & {"Seq Scan", "Sort"},
        )
    cursor.execute(f"EXPLAIN QUERY PLAN {sql}", [*parameters, 10])
    details = [detail for *_, detail in cursor.fetchall()]
    return (
        {detail for detail in details if detail.startswith("SEARCH")},
        {detail for detail in details if detail.startswith(("SCAN", "USE TEMP"))},
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


LISTS: dict[str, Wanted] = {
    "all": Wanted(),
    "those that ended": Wanted(order="ended", since=START, before=NOW),
    **{
        key: Wanted((Requirement(key, "in", tuple(values[:1])),), since=START)
        for key, values in DRAWN.items()
    },
    "several values": Wanted((Requirement("env", "in", ("prod", "test")),)),
    "two labels": Wanted(
        (Requirement("env", "in", ("prod",)), Requirement("team", "in", ("a", "b")))
    ),
    "not a label": Wanted(
        (Requirement("env", "in", ("prod",)), Requirement("team", "notin", ("a",)))
    ),
    "has a label": Wanted((Requirement("env", "in", ("prod",)), Requirement("team", "exists"))),
    "of those that ended": Wanted(
        (Requirement("env", "in", ("prod",)), Requirement(PARENT, "in", ("job1",))), "ended"
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_an_index_leads_to_every_page_in_its_order(stored: Opened, name: str) -> None:
    """No table is read as a whole, and nothing is sorted."""
    with stored.views.long_snapshot() as snapshot:
        for sql, parameters in page_sql(ME, LISTS[name], NOW, Key("2026", "u"), 1):
            indexes, else_done = plan_of(snapshot.cursor, sql, parameters)
            assert indexes
            assert else_done == set()


def test_what_the_story_left_is_found_by_all_that_it_is_found_by(stored: Opened) -> None:
    """As a writer has written it, on both stores."""

    def found(key: str, *values: str) -> set[str]:
        with stored.views.long_snapshot() as snapshot:
            wanted = Wanted((Requirement(key, "in", values),))
            return set(snapshot.job_page(ME, wanted, NOW, limit=100).uuids)

    assert found(KEYS["state"], "queued") >= {"waiting"}
    assert found(KEYS["state"], "skipped", "cancelled") >= {"sdb", "asked", "never"}
    assert found(KEYS["condition"], "children_running") == {"nas"}
    assert found(KEYS["operation"], "fan out") >= {"fleet", "disks"}
    assert found(PARENT, "fleet") == {"nas", "disks", "tonight"}
    assert found(ROOT, "fleet") >= {"fleet", "upload", "sda"}
    assert "laptop" in found(KEYS["host"], "nas")
