"""The doctor tells of lost jobs of producers by host; they are no fault of the ledger."""

from pathlib import Path

from msgspec.structs import replace

from api.cli.commands.doctor import _lines
from api.composition import open_service
from api.doctor.checks import examine_service
from api.service.settings import Settings
from ledger.domain.events.producers import Holder
from ledger.domain.producers.commands import LoseProducer
from ledger.store.writer import Caller
from tests.support.producing import running
from tests.support.world import ME


async def test_lost_jobs_are_told_by_host(tmp_path: Path) -> None:
    """With when each host was last heard of, and the first ten jobs."""
    holders = {
        **{f"nas-{nth:02}": Holder("a", host="nas") for nth in range(12)},
        "one": Holder("b", host="laptop\x1b"),
        "none": Holder("c"),
    }
    async with open_service(Settings(data=tmp_path, copying=False)) as service:
        execute = service.ledger.execute
        for job, holder in holders.items():
            await execute(replace(running(job), holder=holder), Caller(ME, ""))
            await execute(LoseProducer(job, 1), Caller("system", ""))
        await execute(running("alive"), Caller(ME, ""))
        findings = examine_service(service)
    assert findings.problems == []
    lost = {each.host: each for each in findings.lost}
    assert {host: each.count for host, each in lost.items()} == {
        "nas": 12,
        "laptop\x1b": 1,
        None: 1,
    }
    assert [each.host for each in findings.lost] == [None, "laptop\x1b", "nas"]
    assert lost["nas"].jobs == [f"nas-{nth:02}" for nth in range(10)]
    assert all(each.heard is not None for each in findings.lost)
    shown = dict(_lines(findings))
    told = shown["lost on nas"]
    assert isinstance(told, str)
    assert told.startswith("12 jobs, last heard 20")
    assert told.endswith("nas-09, ...")
    assert "lost on an unknown host" in shown
