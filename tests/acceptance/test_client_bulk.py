"""The bulk operations of the public Python client, and what it finds beside drives and servers."""

import time
import warnings
from typing import Any

import pytest

from tests.acceptance.client import Api
from tests.acceptance.running import EMAIL, PASSWORD, Machine
from tests.support.wait import wait_for

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the libraries that it imports
    from cloudsigma import bulk, errors, resource
    from cloudsigma.conf import config

SIZE = 1024_000_000
UNKNOWN = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"
NOTHING = (
    resource.Acls,
    resource.FirewallPolicy,
    resource.IP,
    resource.Licenses,
    resource.RemoteSnapshot,
    resource.Snapshot,
    resource.Subscriptions,
    resource.VLAN,
)


@pytest.fixture
def api(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Api:
    """A server that the client is configured for."""
    api = machine.start().api
    said = {"api_endpoint": f"{api.root}/", "username": EMAIL, "password": PASSWORD}
    for name, value in said.items():
        monkeypatch.setitem(config, name, value)
    return api


def by_uuid(drives: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {drive["uuid"]: drive for drive in drives}


def test_drives_in_bulk(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drives are created, looked up by a part of the name, cloned, listed and wiped by prefix."""
    pause = time.sleep
    monkeypatch.setattr(bulk.time, "sleep", lambda _: pause(0.02))
    drives = bulk.DrivesBulk(size=SIZE, description="made in bulk", id_prefix="stress")
    made = drives.create(2)
    other = api.upload(b"other", "other")
    source = drives.lookup("ess-00002")
    wait_for(
        "for the source to be unmounted",
        lambda: drives.get_by_uuids([source["uuid"]])[0]["status"] == "unmounted",
    )

    clones = drives.clone(2, "ess-00002")
    found = by_uuid(drives.get_detail())
    assert set(found) == {each["uuid"] for each in (*made, *clones)}
    for clone in clones:
        assert found[clone["uuid"]]["meta"] == {"description": "made in bulk"}
        assert found[clone["uuid"]]["status"] == "unmounted"
    for name in ("stress-00001", "stress-00002", "stress-00003", "stress-00004"):
        assert name in {each["name"] for each in drives.get_list()}
    drives.wipe()
    assert [each["uuid"] for each in resource.Drive().list()] == [other]


@pytest.mark.usefixtures("api")
def test_what_an_account_has_none_of() -> None:
    """Networks, snapshots and the like are empty lists, and one of them is not found."""
    for kind in NOTHING:
        assert kind().list() == kind().list_detail() == [], kind
        with pytest.raises(errors.ClientError) as caught:
            kind().get(UNKNOWN)
        assert caught.value.status_code == 404


@pytest.mark.usefixtures("api")
def test_billing_is_an_object_of_nothing() -> None:
    """Whether it is asked for as one or as a list."""
    for kind, keys in (
        (resource.Balance, {"balance", "currency"}),
        (resource.CurrentUsage, {"balance", "usage"}),
    ):
        assert set(kind().get()) == keys
        assert kind().list() == kind().list_detail() == kind().get()
    prices = resource.Pricing().list()
    assert {price["resource"] for price in prices} == set(resource.CurrentUsage().get()["usage"])


def test_what_the_service_says_of_itself(api: Api) -> None:
    """Capabilities are an object whether it is asked for as one or as a list; locations a list."""
    capabilities = resource.Capabilites()
    said = capabilities.list()
    assert said["hosts"]["amd"]["cpu_per_smp"] == {"min": 1000, "max": 3000}
    assert capabilities.get() == said
    assert "help_text" in capabilities.get_schema()
    (location,) = resource.Locations().list()
    assert location["api_endpoint"] == f"{api.root}/"
