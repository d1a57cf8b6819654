"""What goes wrong has words of its own and a way on: nobody is left with an empty page."""

import re
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, Route, expect

from tests.acceptance.client import data_blocks, striped
from tests.acceptance.running import EMAIL, Machine, Server, machine_in, run_command
from tests.page.browsing import Watched, fill_in
from tests.page.conftest import OPERATOR, OPERATORS_PASSWORD, endless
from tests.support.cluster import free_port
from tests.support.wait import PATIENCE_S

UNKNOWN = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"
CONNECTING = "**/action/?do=authenticate_asynchronous"
UNAVAILABLE = (
    '[{"error_type":"backend","error_message":"the ledger cannot be reached; try again later",'
    '"error_point":null}]'
)


def test_a_wrong_password_is_said_to_be_wrong(server: Server, watch: Any) -> None:
    """And the browser itself asks for nothing."""
    page: Page = watch(server.api.address).page
    page.goto("/jobs?state=failed")
    fill_in(page, password="not this one")
    expect(page.get_by_role("alert")).to_have_text("Email or password is wrong.")
    fill_in(page)
    expect(page.get_by_label("State")).to_have_value("failed")


def test_a_session_that_ends_asks_for_the_login(
    machine: Machine, server: Server, watch: Any
) -> None:
    """A new password ends the session at once; after the login the same view is there again."""
    page: Page = watch(server.api.address).log_in()
    page.get_by_label("State").select_option("started")
    changed = run_command(
        *("account", "password", EMAIL, "--password-stdin", "--data", str(machine.data)),
        stdin="another long password\n",
    )
    assert changed.returncode == 0, changed.stderr
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    fill_in(page, password="another long password")
    expect(page.get_by_label("State")).to_have_value("started")


def test_logging_out_leaves_nothing(server: Server, watch: Any) -> None:
    """Neither the view nor a session that a way back would find."""
    page: Page = watch(server.api.address).log_in()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_logging_out_of_a_session_that_has_ended(server: Server, watch: Any) -> None:
    """One is logged out all the same."""
    watched: Watched = watch(server.api.address)
    page = watched.log_in()
    page.route("**/accounts/action/?do=logout", lambda route: _without_session(watched, route))
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def _without_session(watched: Watched, route: Route) -> None:
    watched.context.clear_cookies(name=re.compile("sessionid"))
    route.continue_(headers={**route.request.headers, "cookie": ""})


def test_two_services_on_one_host(
    server: Server, tmp_path: Path, account_data: Path, watch: Any
) -> None:
    """A login at one, and a logout there, leave the session at the other as it is."""
    directory = tmp_path / "another"
    directory.mkdir()
    with machine_in(directory, account_data) as another:
        watched: Watched = watch(server.api.address)
        page = watched.log_in()
        page.goto(another.start().api.address)
        fill_in(page)
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.goto("/")
        expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
        expect(page.locator(".connection")).to_contain_text("Live")


def test_a_page_of_another_host_is_told_why(server: Server, watch: Any) -> None:
    """As behind a proxy that does not forward the host; the account's role is not to blame."""
    page: Page = watch(server.api.address).page
    page.route("**/accounts/action/?do=login", _as_from_elsewhere)
    page.goto("/")
    fill_in(page)
    expect(page.get_by_role("alert")).to_contain_text("X-Forwarded-Host")
    expect(page.get_by_role("alert")).not_to_contain_text("role")


def _as_from_elsewhere(route: Route) -> None:
    answer = requests.post(
        route.request.url,
        headers={"Origin": "http://elsewhere.example"},
        data=route.request.post_data,
        timeout=PATIENCE_S,
    )
    route.fulfill(status=answer.status_code, body=answer.text)


def test_a_browser_that_keeps_no_cookies(server: Server, watch: Any) -> None:
    """It says so: the login itself went well."""
    page: Page = watch(server.api.address).page
    page.add_init_script("Object.defineProperty(document, 'cookie', {get: () => ''})")
    page.goto("/")
    fill_in(page)
    expect(page.get_by_role("alert")).to_contain_text("blocks cookies")
    expect(page.get_by_role("button", name="Log in")).to_be_enabled()


@pytest.mark.parametrize(
    "path", ["/jobs/%E0%A4%A", "/jobs/%3Fx", "/drives/nothing", f"/jobs/{UNKNOWN}/x"]
)
def test_an_address_that_is_none(server: Server, watch: Any, path: str) -> None:
    """There is a way on."""
    page: Page = watch(server.api.address).log_in()
    page.evaluate("path => history.pushState(null, '', path)", path)
    page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    page.locator("main").get_by_role("link", name="Jobs").click()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()


