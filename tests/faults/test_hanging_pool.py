"""A pool that really hangs: a service starts, serves everything else, and stops, all the same."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.client import Api
from tests.acceptance.running import Machine
from tests.faults.hanging_mount import hanging_mount
from tests.support.wait import wait_for

pytestmark = pytest.mark.long

DRIVE = {"media": "disk", "size": 2**29}


@contextmanager
def hanging(path: Path) -> Iterator[None]:
    """From now on, all that is asked of this directory hangs."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    with hanging_mount(path):
        yield


def pools(machine: Machine, directory: Path) -> list[str]:
    """A pool on a server, and one of another storage type that does not hang."""
    return [f"nfs={directory},type=dssd", f"main={machine.pool},type=ssd"]


def create(api: Api, storage_type: str, status: int = 201) -> Any:
    return api.post(
        "/drives/", {**DRIVE, "name": "elm", "storage_type": storage_type}, status=status
    )


def status_of(api: Api, drive: str) -> str:
    return str(api.get(f"/drives/{drive}/")["status"])


def test_a_service_starts_while_a_pool_hangs(machine: Machine, tmp_path: Path) -> None:
    """What needs the pool is refused in words; once it answers, it is used. Then it hangs again."""
    nfs = tmp_path / "nfs"
    nfs.mkdir()
    with hanging(nfs):
        server = machine.start(pools=pools(machine, nfs))
        (near,) = create(server.api, "ssd")["objects"]
        refused = create(server.api, "dssd", 503)
        assert "pool nfs does not answer" in refused[0]["error_message"]
        wait_for("it has an image", lambda: status_of(server.api, near["uuid"]) == "unmounted")

    def is_made() -> Any:
        try:
            return create(server.api, "dssd")["objects"]
        except AssertionError:
            return None

    (far,) = wait_for("the pool is used", is_made)
    wait_for("it has an image", (nfs / f"{far['uuid']}.img").exists)
    with hanging(nfs):
        server.api.delete(f"/drives/{far['uuid']}/")  # its thread now waits for the pool
        assert status_of(server.api, near["uuid"]) == "unmounted"
        assert server.stop() == 0
    assert "though a pool still holds images-nfs" in machine.log.read_text()
    again = machine.start(pools=pools(machine, nfs))
    wait_for("its file is gone", lambda: not (nfs / f"{far['uuid']}.img").exists())
    assert again.stop() == 0
