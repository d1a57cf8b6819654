"""What is shown is what is: whatever comes late, out of turn, or while nobody looks."""

import json
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import APIResponse, Page, Route, expect

from tests.acceptance.client import striped
from tests.acceptance.running import Server
from tests.page.browsing import (
    Watched,
    connections_said,
    fill_in,
    note_connection,
    settle,
    stop_clock,
    wait_on,
)
from tests.page.conftest import OPERATOR, OPERATORS_PASSWORD, endless
from tests.support.between import Between
from tests.support.wait import wait_for

HIDE = "window.held = []; window.requestAnimationFrame = (draw) => held.push(draw); 0"
"""As in a tab that nobody looks at: no pictures are drawn ..."""
SHOW = "for (const draw of held.splice(0)) draw()"
"""... until somebody does."""
LATER = "new Promise((over) => setTimeout(over, 1_000))"
"""Ends after every timer by which something is drawn where no pictures are: those are no longer."""
AT_ONCE = 2
"""So many copies a service makes at once; others wait."""


def card(page: Page) -> Any:
    return page.get_by_role("region", name="The job")


def test_an_answer_that_a_frame_has_overtaken(slow: Server, watch: Any) -> None:
    """It was put together before: what the frame has shown stays."""
    api = slow.api
    job = api.clone(api.upload(endless())).job
    watched: Watched = watch(api.address)
    page = watched.log_in()
    held: list[tuple[Route, str]] = []

    def hold(route: Route) -> None:
        """The answer is put together now, and let go later."""
        held.append((route, route.fetch().text()))

    page.route(f"**/api/2.0/jobs/{job}/", hold)
    page.get_by_title(job).click()
    expect(page.get_by_role("heading", name="Job")).to_be_visible()
    wait_on(page, "for the question", lambda: bool(held))
    api.post(f"/jobs/{job}/action/?do=cancel", {}, status=202)
    wait_on(page, "for the frame", lambda: any(tells_of_the_end(job, f) for f in watched.frames))
    settle(page)
    for route, text in held:
        assert json.loads(text)["state"] == "started"
        route.fulfill(body=text, content_type="application/json")
    settle(page)
    expect(card(page).get_by_text("cancelled")).to_be_visible()


def tells_of_the_end(job: str, text: str) -> bool:
    frame = json.loads(text)
    return bool(
        frame["resource_uri"].endswith(f"/jobs/{job}/") and frame["object"]["state"] == "cancelled"
    )


def test_answers_that_take_long(slow: Server, watch: Any) -> None:
    """Longer than it takes until the list is asked for anew: they are shown all the same."""
    api = slow.api
    job = api.clone(api.upload(endless())).job
    page: Page = watch(api.address).log_in()
    held: list[tuple[Route, APIResponse]] = []
    over = Event()

    def late(route: Route) -> None:
        """An answer is let go once the next one has been asked for."""
        if over.is_set():
            route.continue_()
            return
        held.append((route, route.fetch()))
        if len(held) > 1:
            earlier, answer = held.pop(0)
            earlier.fulfill(response=answer)

    page.route("**/api/2.0/jobs/?*", late)
    for seed in (2, 3):
        api.clone(api.upload(endless(seed)))
    page.get_by_label("State").select_option("started")
    expect(page.get_by_title(job)).to_be_visible()
    over.set()
    while held:
        route, answer = held.pop()
        route.fulfill(response=answer)


def test_a_failed_answer_takes_nothing_away(slow: Server, watch: Any) -> None:
    """What is shown stays, with the trouble above it, and goes on being kept current."""
    api = slow.api
    job = api.clone(api.upload(endless())).job
    page: Page = watch(api.address).log_in()
    expect(page.get_by_title(job)).to_be_visible()
    page.route("**/api/2.0/jobs/?*", lambda route: route.fulfill(status=502, body="bad gateway"))
    api.clone(api.upload(striped(1)))
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_title(job)).to_be_visible()
    shown = page.get_by_role("row").filter(has=page.get_by_title(job))
    expect(shown).to_contain_text("started")
    api.post(f"/jobs/{job}/action/?do=cancel", {}, status=202)
    expect(shown).to_contain_text("cancelled")
    with page.expect_response(lambda answer: answer.status == 502):
        page.get_by_role("button", name="Try again").click()
    page.unroute("**/api/2.0/jobs/?*")
    api.clone(api.upload(striped(1)))  # the page asks again by itself, at the latest now
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_tab_that_nobody_looks_at(slow: Server, watch: Any) -> None:
    """Is as new as others; what it had to draw before a gap is not drawn over what is newer."""
    api = slow.api
    port = urlsplit(api.address).port
    assert port is not None
    job = api.clone(api.upload(endless())).job
    with Between(port).running() as between:
        watched: Watched = watch(between.address)
        page = watched.log_in()
        page.goto(f"/jobs/{job}")
        expect(card(page).locator(".state-started")).to_be_visible()
        expect(page.locator(".connection")).to_contain_text("Live")
        page.evaluate(HIDE)
        figures = card(page).locator(".figures").inner_text()
        expect(card(page).locator(".figures")).not_to_have_text(figures)
        between.cut()
        expect(page.locator(".connection")).to_contain_text("Connection lost")
        api.post(f"/jobs/{job}/action/?do=cancel", {}, status=202)
        between.mend()
        expect(page.locator(".connection")).to_contain_text("Live")
        expect(card(page).get_by_text("cancelled")).to_be_visible()
        page.evaluate(SHOW)
        page.evaluate(LATER)
        expect(card(page).get_by_text("cancelled")).to_be_visible()
        watched.faults = [fault for fault in watched.faults if "ERR_" not in fault]


