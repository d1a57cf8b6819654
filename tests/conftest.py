"""Options and order of all tests, and what is watched while they run."""

import gc
import secrets
import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings
from xdist.workermanage import WorkerController

import api.background.image_work
import api.background.retention
import api.composition
from tests.harness import (
    evidence,
    hashing,
    late_input,
    leaks,
    load,
    long_run,
    order,
    parsing,
)
from tests.harness.leaks import nothing_left_behind
from tests.support.empty import empty_ledger
from tests.support.fork_server import NEVER_S
from tests.support.postgres import database, ledger_database, postgres, stop_server

__all__ = ["database", "ledger_database", "nothing_left_behind", "postgres"]

pytest.register_assert_rewrite(
    "tests.ledger.store.conformance",
    "tests.ledger.store.lease_conformance",
    "tests.projections.checking",
    "tests.support.deciding",
    "tests.support.opened",
)

hashing.make_hashes_cheap()
# Seconds after its start, a service of a slow machine is in the middle of a test.
api.background.image_work.RESUME_S = NEVER_S
api.background.retention.START_S = NEVER_S
api.composition.REPEAT_S = NEVER_S
api.composition.RESERVE_MOST = 0  # hundreds of ledgers with reserves would fill the disk

_COMMON = settings(
    deadline=None,  # a busy machine is no failure
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("plain", parent=_COMMON, max_examples=25, stateful_step_count=40)
settings.register_profile("stress", parent=_COMMON, max_examples=50, stateful_step_count=40)
settings.register_profile("quick", parent=_COMMON, max_examples=10, stateful_step_count=20)
settings.register_profile("long", parent=_COMMON, max_examples=1_000, stateful_step_count=80)

NOT_QUICK = {
    "postgres": {"postgres"},
    "browser": {"page"},
    "process": {
        *("acceptance", "backup", "cli", "client", "compatibility", "faults"),
        *("harness", "metrics", "readme", "scripts", "trials"),
    },
    "thorough": set[str](),
}
"""What a quick run leaves out: by mark, fixture or parameter, and by folder."""


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.addoption
    add("--long", action="store_true", help="also what takes minutes; resumes an interrupted run")
    add("--quick", action="store_true", help="no PostgreSQL, browser, processes or high counts")
    add("--stress", action="store_true", help="shuffled, on processors and a disk that are busy")
    add(
        "--seed",
        type=int,
        help="of the order and of what is drawn; 0, or new if --stress or --long",
    )
    add("--screenshots", action="store_true", help="renew those of the page")
    add("--record-durations", action="store_true", help="of files, for the order of later runs")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    chosen = [tier for tier in ("long", "stress", "quick") if config.getoption(f"--{tier}")]
    settings.load_profile((chosen or ["plain"])[0])
    config.pluginmanager.register(evidence)
    config.pluginmanager.register(leaks)
    config.pluginmanager.register(parsing)
    config.option.seed = _seed(config)
    config.option.hypothesis_seed = str(config.option.seed)
    if config.getoption("--stress") and _runs_tests(config):
        config.pluginmanager.register(load.of_the_tests())
        config.pluginmanager.register(late_input.LateInput(config.option.seed))
    if _is_worker(config):
        return
    # Told to end, a run ends as if interrupted: with its processes, and the files in memory.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.add_cleanup(lambda: signal.signal(signal.SIGTERM, before))
    if config.getoption("--stress"):
        config.pluginmanager.register(load.of_the_machine())
    if config.getoption("--record-durations"):
        config.pluginmanager.register(order.Durations())


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if config.getoption("--long") and not _is_worker(config):
        config.pluginmanager.register(long_run.LongRun(config), "long-run")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if not _is_worker(session.config):
        stop_server(session.config._tmp_path_factory.getbasetemp())


def pytest_report_header(config: pytest.Config) -> list[str]:
    seed = f"seed: {config.option.seed} (--seed repeats its order and what it drew)"
    left_out = "tests that take minutes are left out (--long runs them)"
    return [seed] if config.getoption("--long") else [seed, left_out]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> order.Scheduling | None:
    """Divide tests in parts of files, unless another distribution is requested."""
    return order.Scheduling(config, log) if config.getoption("dist") == "load" else None


def pytest_configure_node(node: WorkerController) -> None:
    """Tell the processes of this run what was decided for all of them."""
    run = node.config.pluginmanager.get_plugin("long-run")
    node.workerinput["seed"] = node.config.option.seed
    node.workerinput["passed"] = run.passed if run else []


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what is collected out of the search for garbage: all of it stays to the end.

    Look for garbage seldom after that: services that come and go made it a tenth of the work.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for mark in _marks(item):
            item.add_marker(mark)
    _leave_out(config, items)
    if config.getoption("--stress"):
        order.shuffle(items, config.option.seed)
    elif _is_worker(config):
        order.put_longest_first(items)


def _seed(config: pytest.Config) -> int:
    """Return the seed of all processes of the run.

    A plain run judges a change, so it draws the same each time: what fails was caused by the
    change. Those who search, with --stress or --long, search somewhere else each time.
    """
    if _is_worker(config):
        return int(config.workerinput["seed"])
    given: int | None = config.option.seed
    if given is not None:
        return given
    searches = config.getoption("--stress") or config.getoption("--long")
    return secrets.randbelow(1_000_000) if searches else 0


def _marks(item: pytest.Item) -> list[str]:
    needs = {*getattr(item, "fixturenames", ())}
    if hasattr(item, "callspec"):
        needs |= {each for each in item.callspec.params.values() if isinstance(each, str)}
    folders = {*item.nodeid.partition("::")[0].split("/")}
    needs |= {marker.name for marker in item.iter_markers()}
    return [mark for mark, slow in NOT_QUICK.items() if folders & slow or mark in needs]


def _leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [] if config.getoption("--long") else ["long"]
    if config.getoption("--quick"):
        left_out += NOT_QUICK
    out = {item for item in items if any(map(item.get_closest_marker, left_out))}
    config.hook.pytest_deselected(items=list(out))
    items[:] = [item for item in items if item not in out]
    if config.getoption("--long"):
        run = config.pluginmanager.get_plugin("long-run")
        passed = config.workerinput["passed"] if _is_worker(config) else run.passed
        long_run.leave_out(items, passed, config)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _runs_tests(config: pytest.Config) -> bool:
    return _is_worker(config) or not config.getoption("numprocesses", None)


@pytest.fixture(scope="session", autouse=True)
def empty_ledger_as_it_is() -> None:
    """Make it before a test breaks what makes it."""
    empty_ledger()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the random seed of a test; each test of a run has another."""
    return order.seed_of(request.node.nodeid, request.config.option.seed)
