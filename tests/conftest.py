"""What every test has: the option `--long`, and property tests whose failures can be run again."""

import pytest
from hypothesis import HealthCheck, settings

from tests.support.postgres import database, ledger_database, postgres

__all__ = ["database", "ledger_database", "postgres"]

pytest.register_assert_rewrite(
    "tests.ledger.conformance",
    "tests.projections.checking",
    "tests.support.deciding",
    "tests.support.opened",
)

_COMMON = settings(
    deadline=None,  # a busy machine is no failure
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("suite", parent=_COMMON, max_examples=50, stateful_step_count=40)
settings.register_profile("long", parent=_COMMON, max_examples=1_000, stateful_step_count=80)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also what takes minutes, and far more")
    parser.addoption("--screenshots", action="store_true", help="renews those of the page")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if config.getoption("--long") else "suite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="takes minutes; runs with --long")
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(skip)
