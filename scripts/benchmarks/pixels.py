"""From a commit to the pixel: when the page shows an update, beside two hundred other subscribers.

The floor's page has a websocket and one text that changes, without a ledger, rendering or layout.
Both are in the same real browser, which has processes of its own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

from aiohttp import web
from playwright.async_api import Browser, Page

from api.app import make_app
from api.composition import open_service
from api.service.settings import Settings
from scripts.benchmarks.frames import ANY_NUMBER, ReportingJob, bare_app, served
from scripts.benchmarks.support.browsers import chromium, job_page
from scripts.benchmarks.support.data_directories import seed
from scripts.benchmarks.support.listeners import NUMBER, listeners
from scripts.benchmarks.support.processes import Served
from scripts.benchmarks.support.rows import Round, Row, percentile_ms, row
from scripts.benchmarks.support.scale import Setting

OTHERS = 200
PAUSE_S = 0.1
"""The pause between two updates; a copy job reports once a second."""
WARM_UP = 5
SHOWN_S = 10.0

# Notes for each number when the picture with it has been drawn, in ms since 1970.
_WATCH = """() => {
    window.shown = {};
    const look = () => {
        const [, number] = /(\\d+) B of/.exec(document.body.textContent) ?? [];
        if (number === undefined || number in window.shown) return;
        window.shown[number] = null;
        requestAnimationFrame(() => setTimeout(() => {
            window.shown[number] = performance.timeOrigin + performance.now();
        }));
    };
    new MutationObserver(look).observe(document.body, {
        subtree: true, childList: true, characterData: true,
    });
}"""
_BARE = """() => {
    const socket = new WebSocket(`ws://${location.host}/websocket`);
    socket.onmessage = (event) => {
        document.body.textContent = /"bytes_done":(\\d+)/.exec(event.data)[1] + " B of it";
    };
    return new Promise((opened) => { socket.onopen = opened; });
}"""


def pixel(setting: Setting) -> Row:
    """The p95 of the time from an update to the page of its job."""
    return asyncio.run(_row(setting))


async def _row(setting: Setting) -> Row:
    scale, data = setting
    count = WARM_UP + scale.frames // 3
    seeded = await seed(data)
    rounds, floors = [], []
    async with (
        chromium() as browser,
        open_service(Settings(data=data, copying=False, limits=ANY_NUMBER)) as service,
    ):
        telling = await ReportingJob.begin(service, seeded.owner)
        (account,) = await service.accounts.every()
        for _ in range(scale.rounds):
            cookie = await service.accounts.new_async_cookie(account)
            async with served(make_app(service)) as server:
                page = await job_page(browser, server, telling.job)
                ours = await _latencies(page, server, cookie, telling.update, count)
            floor = await _floor(browser, telling.text, count)
            p50, p95 = percentile_ms(ours, 0.5), percentile_ms(ours, 0.95)
            rounds.append(Round(p95, percentile_ms(floor, 0.95), p50, percentile_ms(ours, 0.99)))
            floors.append(percentile_ms(floor, 0.5))
    note = f"p95; {OTHERS} other subscribers; aim 500 ms; the floor's p50 {median(floors):.1f} ms"
    return row("pixel", "ms p95", rounds, at_least=None, note=note, lower_is_better=True)


async def _floor(browser: Browser, text: str, count: int) -> list[float]:
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def tell(number: int) -> None:
        await queue.put(NUMBER.sub(f'"bytes_done":{number}', text))

    async def empty(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>floor</title>", content_type="text/html")

    app = bare_app(queue)
    app.router.add_get("/", empty)
    async with served(app) as server:
        page = await browser.new_page()
        await page.goto(f"http://{server.host}:{server.port}/")
        await page.evaluate(_BARE)
        return await _latencies(page, server, "", tell, count)


async def _latencies(
    page: Page, server: Served, cookie: str, tell: Callable[[int], Awaitable[None]], count: int
) -> list[float]:
    """Return seconds from the end of a command to its picture, after the warm-up."""
    sent = {}
    with listeners(server, cookie, sockets=OTHERS) as others:
        await asyncio.to_thread(others.wait_until_connected)
        await page.evaluate(_WATCH)
        for number in range(1, count + 1):
            await tell(number)
            sent[number] = time.time()
            await asyncio.sleep(PAUSE_S)
        await page.wait_for_function(f"window.shown[{count}] > 0", timeout=SHOWN_S * 1000)
        shown = await page.evaluate("window.shown")
    await page.close()
    return [
        max(0.0, shown[str(number)] / 1000 - at)
        for number, at in sent.items()
        if number > WARM_UP and str(number) in shown
    ]
