"""A browser for each file of tests: what drives it has an event loop that must end with them."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.acceptance.client import data_blocks
from tests.acceptance.conftest import account_data, machine
from tests.acceptance.running import Machine, Server, run_command
from tests.page.browsing import CHROMIUM, Watched, chromium

__all__ = ["account_data", "machine"]

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


@pytest.fixture
def server(machine: Machine) -> Server:
    """A service with two accounts."""
    added = run_command(
        *("account", "add", OPERATOR, "--role", "operator", "--password-stdin"),
        *("--data", str(machine.data)),
        stdin=f"{OPERATORS_PASSWORD}\n",
    )
    assert added.returncode == 0, added.stderr
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
