"""A real browser, in processes of its own, for a service that runs in this one."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright

from scripts.benchmarks.support.data_directories import EMAIL, PASSWORD
from scripts.benchmarks.support.processes import BenchmarkBroken, Served

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start Debian's Chromium. Raise `BenchmarkBroken` if there is none."""
    found = shutil.which("chromium")
    if found is None:
        raise BenchmarkBroken("there is no Chromium here")
    async with async_playwright() as playwright:
        yield await playwright.chromium.launch(executable_path=found, args=FLAGS)


async def job_page(browser: Browser, server: Served, job: str) -> Page:
    """Open the page of a job, logged in and connected."""
    page = await browser.new_page()
    await page.goto(f"http://{server.host}:{server.port}/jobs/{job}")
    await page.get_by_label("Email").fill(EMAIL)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.locator(".connection-live").wait_for()
    return page
