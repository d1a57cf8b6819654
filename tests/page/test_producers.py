"""The jobs of other programs on the page: plainly, but in words, whatever happened to them."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.running import EMAIL, Machine, Server
from tests.acceptance.seeded import LONG, NAMES, seed, uuid_of
from tests.page.browsing import NARROW, check_accessible
from tests.page.test_jobs import row

WORDS = {
    "crew": "fan out, 3 sub-jobs ▶ started 43 % a sub-job is lost",
    "lost": "started 40 % lost: nothing is heard of it",
    "waiting": "started 0 % waiting",
    "beats": "started 60 %",
    "sdb": "success 100 % skipped: there was nothing to do",
    "killed": "failed 0 % its program was killed (signal KILL)",
    "phone": "failed 0 % its producer fell silent; later reported: succeeded",
    "forced": "cancelled 0 %",
}
"""What the list says of these jobs."""


@pytest.fixture
def server(machine: Machine) -> Server:
    seed(machine.data, EMAIL)
    return machine.start()


def said(element: Any) -> str:
    return " ".join(element.inner_text().split())


def test_jobs_of_other_programs(server: Server, watch: Any) -> None:
    """In the list, one by one with their trees and histories, and as they were."""
    page: Page = watch(server.api.address).log_in()
    expect(page.get_by_role("row")).to_have_count(1 + len(NAMES) + 1)
    for name, words in WORDS.items():
        assert words in said(row(page, uuid_of(name))), name
    page.get_by_label("Operation").select_option("fan out")
    expect(page.get_by_role("row").filter(has_text="fan out")).to_have_count(4)
    expect(page.get_by_role("row")).to_have_count(1 + 4)
    page.get_by_role("link", name="Clear filters").click()
    expect(page.get_by_role("row")).to_have_count(1 + len(NAMES) + 1)
    check_accessible(page)
    page.set_viewport_size({"width": NARROW, "height": 900})
    check_accessible(page)
    page.goto(f"/jobs/{uuid_of('wordy')}")
    expect(page.get_by_label("The job", exact=True)).to_contain_text(LONG)
    check_accessible(page)
    for name, words in WORDS.items():
        page.goto(f"/jobs/{uuid_of(name)}")
        facts = page.get_by_label("The job", exact=True)
        expect(facts.get_by_text("//nas")).to_be_visible()
        expect(page.get_by_label("Events of the job")).to_contain_text("job registered")
        assert words.partition(" % ")[2] in said(facts), name
    page.goto(f"/jobs/{uuid_of('crew')}")
    nodes = page.locator(".tree .node")
    expect(nodes).to_have_count(3)
    assert "started none 40 % lost: nothing is heard of it" in said(nodes.first)
    check_accessible(page)
    first = page.get_by_label("Events of the job").get_by_role("link").last
    first.click()
    expect(page.get_by_label("The job", exact=True).get_by_text("0 %")).to_be_visible()
    expect(nodes).to_have_count(0)
