"""The demo: an account, a drive and a clone of it, to have something to look at."""

import os
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from api.accounts.credentials import new_password
from api.accounts.service import Account
from api.resources.drives.bodies import default_storage_type
from api.service.service import Service
from api.text.urls import API_ROOT
from ledger.domain.commands.drives import CloneDrive
from ledger.domain.events.drives import DriveDefinition
from ledger.store.writer import Caller

DEMO_EMAIL = "demo@example.test"
PASSWORD_FILE = "demo-password"  # noqa: S105 - a file's name
IMAGE_BYTES = 64 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024


class Demo(NamedTuple):
    """The demo account, and the clone job, if one was started."""

    email: str
    password: str
    job: str | None

    def announcement(self, address: str) -> Iterator[str]:
        """Yield lines that say how to use it."""
        yield f"demo account: {self.email}"
        yield f"demo password: {self.password}"
        if self.job is not None:
            url = f"{address}{API_ROOT}/jobs/{self.job}/"
            yield f"demo job: curl -u '{self.email}:{self.password}' {url}"


async def make_demo(service: Service, data: Path) -> Demo:
    """Make the demo account at the first start, and a clone while the account has nothing."""
    account, password = await _demo_account(service, data)
    job = None if _has_drives_or_jobs(service, account) else await _start_clone(service, account)
    return Demo(account.email, password, job)


async def _demo_account(service: Service, data: Path) -> tuple[Account, str]:
    """Return the account and its password, which a file keeps for later starts."""
    saved = _read_password(data)
    password = saved or _save_new_password(data)
    accounts = {account.email: account for account in await service.accounts.every()}
    account = accounts.get(DEMO_EMAIL)
    if account is None:
        return await service.accounts.add(DEMO_EMAIL, password, "user"), password
    if saved is None:
        await service.accounts.set_password(DEMO_EMAIL, password)
    return account, password


def _read_password(data: Path) -> str | None:
    try:
        return (data / PASSWORD_FILE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def _save_new_password(data: Path) -> str:
    password = new_password()
    new = data / f"{PASSWORD_FILE}.new"
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{password}\n")
    new.replace(data / PASSWORD_FILE)
    return password


def _has_drives_or_jobs(service: Service, account: Account) -> bool:
    with service.views.snapshot() as snapshot:
        return snapshot.count("drives", account.uuid) + snapshot.count_jobs(account.uuid, None) > 0


async def _start_clone(service: Service, account: Account) -> str:
    """Upload a small drive and start a clone of it; return the job."""
    caller = Caller(account.uuid, service.new_id())
    storage_type = default_storage_type(service.pools)
    definition = DriveDefinition("demo", "disk", IMAGE_BYTES, storage_type)
    drive = await service.intake.receive(
        account.uuid, definition, _half_sparse(), partial(service.ledger.execute, by=caller)
    )
    job = service.new_id()
    clone = CloneDrive(account.uuid, drive, service.new_id(), job, name="demo clone")
    await service.ledger.execute(clone, caller)
    return job


async def _half_sparse() -> AsyncIterator[bytes]:
    """Yield a disk image in which every other block is a hole."""
    for at in range(0, IMAGE_BYTES, BLOCK_BYTES):
        yield os.urandom(BLOCK_BYTES) if at // BLOCK_BYTES % 2 else bytes(BLOCK_BYTES)
