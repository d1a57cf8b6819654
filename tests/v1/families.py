"""Jobs of producers that are related, by short names."""

from typing import Any

from msgspec.structs import replace

from ledger.domain.aggregates.job import Job
from ledger.domain.commands import Command
from ledger.domain.producers.commands import RegisterJob
from tests.api.calling import ALICE, Answer
from tests.support.wait import wait_until
from tests.v1.calling import V1


class Family:
    """Jobs of one account, each with a uuid of its own."""

    def __init__(self, v1: V1) -> None:
        self._v1 = v1
        self._uuids: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        return self._uuids.setdefault(name, self._v1.service.new_id())

    async def register(self, *commands: RegisterJob) -> None:
        await self._v1.do(
            *(
                replace(
                    command,
                    owner=ALICE.uuid,
                    job=self[command.job],
                    parent=None if command.parent is None else self[command.parent],
                )
                for command in commands
            )
        )

    async def do(self, *commands: Command) -> None:
        await self._v1.do(*commands)

    async def cancel(self, name: str, said: Any = None, **given: Any) -> Answer:
        return await self._v1.post(f"/jobs/{self[name]}/cancel", said or {}, **given)

    def job(self, name: str) -> Job:
        job = self._v1.service.ledger.job(self[name])
        assert job is not None
        return job

    def ended(self, name: str) -> tuple[str | None, str | None]:
        produced = self.job(name).produced
        assert produced is not None
        return produced.outcome, produced.reason

    async def until_ended(self, *names: str) -> None:
        for name in names:
            await wait_until(f"{name} has ended", lambda name=name: self.job(name).ended)  # type: ignore[misc]
