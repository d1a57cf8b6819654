"""One registration is one job, and two instances never share an attempt."""

from collections.abc import Callable, Iterator

import pytest

from tests.models.explorer import Part, Steps, World, explore, when
from tests.models.ledger import Ledger, among


class Registrations(Ledger):
    """Two requests register the same thing, found by its external id, through two nodes.

    The arguments leave rules out. `claims_id`: the external id is claimed in the transaction that
    begins the stream. `derives`: the token follows from the job, so that it is told again.
    """

    def __init__(
        self,
        instances: str = "pq",
        *,
        losses: int = 1,
        claims_id: bool = True,
        derives: bool = True,
    ) -> None:
        super().__init__()
        self.rules = claims_id, derives
        self.instances, self.losses = instances, losses
        self.claimed = ""
        """The uuid of the job with the external id."""
        self.answers: list[str] = []

    def processes(self) -> Iterator[Steps]:
        for nth, instance in enumerate(self.instances):
            yield self.client(instance, "AB"[nth % 2], f"uuid {nth}")

    def client(self, instance: str, node: str, drawn: str) -> Steps:
        """Register until it is answered; each time the node draws another uuid."""
        while True:
            yield f"{instance} registers through {node}"
            if (yield from self.is_lost("the request is lost")):
                continue
            is_new = yield from self.register(instance, node, drawn)
            if (yield from self.is_lost("the answer is lost")):
                continue
            is_own = self.stream(self.claimed or drawn) == [f"begun {instance}"]
            told = is_new or (is_own and self.rules[1])
            self.answers.append(f"{instance} {'has the token' if told else 'is refused'}")
            return

    def register(self, instance: str, node: str, drawn: str) -> Part:
        while True:
            yield f"{node} looks the external id up"
            if self.claimed:
                return False
            yield f"{node} begins {drawn}"
            if self.claimed and self.rules[0]:
                continue
            self.claimed = drawn
            self.stream(drawn).append(f"begun {instance}")
            return True

    def broken(self) -> Iterator[str]:
        if len(self.streams) > 1:
            yield "two jobs"

    def left_undone(self) -> Iterator[str]:
        holders = {each[0] for each in self.answers if "token" in each}
        if len(holders) != 1:
            yield "not one instance has the token"
        if {f"{each} is refused" for each in holders} & {*self.answers}:
            yield "an instance is refused its own"


class TakingUp(Ledger):
    """Attempt 1, of p, is silent. Two others take the job up, and p comes back.

    The arguments leave rules out. `by_record`: without `take_over` only an attempt that is recorded
    as lost is replaced. `names_attempt`: a renewal finds the row of its own attempt only.
    """

    def __init__(
        self, *, by_record: bool = True, names_attempt: bool = True, checks_versions: bool = True
    ) -> None:
        super().__init__(checks_versions=checks_versions)
        self.rules = by_record, names_attempt
        self.streams = {"job": ["attempt p"]}
        self.is_due = True
        self.told: dict[str, int] = {}
        self.is_wrong = ""

    def processes(self) -> Iterator[Steps]:
        yield self.sweeper()
        yield self.worker("q", "A")
        yield self.worker("r", "B")
        yield self.first()

    def attempts(self) -> list[str]:
        return [*among(self.stream("job"), ["attempt"])]

    def is_lost_by_record(self) -> bool:
        return self.stream("job")[-1] == "lost"

    def sweeper(self) -> Steps:
        yield from self.decide("A", "job", self.loss, lambda: self.is_due)

    def loss(self) -> list[str]:
        return ["lost"] if len(self.stream("job")) == 1 and self.is_due else []

    def worker(self, instance: str, node: str) -> Steps:
        """Take it up after attempt 1."""
        yield f"{instance} asks to take it up"
        if (yield from self.decide(node, "job", lambda: self.begin(instance))):
            self.told[instance] = len(self.attempts())
            if self.told[instance] == 2 and not self.is_due:
                self.is_wrong = "a live attempt is replaced"
            self.is_due = False

    def begin(self, instance: str) -> list[str]:
        may = self.is_lost_by_record() if self.rules[0] else self.is_due
        return [f"attempt {instance}"] if len(self.attempts()) == 1 and may else []

    def first(self) -> Steps:
        """Beat: renew the row by a statement, and take a loss back."""
        yield "p beats"
        if self.is_lost_by_record():
            yield from self.decide("A", "job", self.returned, self.renewed)
        elif len(self.attempts()) == 1 or not self.rules[1]:
            if len(self.attempts()) > 1:
                self.is_wrong = "a replaced attempt renews another's lease"
            self.is_due = False

    def returned(self) -> list[str]:
        return ["returned"] if self.is_lost_by_record() else []

    def renewed(self) -> bool:
        self.is_due = False
        return True

    def broken(self) -> Iterator[str]:
        if self.is_wrong:
            yield self.is_wrong
        if len(self.attempts()) > 2:
            yield "two take up the same attempt"


