import base64
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import argon2
import pytest

import api.credentials
from api.accounts import Accounts
from api.composition import now, open_ledger


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quick_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time, where a test is not about them."""
    quick = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(api.credentials, "_hasher", quick)


@pytest.fixture
async def accounts(tmp_path: Path, clock: Clock) -> AsyncIterator[Accounts]:
    ids = itertools.count(1)
    async with open_ledger(tmp_path) as opened:
        made = Accounts(opened.ledger, now=now, new_id=lambda: f"uuid-{next(ids)}", clock=clock)
        yield made
        made.close()


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that passwords were verified against, in order."""
    hashes: list[str] = []
    really = api.accounts.is_password

    def noted(password: str, password_hash: str) -> bool:
        hashes.append(password_hash)
        return really(password, password_hash)

    monkeypatch.setattr(api.accounts, "is_password", noted)
    return hashes


Basic = Callable[[str, str], str]


@pytest.fixture
def basic() -> Basic:
    """The Authorization header of an email and a password."""

    def header(email: str, password: str) -> str:
        return "Basic " + base64.b64encode(f"{email}:{password}".encode()).decode()

    return header