def test_an_action_that_is_refused(slow: Server, watch: Any) -> None:
    """The service's own words: it is not always a matter of what somebody may."""
    api = slow.api
    api.clone(api.upload(endless()))
    page: Page = watch(api.address).log_in()
    page.on("dialog", lambda dialog: dialog.accept())
    over = '[{"error_type":"permission","error_message":"the job has ended","error_point":null}]'
    page.route(
        "**/action/?do=cancel",
        lambda route: route.fulfill(status=403, content_type="application/json", body=over),
    )
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_have_text("The service refused this.the job has ended")


def test_what_one_may_not_see_is_refused_in_words(server: Server, watch: Any) -> None:
    """A 403: another account's jobs, for a user."""
    page: Page = watch(server.api.address).log_in()
    page.goto(f"/jobs?owner={UNKNOWN}")
    expect(page.get_by_role("alert")).to_contain_text("Your account may not see this.")
    page.get_by_role("link", name="Back to yours").click()
    expect(page.get_by_text("There are no such jobs.")).to_be_visible()


def test_a_503_can_be_tried_again(server: Server, watch: Any) -> None:
    """By a button; the words promise nothing of what was done."""
    page: Page = watch(server.api.address).log_in()
    refuse = {"status": 503, "content_type": "application/json", "body": UNAVAILABLE}
    page.route("**/api/2.0/drives/**", lambda route: route.fulfill(**refuse))
    page.get_by_role("link", name="Drives").click()
    expect(page.get_by_role("alert")).to_contain_text("Try again soon")
    page.unroute("**/api/2.0/drives/**")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("There are no drives.")).to_be_visible()


def test_a_service_that_stops_and_comes_back(machine: Machine, watch: Any) -> None:
    """What was shown stays, the header says so, and all goes on once it is there again."""
    port = ("--port", str(free_port()))  # nobody is given it meanwhile
    server = machine.start(*port)
    job = server.api.clone(server.api.upload(striped(1))).job
    server.api.succeed(job)
    watched: Watched = watch(server.api.address)
    page = watched.log_in()
    expect(page.locator(f'a[title="{job}"]')).to_be_visible()
    # The connection would bring the view back by itself, and take the button away.
    page.route(CONNECTING, lambda route: route.abort())
    assert server.stop() == 0
    expect(page.locator(".connection")).to_contain_text("Connection lost")
    expect(page.locator(f'a[title="{job}"]')).to_be_visible()
    page.get_by_role("link", name="Drives").click()
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    machine.start(*port)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("row")).to_have_count(3)
    page.unroute(CONNECTING)
    expect(page.locator(".connection")).to_contain_text("Live")
    watched.faults = [fault for fault in watched.faults if "ERR_" not in fault]


def test_a_view_comes_back_with_the_connection(machine: Machine, watch: Any) -> None:
    """Nobody has to try again by hand."""
    port = ("--port", str(free_port()))
    server = machine.start(*port)
    server.api.upload(striped(1))
    watched: Watched = watch(server.api.address)
    page = watched.log_in()
    assert server.stop() == 0
    page.get_by_role("link", name="Drives").click()
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    machine.start(*port)
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("alert")).to_have_count(0)
    watched.faults = [fault for fault in watched.faults if "ERR_CONNECTION" not in fault]


# For the staff


def test_an_operator_looks_at_what_somebody_has(server: Server, watch: Any) -> None:
    """From the accounts to their jobs and drives, which are read anew, and back."""
    job = server.api.clone(server.api.upload(data_blocks(2), name="hers")).job
    page: Page = watch(server.api.address).log_in(OPERATOR, OPERATORS_PASSWORD)
    expect(page.get_by_text("There are no such jobs.")).to_be_visible()
    page.get_by_role("link", name="Accounts").click()
    page.get_by_role("link", name=f"Jobs of {EMAIL}").click()
    expect(page.get_by_text("These are the drives and jobs of account")).to_be_visible()
    expect(page.locator(f'a[title="{job}"]')).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    page.get_by_role("link", name="Servers").click()
    expect(page.get_by_text("Only their owner can see servers")).to_be_visible()
    page.get_by_role("link", name="Drives").click()
    expect(page.get_by_role("link", name="hers")).to_have_count(2)
    expect(page.get_by_role("button", name="Clone")).to_have_count(0)
    server.api.upload(striped(1), name="hers too")
    expect(page.get_by_role("link", name="hers too")).to_be_visible()
    page.get_by_role("link", name="Back to yours").click()
    expect(page.get_by_text("There are no such jobs.")).to_be_visible()


