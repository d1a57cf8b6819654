"""A service that is not heard any more, though no connection has ended: the page says so."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.acceptance.running import Server
from tests.page.browsing import Watched, stop_clock, wait_on
from tests.page.conftest import endless
from tests.page.forwarder import Forwarder, forwarding

LIMIT_MS = 12_000
"""After that the page must have said something."""
MAY_BE_DEAF = """
    window.isDeaf = false;
    window.WebSocket = class extends WebSocket {
        set onmessage(hear) {
            super.onmessage = (event) => window.isDeaf || hear(event);
        }
    };
"""
"""What is on its way to the browser must not be heard a moment after the service was."""


@pytest.fixture
def forwarder(slow: Server) -> Iterator[Forwarder]:
    port = urlsplit(slow.api.address).port
    assert port is not None
    with forwarding(port) as forwarder:
        yield forwarder


@pytest.fixture
def watched(forwarder: Forwarder, watch: Any) -> Watched:
    """A page whose clock the test moves."""
    watched: Watched = watch(forwarder.address)
    watched.page.add_init_script(MAY_BE_DEAF)
    watched.page.clock.install()
    watched.log_in()
    return watched


def deafen(watched: Watched) -> None:
    """Stop the clock, and let no frame be heard.

    The clock leaps, so the page has heard nothing for long: wait until it has connected anew.
    """
    page, connection = watched.page, watched.sockets[-1]
    page.evaluate("isDeaf = true")
    stop_clock(page)
    wait_on(page, "for another connection", connection.is_closed)
    watched.wait_for_answers()


def let_hear(page: Page) -> None:
    page.evaluate("isDeaf = false")
    page.clock.resume()


def ages(page: Page) -> list[str]:
    return page.locator("main time").all_inner_texts()


def said(page: Page) -> Locator:
    return page.locator(".connection")


def test_what_is_shown_is_not_current_any_more(
    slow: Server, forwarder: Forwarder, watched: Watched
) -> None:
    """The page says for how long it has heard nothing, and nothing moves; then it catches up."""
    api, page = slow.api, watched.page
    job = api.clone(api.upload(endless())).job
    page.get_by_title(job).click()
    card = page.get_by_role("region", name="The job")
    expect(card.locator(".figures")).to_contain_text("left")
    deafen(watched)
    forwarder.stop()
    page.clock.run_for(LIMIT_MS)
    expect(said(page)).to_contain_text("nothing heard for", ignore_case=True)
    expect(card.locator(".figures")).to_contain_text("when last heard")
    expect(card.locator(".figures")).not_to_contain_text("left")
    before = ages(page)
    page.clock.run_for(LIMIT_MS)
    assert ages(page) == before
    expect(said(page)).to_contain_text("lost")
    api.cancel(job)
    forwarder.go_on()
    let_hear(page)
    expect(card.get_by_text("cancelled")).to_be_visible()
    expect(said(page)).to_have_text("● Live")


def test_an_action_ends_in_words(slow: Server, forwarder: Forwarder, watched: Watched) -> None:
    """It may have been done; what is read ends in words, too, and is read again by itself."""
    api, page = slow.api, watched.page
    job = api.clone(api.upload(endless())).job
    page.on("dialog", lambda dialog: dialog.accept())
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    deafen(watched)
    forwarder.stop()
    cancel.click()
    expect(cancel).to_have_attribute("aria-disabled", "true")
    page.clock.run_for(LIMIT_MS)
    refusal = page.get_by_role("table", name="Jobs").get_by_role("alert")
    expect(refusal).to_contain_text("The service has not answered for 10 s")
    expect(refusal).to_contain_text("Check whether this was done after all")
    expect(cancel).not_to_have_attribute("aria-disabled", "true")
    page.get_by_role("link", name="Drives").click()
    expect(page.get_by_text("Loading")).to_be_visible()
    page.clock.run_for(LIMIT_MS)
    expect(page.get_by_role("alert")).to_contain_text("The service has not answered for 10 s")
    forwarder.go_on()
    let_hear(page)
    expect(page.get_by_role("row").nth(1)).to_be_visible()  # the copy goes if it was cancelled
    watched.faults = [fault for fault in watched.faults if "ERR_" not in fault]
    assert api.job(job)["state"] in ("started", "cancelled")


def test_a_connection_that_says_nothing_is_replaced(slow: Server, watched: Watched) -> None:
    """A new one in time, and the page shows nothing else than that it waited."""
    page, sockets = watched.page, watched.sockets
    deafen(watched)
    latest = sockets[-1]
    page.clock.run_for(LIMIT_MS)
    wait_on(page, "for another connection to take its place", latest.is_closed)
    let_hear(page)
    expect(said(page)).to_have_text("● Live")


def test_a_service_that_has_nothing_to_tell_is_heard(slow: Server, watched: Watched) -> None:
    """Its beats come as long as the connection lasts: it is not replaced."""
    page = watched.page

    def has_come() -> bool:
        return sum('"beat"' in frame for frame in watched.frames) >= 2

    wait_on(page, "for two beats", has_come)
    assert len(watched.sockets) == 1
    expect(said(page)).to_have_text("● Live")
