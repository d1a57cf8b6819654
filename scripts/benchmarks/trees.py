"""How smoothly the page of a job with 1,000 sub-jobs moves while they do.

The floor is the same page while nothing happens. Both are the time between two frames that the
browser requests.
"""

import asyncio
import itertools
from collections.abc import Awaitable
from statistics import median

from playwright.async_api import Page

from api.app import make_app
from api.composition import open_service
from api.service.ids import new_id
from api.service.service import Service
from api.service.settings import Settings
from ledger.domain.commands.jobs import CreateJob, StartAttempt, UpdateProgress
from ledger.store.writer import Caller
from scripts.benchmarks.frames import served
from scripts.benchmarks.support.browsers import chromium, job_page
from scripts.benchmarks.support.data_directories import seed
from scripts.benchmarks.support.rows import Round, Row, percentile_ms, row
from scripts.benchmarks.support.scale import Setting

BRANCHES, LEAVES = 10, 99
"""1,000 jobs with the root's branches, and the root itself."""
UPDATES_A_SECOND = 100
TOTAL = 1_000_000

_WATCH = """() => {
    window.between = [];
    let last = performance.now();
    const note = () => {
        const now = performance.now();
        window.between.push((now - last) / 1000);
        last = now;
        requestAnimationFrame(note);
    };
    requestAnimationFrame(note);
}"""


def tree(setting: Setting) -> Row:
    """The p99 of the time between two pictures."""
    return asyncio.run(_row(setting))


async def _row(setting: Setting) -> Row:
    scale, data = setting
    updates = scale.frames * 2
    seeded = await seed(data)
    rounds, longest = [], []
    async with (
        chromium() as browser,
        open_service(Settings(data=data, copying=False)) as service,
    ):
        growing = await _ReportingTree.begin(service, seeded.owner)
        for _ in range(scale.rounds):
            async with served(make_app(service)) as server:
                page = await job_page(browser, server, growing.root)
                await page.locator(".tree .node").nth(BRANCHES * (LEAVES + 1) - 1).wait_for()
                await page.evaluate(_WATCH)
                floor = await _between(page, asyncio.sleep(updates / UPDATES_A_SECOND))
                ours = await _between(page, growing.update(updates))
                await page.get_by_text(f"{updates} B of").first.wait_for()
                await page.close()
            p50, p99 = percentile_ms(ours, 0.5), percentile_ms(ours, 0.99)
            rounds.append(Round(p99, percentile_ms(floor, 0.99), p50, p99))
            longest.append(max(ours) * 1000)
    note = (
        f"between pictures, p99; {UPDATES_A_SECOND} updates a second;"
        f" the longest {median(longest):.0f} ms"
    )
    return row("tree", "ms p99", rounds, at_least=None, note=note, lower_is_better=True)


class _ReportingTree:
    """A tree of jobs whose leaves report one after the other."""

    def __init__(self, service: Service, caller: Caller, root: str, leaves: list[str]) -> None:
        self._service = service
        self._caller = caller
        self._turns = itertools.cycle(leaves)
        self.root = root

    @classmethod
    async def begin(cls, service: Service, owner: str) -> "_ReportingTree":
        caller, root = Caller(owner, ""), new_id()
        execute = service.ledger.execute
        await execute(CreateJob(owner, root, "benchmark"), caller)
        leaves = []
        for _ in range(BRANCHES):
            branch = new_id()
            await execute(CreateJob(owner, branch, "benchmark", parent=root), caller)
            for _ in range(LEAVES):
                leaves.append(leaf := new_id())
                await execute(CreateJob(owner, leaf, "benchmark", parent=branch), caller)
                await execute(StartAttempt(leaf, 1, "benchmark"), caller)
        return cls(service, caller, root, leaves)

    async def update(self, count: int) -> None:
        """Send reports at an even rate, each of as many bytes as its number."""
        for number in range(1, count + 1):
            report = UpdateProgress(next(self._turns), 1, 1, number, TOTAL, number)
            await self._service.ledger.execute(report, self._caller)
            await asyncio.sleep(1 / UPDATES_A_SECOND)


async def _between(page: Page, meanwhile: Awaitable[None]) -> list[float]:
    """Return the seconds from each picture to the next."""
    await page.evaluate("window.between = []")
    await meanwhile
    found: list[float] = await page.evaluate("window.between")
    return found[1:]
