"""The keys and JSON types of every answer: tests/contract/CONTRACT.md 1.3, 1.7, 3.1 and 3.3."""

from typing import Any

import pytest

from tests.api.calling import ALICE, DRIVE, Api
from tests.api.shapes import (
    DRIVE_LISTED,
    DRIVE_SHAPE,
    JOB,
    LIST,
    META,
    MOUNT,
    NIC,
    REFERENCE,
    SCHEMA,
    SERVER_LISTED,
    SERVER_SHAPE,
    STATIC_NIC,
    UNREADY_DRIVE,
    VLAN_NIC,
    assert_shape,
)

FIGURES = {"progress", "phase", "bytes_done", "bytes_total", "bytes_per_s", "eta_s"}


async def test_a_job_has_exactly_nine_keys(api: Api):
    """A job has the nine recorded keys and no other, its children the same."""
    server = await api.server(await api.drive())
    clone = (await api.post(f"/servers/{server}/action/?do=clone")).json
    job = (await api.get(clone["jobs"][0]["resource_uri"])).json
    assert_shape(job, JOB)
    assert_shape(job["children"][0], JOB)
    assert job["data"].keys() == FIGURES
    assert job["resource_uri"] == f"/api/2.0/jobs/{job['uuid']}/"
    assert all(isinstance(uri, str) for uri in job["resources"])


async def test_a_list_is_an_envelope(api: Api):
    """A list is meta with limit, offset and total_count, and objects."""
    await api.job()
    for path in ("/jobs/", "/jobs/detail/", "/jobs/?limit=0"):
        answer = (await api.get(path)).json
        assert_shape(answer, {"meta": META, "objects": LIST})
        assert_shape(answer["objects"][0], JOB)


def assert_new_drive(shown: Any) -> None:
    """Its image may be complete by the time that the answer is made; the status says so."""
    waits = shown["status"] in {"creating", "cloning_dst"}
    assert_shape(shown, UNREADY_DRIVE if waits else DRIVE_SHAPE)


async def test_a_drive_has_all_its_keys(api: Api):
    """A drive has every documented key with its type, wherever it is shown whole."""
    uuid = await api.drive()
    assert_shape((await api.get(f"/drives/{uuid}/")).json, DRIVE_SHAPE)
    assert_shape((await api.get("/drives/detail/")).json["objects"][0], DRIVE_SHAPE)
    created = (await api.post("/drives/", DRIVE)).json
    assert set(created) == {"objects"}
    assert_new_drive(created["objects"][0])
    cloned = (await api.post(f"/drives/{uuid}/action/?do=clone")).json
    assert set(cloned) == {"objects"}
    assert_new_drive(cloned["objects"][0])
    assert_shape(cloned["objects"][0]["jobs"][0], REFERENCE)


async def test_the_plain_list_of_drives_is_short(api: Api):
    """A drive in the plain list has owner, resource_uri, status, uuid and name."""
    await api.drive()
    assert_shape((await api.get("/drives/")).json["objects"][0], DRIVE_LISTED)


async def test_a_server_has_all_its_keys(api: Api):
    """A server has every recorded key with its type, its drives and nics too."""
    drive = await api.drive()
    nics = [
        {"ip_v4_conf": {"conf": "dhcp"}},
        {"ip_v4_conf": {"conf": "static", "ip": "192.0.2.17"}},
        {"vlan": "e584e66b-ee33-4fe0-a6a0-1f1e396e39a1"},
    ]
    mounts = [{"drive": drive, "device": "virtio", "dev_channel": "0:0", "boot_order": 1}]
    uuid = await api.server(drives=mounts, nics=nics)
    server = (await api.get(f"/servers/{uuid}/")).json
    assert_shape(server, SERVER_SHAPE)
    assert_shape(server["drives"][0], MOUNT)
    for nic, expected in zip(server["nics"], (NIC, STATIC_NIC, VLAN_NIC), strict=True):
        assert_shape(nic, expected)
    assert_shape((await api.get("/servers/detail/")).json["objects"][0], SERVER_SHAPE)
    assert_shape((await api.get(f"/drives/{drive}/")).json["mounted_on"][0], REFERENCE)


async def test_a_server_clone_is_not_wrapped(api: Api):
    """The answer to a server's clone is the bare server."""
    uuid = await api.server()
    cloned = await api.post(f"/servers/{uuid}/action/?do=clone")
    assert cloned.status == 202
    assert_shape(cloned.json, SERVER_SHAPE)


async def test_the_plain_list_of_servers_is_short(api: Api):
    """A server in the plain list has name, owner, resource_uri, runtime, status and uuid."""
    await api.server()
    assert_shape((await api.get("/servers/")).json["objects"][0], SERVER_LISTED)


async def test_the_owner_is_a_reference(api: Api):
    """The owner of a thing is a reference below /user/."""
    uuid = await api.drive()
    assert (await api.get(f"/drives/{uuid}/")).json["owner"] == {
        "resource_uri": f"/api/2.0/user/{ALICE.uuid}/",
        "uuid": ALICE.uuid,
    }


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("jobs", JOB), ("drives", DRIVE_SHAPE), ("servers", SERVER_SHAPE)],
)
async def test_the_schema_describes_every_field(api: Api, kind: str, shown: dict[str, Any]):
    """Every field that is shown is in the schema, with or without the slash and `limit=0`."""
    for path in (f"/{kind}/schema/", f"/{kind}/schema?limit=0"):
        schema = (await api.get(path)).json
        assert_shape(schema, SCHEMA)
        assert set(shown) <= set(schema["fields"])
        assert schema["default_limit"] == 20


async def test_jobs_schema_fields(api: Api):
    """Every field of the jobs schema has the seven recorded keys; lists and details can be got."""
    schema = (await api.get("/jobs/schema/")).json
    assert set(schema["fields"]) == set(JOB)
    for field in schema["fields"].values():
        assert set(field) == {
            "blank", "default", "help_text", "nullable", "readonly", "type", "unique",
        }  # fmt: skip
    assert schema["allowed_list_http_methods"] == ["get"]
    assert schema["allowed_detail_http_methods"] == ["get"]
    assert schema["filtering"]["state"] == "exact"
    assert schema["ordering"] == ["-last_modified"]
    flagged = {
        flag: {name for name, field in schema["fields"].items() if field[flag]}
        for flag in ("blank", "nullable", "readonly", "unique")
    }
    assert flagged == {
        "blank": set(),
        "nullable": {"children", "data", "operation", "resources"},
        "readonly": {"resource_uri"},
        "unique": {"uuid"},
    }
    assert {name: field["type"] for name, field in schema["fields"].items()} == {
        **dict.fromkeys(("operation", "resource_uri", "state", "uuid"), "string"),
        **dict.fromkeys(("created", "last_modified"), "datetime"),
        "children": "related",
        "data": "object",
        "resources": "list",
    }
    assert schema["fields"]["state"]["default"] == "started"
    assert schema["fields"]["created"]["default"].endswith("+00:00")
