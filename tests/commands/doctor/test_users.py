"""The doctor names the five largest users of what is limited."""

import re
from pathlib import Path

from api.cli.commands.doctor import _lines
from api.composition import open_service
from api.doctor.checks import examine_service
from api.service.settings import Settings
from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.commands.drives import CreateDrives, NewDrive
from ledger.domain.commands.jobs import CreateJob
from ledger.store.writer import Caller
from tests.support.world import disk


async def test_the_five_largest(tmp_path: Path) -> None:
    """By drives, jobs, and bytes of events; neither the library nor workers are among them."""
    async with open_service(Settings(data=tmp_path, copying=False)) as service:
        execute = service.ledger.execute
        shelf = CreateDrives(LIBRARY, tuple(NewDrive(f"l{n}", disk()) for n in range(9)), "blank")
        await execute(shelf, Caller("worker:library", ""))
        for nth in range(1, 7):
            account = await service.accounts.add(f"user-{nth}@example.test", "a long password")
            caller = Caller(account.uuid, "")
            drives = tuple(NewDrive(f"{nth}-{n}", disk("x" * 50)) for n in range(nth))
            await execute(CreateDrives(account.uuid, drives, "blank"), caller)
            for n in range(7 - nth):
                await execute(CreateJob(account.uuid, f"job-{nth}-{n}", "x"), caller)
        findings = examine_service(service)
    largest = {users.most: users.accounts for users in findings.users}
    assert largest["drives"] == {f"user-{nth}@example.test": nth for nth in (6, 5, 4, 3, 2)}
    assert largest["jobs"] == {f"user-{nth}@example.test": 7 - nth for nth in range(1, 6)}
    recorded = largest["bytes of events in a day"]
    assert len(recorded) == 5
    assert sorted(recorded.values(), reverse=True) == list(recorded.values())
    shown = dict(_lines(findings))
    assert re.match(r"user-6@example.test: 6, user-5@example.test: 5, ", shown["most drives"])