class Restored(World):
    """q has taken up attempt 2. The ledger is restored to before; r takes up attempt 2.

    `names_instance` is whether a derived token names the instance, too.
    """

    def __init__(self, *, names_instance: bool = True) -> None:
        self.names_instance = names_instance
        self.newest = 1, "p"
        self.told: dict[str, str] = {}

    def processes(self) -> Iterator[Steps]:
        yield self.reporter("p", 1)
        yield self.reporter("q", 2)
        yield self.worker()

    def worker(self) -> Steps:
        yield "r takes it up after attempt 1"
        if self.newest[0] == 1:
            self.newest = 2, "r"
            yield from self.reporter("r", 2)

    def reporter(self, instance: str, attempt: int) -> Steps:
        for beat in range(2):
            yield f"{instance} reports for attempt {attempt} ({beat})"
            if attempt > self.newest[0]:
                self.newest = attempt, instance
            is_own = attempt == self.newest[0] and (
                instance == self.newest[1] or not self.names_instance
            )
            self.told[instance] = "goes on" if is_own else "must stop"

    def left_undone(self) -> Iterator[str]:
        if self.told.get("q") == self.told.get("r") == "goes on":
            yield "two instances share an attempt"


class Below(Ledger):
    """A child registers below a job that ends meanwhile, and whose tree is discarded then.

    `attaches` is whether the registration appends to the parent's stream.
    """

    def __init__(self, *, attaches: bool = True) -> None:
        super().__init__()
        self.attaches = attaches
        self.discarded: set[str] = set()

    def processes(self) -> Iterator[Steps]:
        yield self.end()
        yield self.registration()
        yield self.sweep()

    def end(self) -> Steps:
        yield from self.decide("A", "parent", lambda: ["ended"])

    def registration(self) -> Steps:
        if self.attaches:
            is_done = yield from self.decide("B", "parent", self.attach)
        else:
            yield "B reads parent"
            is_done = not self.is_over("parent")
            yield "B commits the child"
        if is_done:
            self.stream("child").append("begun")
            yield "the child ends"
            self.stream("child").append("ended")

    def attach(self) -> list[str]:
        return [] if self.is_over("parent") else ["attached"]

    def is_over(self, job: str) -> bool:
        return "ended" in self.stream(job)

    def sweep(self) -> Steps:
        """Discard the tree. That all of it has ended stays so, and needs no check."""
        yield when(self.is_due, "B finds that all jobs of the tree have ended")
        tree = {*self.streams}
        yield "B discards them"
        self.discarded = tree

    def is_due(self) -> bool:
        return all(self.is_over(job) for job in ("parent", *self.streams))

    def broken(self) -> Iterator[str]:
        if self.discarded and {*self.streams} - self.discarded:
            yield "a child is left of a discarded tree"


@pytest.mark.parametrize("instances", ["pp", "pq", pytest.param("pqpq", marks=pytest.mark.long)])
def test_the_same_registration_twice_at_once_is_one_job(instances: str) -> None:
    assert not explore(lambda: Registrations(instances)).trace


def test_a_job_is_taken_up_once_and_not_from_one_who_is_back() -> None:
    assert not explore(TakingUp).trace


def test_after_a_restore_two_instances_share_no_attempt() -> None:
    assert not explore(Restored).trace


def test_nothing_is_registered_below_a_job_that_is_over() -> None:
    assert not explore(Below).trace


@pytest.mark.parametrize(
    ("left_out", "broken"),
    [
        (lambda: Registrations(claims_id=False), "two jobs"),
        (lambda: Registrations("p", derives=False), "not one instance has the token"),
        (lambda: TakingUp(by_record=False), "a live attempt is replaced"),
        (lambda: TakingUp(names_attempt=False), "a replaced attempt renews another's lease"),
        (lambda: TakingUp(checks_versions=False), "two take up the same attempt"),
        (lambda: Restored(names_instance=False), "two instances share an attempt"),
        (lambda: Below(attaches=False), "a child is left of a discarded tree"),
    ],
    ids=[
        "no claim",
        "drawn token",
        "by the row",
        "any attempt's row",
        "no versions",
        "no instance",
        "not attached",
    ],
)
def test_without_a_rule_it_is_broken(left_out: Callable[[], World], broken: str) -> None:
    assert explore(left_out).broken == broken
