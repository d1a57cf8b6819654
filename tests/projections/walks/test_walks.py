"""Walks against a model: whatever changes meanwhile, and however few rows a page may look at."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from msgspec.structs import replace

from ledger.domain.aggregates.drive import Drive
from ledger.domain.aggregates.job import Job, JobState
from ledger.domain.aggregates.produced import register
from ledger.domain.aggregates.server import Server
from ledger.domain.aggregates.tag import Tag
from ledger.domain.events.jobs import Resource
from ledger.domain.events.producers import Topic
from ledger.store.parameters import timestamp
from projections.views import walks
from projections.views.filters import Condition, Lookup
from projections.views.jobs import OPERATIONS_MOST
from projections.views.walks import Key, Step, Walked, is_short
from tests.support.producing import registered
from tests.support.read_models import ReadModels, drive_of, job_of, tag_of
from tests.support.world import ME, SOMEBODY_ELSE, START, machine

LOOKED_AT = 3
OWNERS = st.sampled_from([ME, ME, ME, SOMEBODY_ELSE])
TIMES = st.integers(0, 5)
"""So few that many things have the same; and a clock may go back."""
NAMES = st.sampled_from(["ash", "oak"])
STATES = st.sampled_from(get_args(JobState))
WHICH = st.integers(0, 20)
TAGS = ("fleet", "old")
RESOURCES = ("d1", "d2")


def texts(*among: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(among), min_size=1, max_size=2, unique=True).map(tuple)


def time(seconds: int) -> str:
    return timestamp(START + timedelta(seconds=seconds))


LOOKUPS: dict[Walked, dict[Lookup, st.SearchStrategy[tuple[str, ...]]]] = {
    "drives": {
        "uuid": texts(*(f"drives{number}" for number in range(6))),
        "name": texts("ash", "oak"),
        "name_contains": texts("a", "s"),
        "tag": texts(*TAGS),
        "tag_name": texts(*(f"named {tag}" for tag in TAGS)),
    },
    "jobs": {
        "state": texts(*get_args(JobState)),
        "operation": texts("drive_clone", "server_clone"),
        "resource": texts(*RESOURCES),
        "modified_from": TIMES.map(lambda at: (time(at),)),
        "modified_before": TIMES.map(lambda at: (time(at),)),
    },
}


def being_about(job: Job, *drives: str) -> Job:
    said = replace(registered(), about=tuple(Topic("drives", drive) for drive in drives))
    return replace(job, produced=register(said))


def conditions(kind: Walked) -> st.SearchStrategy[list[Condition]]:
    each = [st.builds(Condition, st.just(name), what) for name, what in LOOKUPS[kind].items()]
    return st.lists(st.one_of(each), max_size=2)


@dataclass
class Walking:
    """A walk that is under way, and what it has to meet: what has matched ever since it began."""

    kind: Walked
    conditions: list[Condition]
    limit: int
    throughout: set[str]
    met: list[Drive | Job] = field(default_factory=list)
    at: Key | None = None
    over: bool = False


class Walks(RuleBasedStateMachine):
    """Several walks at once, while drives, jobs and tags are made, changed and discarded."""

    def __init__(self) -> None:
        super().__init__()
        self.models = ReadModels()
        self.drives: dict[str, Drive] = {}
        self.jobs: dict[str, Job] = {}
        self.tagged: dict[str, set[str]] = {tag: set() for tag in TAGS}
        self.walking: list[Walking] = []
        self.made = 0
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(walks, "LOOKED_AT_MAX", LOOKED_AT)

    def teardown(self) -> None:
        for walk in self.walking:
            while not walk.over:
                self.take_page(walk)
        self.patched.undo()
        self.models.connection.close()

    @initialize(drives=st.lists(st.tuples(TIMES, NAMES), max_size=8), jobs=st.integers(0, 8))
    def begin_with_some(self, drives: list[tuple[int, str]], jobs: int) -> None:
        for created, name in drives:
            self.make_drive(ME, created, name)
        for number in range(jobs):
            self.make_job(ME, number % 3, "drive_clone", (), "started")

    # What changes

    @rule(owner=OWNERS, created=TIMES, name=NAMES)
    def make_drive(self, owner: str, created: int, name: str) -> None:
        self.made += 1
        self._show(drive_of(f"drives{self.made}", created, owner=owner, name=name))

    @rule(
        owner=OWNERS,
        created=TIMES,
        operation=st.sampled_from(["drive_clone", "server_clone"]),
        resources=st.lists(st.sampled_from(RESOURCES), max_size=2),
        state=STATES,
        about=st.lists(st.sampled_from(RESOURCES), max_size=1),
    )
    def make_job(  # noqa: PLR0917 - hypothesis names them
        self,
        owner: str,
        created: int,
        operation: str,
        resources: Sequence[str],
        state: JobState,
        about: Sequence[str] = (),
    ) -> None:
        self.made += 1
        job = job_of(
            f"jobs{self.made}",
            created,
            owner=owner,
            operation=operation,
            resources=tuple(Resource("drives", uuid, "source") for uuid in resources),
            state=state,
        )
        self._show(being_about(job, *about) if about else job)

    @precondition(lambda self: self.drives)
    @rule(which=WHICH, name=NAMES)
    def rename_drive(self, which: int, name: str) -> None:
        drive = _pick(self.drives, which)
        definition = replace(drive.definition, name=name)
        self._show(replace(drive, definition=definition))

    @precondition(lambda self: self.jobs)
    @rule(which=WHICH, state=STATES, at=TIMES)
    def change_job(self, which: int, state: JobState, at: int) -> None:
        job = _pick(self.jobs, which)
        self._show(replace(job, state=state, last_modified=START + timedelta(seconds=at)))

    @precondition(lambda self: self.drives)
    @rule(which=WHICH, tag=st.sampled_from(TAGS))
    def tag_drive(self, which: int, tag: str) -> None:
        """Or take the tag off, if the drive bears it."""
        self.tagged[tag] ^= {_pick(self.drives, which).uuid}
        self.models.show(tag_of(tag, *self.tagged[tag], name=f"named {tag}"))
        self._look_again()

    @precondition(lambda self: self.drives)
    @rule(which=WHICH)
    def delete_drive(self, which: int) -> None:
        drive = _pick(self.drives, which)
        del self.drives[drive.uuid]
        self.models.show(replace(drive, deleted=START))
        self._look_again()

    @precondition(lambda self: self.jobs)
    @rule(which=WHICH)
    def discard_job(self, which: int) -> None:
        uuid = _pick(self.jobs, which).uuid
        del self.jobs[uuid]
        self.models.discard(uuid)
        self._look_again()

    # Who walks

    @rule(data=st.data(), kind=st.sampled_from([*LOOKUPS]), limit=st.integers(1, 4))
    def begin_walk(self, data: st.DataObject, kind: Walked, limit: int) -> None:
        wanted = data.draw(conditions(kind))
        self.walking.append(Walking(kind, wanted, limit, self._matching(kind, wanted)))

    @precondition(lambda self: any(not walk.over for walk in self.walking))
    @rule(which=WHICH)
    def walk_on(self, which: int) -> None:
        under_way = [walk for walk in self.walking if not walk.over]
        self.take_page(under_way[which % len(under_way)])

    def take_page(self, walk: Walking) -> None:
        step = self.models.snapshot().walk(
            walk.kind, ME, walk.conditions, key=walk.at, limit=walk.limit
        )
        assert len(step.uuids) <= walk.limit
        assert set(step.uuids) <= self._matching(walk.kind, walk.conditions)
        there: dict[str, Any] = self._things(walk.kind)
        walk.met += [there[uuid] for uuid in step.uuids]
        keys = [(each.created, each.uuid) for each in walk.met]
        assert keys == sorted(set(keys), reverse=True)
        walk.at, walk.over = step.next, step.next is None
        if walk.over:
            assert walk.throughout <= {each.uuid for each in walk.met}

    # The model

    def _show(self, state: Drive | Job) -> None:
        self._things("drives" if isinstance(state, Drive) else "jobs")[state.uuid] = state
        self.models.show(state)
        self._look_again()

    def _things(self, kind: Walked) -> dict[str, Any]:
        return self.drives if kind == "drives" else self.jobs

    def _look_again(self) -> None:
        for walk in self.walking:
            walk.throughout &= self._matching(walk.kind, walk.conditions)

    def _matching(self, kind: Walked, wanted: Sequence[Condition]) -> set[str]:
        return {
            uuid
            for uuid, each in self._things(kind).items()
            if each.owner == ME and all(self._holds(condition, each) for condition in wanted)
        }

    def _holds(self, condition: Condition, each: Drive | Job) -> bool:
        wanted = condition.alternatives
        match condition.lookup, each:
            case "uuid", _:
                return each.uuid in wanted
            case "name", Drive():
                return each.definition.name in wanted
            case "name_contains", Drive():
                return any(part in each.definition.name for part in wanted)
            case "tag", _:
                return any(each.uuid in self.tagged[tag] for tag in wanted)
            case "tag_name", _:
                return any(each.uuid in self.tagged[name.split()[1]] for name in wanted)
            case "state", Job():
                return each.state in wanted
            case "operation", Job():
                return each.operation in wanted
            case "resource", Job():
                about = each.produced.registered.about if each.produced else ()
                return any(found.uuid in wanted for found in (*each.resources, *about))
            case "modified_from", Job():
                return timestamp(each.last_modified) >= wanted[0]
            case "modified_before", Job():
                return timestamp(each.last_modified) < wanted[0]
            case _:
                raise AssertionError(condition)


def _pick(among: dict[str, Any], which: int) -> Any:
    return [*among.values()][which % len(among)]


TestWalks = Walks.TestCase
TestWalks.settings = settings(max_examples=settings().max_examples // 2)
"""What was there throughout comes exactly once; each page has what matches, in the one order."""


def test_every_lookup_is_walked_by() -> None:
    """A new one must be given to the model too."""
    known = {lookup for lookups in LOOKUPS.values() for lookup in lookups}
    assert known == {each for union in get_args(Lookup) for each in get_args(union) or (union,)}


@pytest.fixture(scope="module")
def many() -> Iterator[ReadModels]:
    """One job more than a page looks at; all but the oldest are of one operation."""
    with ReadModels() as models:
        models.show_all(
            [
                job_of(
                    f"{number:06d}",
                    number,
                    operation="drive_clone" if number else "rare",
                    state=("success", "failed")[number % 2],
                )
                for number in range(walks.LOOKED_AT_MAX + 1)
            ]
        )
        yield models


def test_a_page_looks_at_twenty_thousand_rows_and_may_be_empty(many: ReadModels) -> None:
    """The next one begins where it stopped, and only its `next` ends the walk."""
    assert walks.LOOKED_AT_MAX == 20_000
    rare = [Condition("operation", ("rare",))]
    first = many.snapshot().walk("jobs", ME, rare, limit=1)
    assert first == Step([], Key(time(1), "000001"))
    assert many.snapshot().walk("jobs", ME, rare, key=first.next, limit=1) == Step(["000000"], None)


def test_whoever_walks_the_jobs_of_a_shared_drive_meets_their_own() -> None:
    """Others clone what is in the library too: their jobs are looked at, but take up no page."""
    source = (Resource("drives", "library", "source"),)
    with ReadModels() as models:
        for number, owner in enumerate([ME, SOMEBODY_ELSE, ME, SOMEBODY_ELSE]):
            models.show(job_of(f"job{number}", number, owner=owner, resources=source))
        wanted = [Condition("resource", ("library",))]
        first = models.snapshot().walk("jobs", ME, wanted, limit=1)
        assert first.uuids == ["job2"]
        second = models.snapshot().walk("jobs", ME, wanted, key=first.next, limit=1)
        assert second == Step(["job0"], None)


def test_whoever_walks_the_jobs_of_a_drive_meets_those_about_it_in_their_order() -> None:
    """Lists find them too, and so does who looks them up by something else."""
    source = (Resource("drives", "d1", "source"),)
    with ReadModels() as models:
        for number in range(6):
            models.show(job_of(f"job{number}", number, resources=source))
        models.show(being_about(job_of("about", 3, operation="backup"), "d1"))
        models.show(being_about(job_of("other", 3, operation="backup"), "d2"))
        wanted = [Condition("resource", ("d1",))]
        snapshot = models.snapshot()
        first = snapshot.walk("jobs", ME, wanted, limit=3)
        assert first.uuids == ["job5", "job4", "job3"]
        assert snapshot.walk("jobs", ME, wanted, key=first.next, limit=2).uuids == ["about", "job2"]
        both = [Condition("resource", ("d1", "d2")), Condition("operation", ("backup",))]
        assert snapshot.walk("jobs", ME, both, limit=3).uuids == ["other", "about"]
        assert snapshot.count_jobs(ME, None, both) == 2
        assert snapshot.count_jobs(ME, None, wanted) == 7


def work(models: ReadModels, read: Callable[[], object]) -> int:
    """Return how many hundreds of instructions SQLite needs for this."""
    done = 0

    def count() -> int:
        nonlocal done
        done += 1
        return 0

    models.connection.set_progress_handler(count, 100)
    read()
    models.connection.set_progress_handler(None, 0)
    return done


@pytest.mark.parametrize("wanted", [[], [Condition("state", ("failed",))]])
def test_a_page_in_the_middle_costs_what_it_shows(
    many: ReadModels, wanted: list[Condition]
) -> None:
    """Not what comes before or after it: an index leads to it, so it is read in the event loop."""
    assert is_short("jobs", wanted)
    snapshot = many.snapshot()
    key = Key(time(10_000), "010000")
    done = work(many, lambda: snapshot.walk("jobs", ME, wanted, key=key, limit=20))
    assert done < work(many, lambda: snapshot.count_jobs(ME, None)) / 10


def test_operations_are_named_at_no_cost_of_their_jobs(many: ReadModels) -> None:
    """However many those are; of very many operations the first ones are named."""
    snapshot = many.snapshot()
    assert snapshot.operations(SOMEBODY_ELSE) == []
    assert "rare" in snapshot.operations(ME)
    done = work(many, lambda: snapshot.operations(ME))
    assert done < work(many, lambda: snapshot.count_jobs(ME, None)) / 10
    with ReadModels() as models:
        names = [f"operation{number:02d}" for number in range(OPERATIONS_MOST + 2)]
        models.show_all([job_of(name, 0, operation=name) for name in names])
        assert models.snapshot().operations(ME) == names[:OPERATIONS_MOST]


@pytest.mark.parametrize("kind", ["drives", "servers", "tags"])
def test_what_a_page_shows_is_looked_up(kind: Walked) -> None:
    """By uuid: what else the account has costs nothing."""
    with ReadModels() as models:
        uuids = [f"{number:04d}" for number in range(2_000)]
        models.show_all([OF_KIND[kind](uuid) for uuid in uuids])
        models.connection.execute("CREATE TABLE server_secrets (server, vnc_password)")
        snapshot = models.snapshot()
        among = getattr(snapshot, f"{kind}_among")
        assert [each.uuid for each in among(uuids[900:920], ME)] == uuids[900:920]
        assert (
            work(models, lambda: among(uuids[:20], ME))
            < work(models, lambda: snapshot.count(kind, ME)) / 2
        )


OF_KIND: dict[str, Callable[[str], Drive | Server | Tag]] = {
    "drives": lambda uuid: drive_of(uuid, 0),
    "servers": lambda uuid: Server(uuid, ME, machine(), (), (), START),
    "tags": tag_of,
}


def test_pages_that_look_further_than_they_show_are_known() -> None:
    """They are read in a thread."""
    further: list[tuple[Walked, Condition]] = [
        ("jobs", Condition("operation", ("drive_clone",))),
        ("jobs", Condition("state", ("failed", "success"))),
        ("jobs", Condition("resource", ("d1",))),
        ("drives", Condition("name", ("ash", "oak"))),
        ("drives", Condition("tag", ("fleet",))),
        *((kind, Condition("name_contains", ("f",))) for kind in ("drives", "servers", "tags")),
    ]
    assert not any(is_short(kind, [condition]) for kind, condition in further)
    assert is_short("drives", [Condition("name", ("ash",))])
    assert is_short("tags", [Condition("name", ("fleet",))])
    assert is_short("drives", [Condition("uuid", ("one", "other"))])