def test_an_operator_sees_what_retention_would_discard(server: Server, watch: Any) -> None:
    """A dry run of another policy, which stays in the address; nothing goes."""
    job = server.api.clone(server.api.upload(striped(1))).job
    server.api.succeed(job)
    page: Page = watch(server.api.address).log_in(OPERATOR, OPERATORS_PASSWORD)
    page.get_by_role("link", name="Retention").click()
    expect(page.get_by_text("Nothing is due.")).to_be_visible()
    page.get_by_label("Keep for").fill("PT0S")
    page.get_by_label("Keep for").press("Enter")
    expect(
        page.get_by_text("1 tree of 1 job and 0 other streams that ended before")
    ).to_be_visible()
    page.get_by_label("and the last of each series").fill("1001")
    page.get_by_label("and the last of each series").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("keep_last goes from 0 to 1000")
    page.get_by_label("and the last of each series").fill("0")
    page.get_by_label("and the last of each series").press("Enter")
    page.get_by_title(job).click()
    expect(page.get_by_role("region", name="The job")).to_contain_text("success")
    page.go_back()
    page.get_by_label("Keep for").fill("three days")
    page.get_by_label("Keep for").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("keep must be a duration such as P3D")
    assert server.api.job(job)["state"] == "success"


def test_an_operator_verifies_the_ledger(server: Server, watch: Any) -> None:
    """The signature, and that it continues what the browser saw before; a lie is found out."""
    page: Page = watch(server.api.address).log_in(OPERATOR, OPERATORS_PASSWORD)
    page.get_by_role("link", name="Ledger", exact=True).click()
    verify = page.get_by_role("button", name="Verify now")
    findings = page.locator(".findings")
    verify.click()
    expect(findings).to_contain_text("It stores this one")
    for blocks in (1, 2, 3):
        server.api.succeed(server.api.clone(server.api.upload(striped(blocks))).job)
        before = findings.inner_text()
        verify.click()
        expect(findings).not_to_have_text(before)
        expect(findings).to_contain_text("It continues the checkpoint of")
        expect(findings.get_by_text("success")).to_have_count(2)
    # As if what this browser saw before had been another history.
    page.evaluate("""() => {
        const name = "verified-checkpoint";
        const lines = localStorage.getItem(name).split("\\n");
        lines[2] = btoa("x".repeat(32));
        localStorage.setItem(name, lines.join("\\n"));
    }""")
    verify.click()
    expect(findings.get_by_text("failed")).to_have_count(1)


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ("Object.defineProperty(crypto, 'subtle', {value: undefined})", "over HTTPS"),
        ("crypto.subtle.importKey = () => Promise.reject(new Error('no'))", "Ed25519"),
    ],
)
def test_a_browser_that_cannot_verify(server: Server, watch: Any, lacks: str, says: str) -> None:
    """It says what it lacks."""
    watched: Watched = watch(server.api.address)
    watched.page.add_init_script(lacks)
    page = watched.log_in(OPERATOR, OPERATORS_PASSWORD)
    page.get_by_role("link", name="Ledger", exact=True).click()
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_role("alert")).to_contain_text("This browser cannot do this.")
    expect(page.get_by_role("alert")).to_contain_text(says)


def test_activity_counts_what_happened(slow: Server, watch: Any) -> None:
    """Numbers beside the plots, which say in words what they show."""
    api = slow.api
    source = api.upload(data_blocks(4))
    api.succeed(api.clone(source).job)
    page: Page = watch(api.address).log_in()
    page.get_by_role("link", name="Activity").click()
    facts = page.get_by_role("region", name="Totals")
    expect(facts).to_contain_text("Success1")
    expect(facts).to_contain_text("Copied256 KiB")
    expect(page.get_by_role("img", name="Running jobs over time; now running 0")).to_be_visible()
    page.get_by_role("link", name="an hour").click()
    expect(page.get_by_role("heading", name="Jobs ended per 1 min")).to_be_visible()
    running = api.clone(api.upload(endless())).job
    expect(facts).to_contain_text("Running now1")
    api.post(f"/jobs/{running}/action/?do=cancel", {}, status=202)
    api.succeed(api.clone(source).job)
    expect(facts).to_contain_text("Success2")
