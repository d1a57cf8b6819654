"""A browser for each file of tests: what drives it has an event loop that must end with them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.client import data_blocks
from tests.acceptance.conftest import machine
from tests.acceptance.running import Machine, Server, add_account, make_data
from tests.page.browsing import CHROMIUM, Watched, chromium

__all__ = ["machine"]

OPERATOR = "operator@example.test"
OPERATORS_PASSWORD = "battery staple correct horse"

SLOW = "128K"
ENDLESS_BLOCKS = 512
"""At that rate they take minutes: what copies them runs until the test ends it."""

Open = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="there is no Chromium here")
    for item in items:
        if CHROMIUM is None and "tests/page/" in item.path.as_posix():
            item.add_marker(skip)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def account_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of a service with two accounts."""
    data = tmp_path_factory.mktemp("accounts") / "data"
    make_data(data)
    add_account(data, OPERATOR, OPERATORS_PASSWORD, "--role", "operator")
    return data


@pytest.fixture
def server(machine: Machine) -> Server:
    return machine.start()


@pytest.fixture
def slow(machine: Machine) -> Server:
    """A service whose copies take a while; those of `endless` images until somebody ends them."""
    return machine.start("--copy-rate", SLOW)


def endless(seed: int = 1) -> bytes:
    """An image whose copy, by a slow service, ends only when somebody ends it."""
    return data_blocks(ENDLESS_BLOCKS, seed)


@pytest.fixture
def watch(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens pages; a fault in any of their consoles fails the test."""
    opened: list[Watched] = []

    def watch(address: str, **context: object) -> Watched:
        opened.append(Watched(browser, address, **context))
        return opened[-1]

    yield watch
    for each in opened:
        each.context.close()
    for each in opened:
        each.check()
