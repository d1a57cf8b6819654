"""A real browser on the page of a real service."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    WebSocket,
    expect,
    sync_playwright,
)

from tests.acceptance.running import EMAIL, PASSWORD
from tests.support.wait import PATIENCE_S, wait_for

T = TypeVar("T")

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
"""Debian's, without a window to draw if possible; None where `scripts/test` could install none."""
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SCREENSHOTS = Path(__file__).with_name("screenshots")

WIDE, NARROW = 1280, 360
EVERY_RULE = {"resultTypes": ["violations"]}
COLOURS = {**EVERY_RULE, "runOnly": ["color-contrast"]}
"""What axe-core looks for."""
PATIENCE_MS = PATIENCE_S * 1000
AHEAD_S = 30
"""How far a clock is put forward as it is stopped: it cannot be put back."""

expect.set_options(timeout=PATIENCE_MS)

# What a browser itself says of an answer that is no success; the page says so in its own words.
_ANSWER = re.compile(r"Failed to load resource|WebSocket connection to .* failed")


PATIENT = """
    const abort = AbortController.prototype.abort;
    AbortController.prototype.abort = function (...reason) {
        if (!window.isPatient) abort.apply(this, reason);
    };
    window.isPatient = true;
"""
"""The page gives up an answer after some seconds, which a slow machine may need."""


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Watched:
    """A page in a browser of its own, of which every fault that its console tells is kept."""

    def __init__(self, browser: Browser, address: str, **context: Any) -> None:
        given = {"viewport": {"width": WIDE, "height": 900}, "locale": "en-GB", **context}
        self.context = browser.new_context(base_url=address, timezone_id="UTC", **given)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.add_init_script(PATIENT)
        self.faults: list[str] = []
        self.sockets: list[WebSocket] = []
        self.frames: list[str] = []
        self._asked: set[Request] = set()
        self.page.on("request", self._note)
        self.page.on("requestfinished", self._forget)
        self.page.on("requestfailed", self._forget)
        self.page.on("websocket", self._hear_of)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))

    def _note(self, request: Request) -> None:
        self._asked.add(request)

    def _forget(self, request: Request) -> None:
        self._asked.discard(request)

    def _hear_of(self, socket: WebSocket) -> None:
        self.sockets.append(socket)
        socket.on("framereceived", lambda frame: self.frames.append(str(frame)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _ANSWER.match(message.text):
            self.faults.append(message.text)

    def log_in(self, email: str = EMAIL, password: str = PASSWORD) -> Page:
        """The page after the login, at the list of jobs."""
        self.page.goto("/")
        fill_in(self.page, email, password)
        expect(self.page.get_by_role("heading", name="Jobs")).to_be_visible()
        expect(self.page.locator(".connection")).to_contain_text("Live")
        return self.page

    def wait_for_answers(self) -> None:
        """Until there is one to all that the page has asked."""
        wait_on(self.page, "for the last answer", lambda: not self._asked)

    def check(self) -> None:
        """That nothing went wrong, and nothing was refused by the page's own policy."""
        assert self.faults == [], self.faults


def fill_in(page: Page, email: str = EMAIL, password: str = PASSWORD) -> None:
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def wait_on(page: Page, what: str, find: Callable[[], T | None]) -> T:
    """`wait_for`, while what drives the browser hears of what happens there."""

    def look() -> T | None:
        page.evaluate("0")
        return find()

    return wait_for(what, look)


def settle(page: Page) -> None:
    """Returns once the page has made of it, and drawn, what had come when this began.

    An answer that is asked for later comes later, and so does a picture.
    """
    page.evaluate(
        """async () => {
            await (await fetch("/page/store.js", {cache: "no-store"})).text();
            for (let nth = 0; nth < 3; nth += 1) {
                await new Promise((drawn) => requestAnimationFrame(drawn));
            }
        }"""
    )


def stop_clock(page: Page) -> None:
    """From now on the page's time passes only where it is told to, and patience ends by it."""
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + AHEAD_S)
    page.evaluate("isPatient = false")


def note_connection(page: Page) -> None:
    """From now on all that the header says is kept, for `connections_said`."""
    page.evaluate(
        """() => {
            window.said = [];
            const note = () => said.push(document.querySelector(".connection").textContent);
            const all = {subtree: true, childList: true, characterData: true};
            new MutationObserver(note).observe(document.querySelector("header"), all);
        }"""
    )


def connections_said(page: Page) -> str:
    return "".join(page.evaluate("said"))


def check_accessible(page: Page, rules: Mapping[str, list[str]] = EVERY_RULE) -> None:
    """axe-core has no serious finding, and nothing is wider than the window."""
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate("rules => axe.run(rules)", rules)
    serious = [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious, serious
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), page.url