def test_two_attempts_at_once(server: Server, watch: Any) -> None:
    """The newer one counts, whatever becomes of the other."""
    watched: Watched = watch(server.api.address)
    page = watched.page
    held: list[Route] = []
    page.route(
        "**/action/?do=authenticate_asynchronous",
        lambda route: held.append(route) if not held else route.continue_(),
    )
    page.goto("/")
    fill_in(page)
    expect(page.locator(".connection")).to_contain_text("Connecting")
    wait_on(page, "for the first attempt", lambda: bool(held))
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.locator(".connection")).to_contain_text("Live")
    note_connection(page)
    with page.expect_event("requestfailed"):
        held[0].abort()
    settle(page)
    assert connections_said(page) == ""
    expect(page.locator(".connection")).to_contain_text("Live")
    watched.faults = [fault for fault in watched.faults if "ERR_" not in fault]


def test_what_a_filter_lets_go(slow: Server, watch: Any) -> None:
    """A job that changes is no longer one that changed before some moment."""
    api = slow.api
    copied, waits = api.upload(endless()), api.upload(striped(1))
    for _ in range(AT_ONCE):
        api.clone(copied)
    job = api.clone(waits).job  # so it does not change by itself
    before = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    wait_for("for that moment to be over", lambda: datetime.now(UTC) > before)
    page: Page = watch(api.address).log_in()
    page.goto(f"/jobs?last_modified__lt={before:%Y-%m-%dT%H:%M:%S}.000Z")
    expect(page.get_by_title(job)).to_be_visible()
    expect(page.locator(".connection")).to_contain_text("Live")
    api.post(f"/jobs/{job}/action/?do=cancel", {}, status=202)
    expect(page.get_by_title(job)).to_have_count(0)


def test_the_past_is_asked_for_once(server: Server, watch: Any) -> None:
    """Others' things are read anew every five seconds; what was does not change."""
    job = server.api.clone(server.api.upload(striped(1))).job
    server.api.succeed(job)
    newest = server.api.get(f"/jobs/{job}/history/")["objects"][-1]["position"]
    owner = server.api.get("/accounts/self/")["uuid"]
    watched: Watched = watch(server.api.address)
    page = watched.log_in(OPERATOR, OPERATORS_PASSWORD)
    page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def times(moment: str) -> int:
        page.clock.resume()
        page.goto(f"/jobs?owner={owner}{moment}")
        expect(page.locator(".connection")).to_contain_text("Live")
        expect(page.get_by_title(job)).to_be_visible()
        stop_clock(page)
        told = len(watched.frames)
        wait_on(
            page,
            "for a beat, or the connection would seem dead",
            lambda: len(watched.frames) > told,
        )
        page.evaluate("fetch('/page/store.js')")  # whatever was asked before has been heard of then
        asked.clear()
        page.clock.run_for(10_000)
        page.evaluate("fetch('/page/store.js')")
        return len([url for url in asked if "/api/2.0/jobs/?" in url])

    assert times("") == 2
    assert times(f"&as_of={newest}") == 0


def test_another_account_in_another_tab(server: Server, watch: Any) -> None:
    """The session is of all tabs: none goes on to show or change things under another's name."""
    mine = server.api.clone(server.api.upload(striped(1))).job
    watched: Watched = watch(server.api.address)
    first = watched.log_in()
    expect(first.get_by_title(mine)).to_be_visible()
    login = {"username": OPERATOR, "password": OPERATORS_PASSWORD}
    answer = watched.context.request.post("/api/2.0/accounts/action/?do=login", data=login)
    assert answer.ok
    first.get_by_label("State").select_option("success")
    expect(first.locator(".who")).to_contain_text(OPERATOR)
    expect(first.get_by_text("There are no such jobs.")).to_be_visible()
    expect(first.get_by_title(mine)).to_have_count(0)


def test_a_logout_in_another_tab(server: Server, watch: Any) -> None:
    """The websocket ends with the session, so that every tab notices at once."""
    watched: Watched = watch(server.api.address)
    first = watched.log_in()
    second = watched.context.new_page()
    second.goto("/")
    second.get_by_role("button", name="Log out").click()
    expect(first.get_by_text("Your session has ended.")).to_be_visible()


def test_a_clone_whose_answer_is_lost(server: Server, watch: Any) -> None:
    """Asked for once more it is the same one."""
    server.api.upload(striped(1), name="cedar")
    page: Page = watch(server.api.address).log_in()
    page.get_by_role("link", name="Drives").click()

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/action/?do=clone", lose)
    page.get_by_role("button", name="Clone").click()
    form = page.get_by_role("form", name="Clone")
    form.get_by_role("button", name="Clone").click()
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    page.unroute("**/action/?do=clone")
    form.get_by_role("button", name="Clone").click()
    expect(page.get_by_role("heading", name="Job")).to_be_visible()
    assert len(server.api.drives()) == 2
