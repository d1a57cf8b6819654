"""Figures of real copies in one process: stated once, never falling, and right while they go on."""

from pathlib import Path

import pytest

from tests.acceptance.client import BLOCK, Api, Clone, data_blocks, striped
from tests.acceptance.figures import check, check_time_left, follow
from tests.acceptance.running import Machine
from tests.support.wait import wait_for

LIMIT = ("--copy-rate", "512K")


@pytest.fixture
def blocks(request: pytest.FixtureRequest) -> int:
    """Data of an image, in blocks of which eight are copied in a second."""
    return 64 if request.config.getoption("--long") else 4


def clone_of(api: Api, *images: bytes) -> Clone:
    """A clone of a server with these disks."""
    mounts = [
        {
            "drive": api.upload(image),
            "device": "virtio",
            "dev_channel": f"{number // 4}:{number % 4}",
        }
        for number, image in enumerate(images)
    ]
    return api.clone_server(api.create_server(drives=mounts))


def test_disks_that_wait_count(machine: Machine, blocks: int) -> None:
    """Eight disks, two at once: from the first answer on the total is that of all."""
    api = machine.start(*LIMIT).api
    full = [data_blocks(blocks, seed) for seed in range(4)]
    clone = clone_of(api, *full, *(striped(blocks, seed) for seed in range(4)))
    seen = follow(api, clone.job)
    total = 8 * blocks * BLOCK
    past = check(api, seen, total)
    check_time_left(seen, total)
    phases = [[child["data"].get("phase") for child in then["children"]] for then in past]
    assert any("waiting" in each and "working" in each for each in phases)


def test_a_verification_is_work(machine: Machine, blocks: int) -> None:
    """It goes on after all is copied: nobody says that the job is about to end."""
    api = machine.start(*LIMIT, "--verify-copies").api
    clone = clone_of(api, *(data_blocks(blocks, seed) for seed in range(3)))
    seen = follow(api, clone.job)
    total = 3 * blocks * BLOCK
    check(api, seen, total)
    check_time_left(seen, total)
    done = [told.data for told in seen[:-1] if told.data["bytes_done"] == total]
    assert all(data["progress"] < 100 for data in done)
    history = machine.history(seen[-1].job["children"][0]["uuid"])
    verified = [
        event.fields["bytes_verified"] for event in history if event.name == "progress-updated"
    ]
    assert verified == sorted(verified)
    assert set(verified) >= {0}


def test_a_killed_copy_is_measured_anew(machine: Machine, blocks: int) -> None:
    """After kill -9 the total is what it was, and the bytes go on from what was durable."""
    server = machine.start(*LIMIT)
    images = [data_blocks(4 * blocks, seed) for seed in range(2)]
    clone = clone_of(server.api, *images)
    total = 8 * blocks * BLOCK
    wait_for(
        "a quarter to be copied",
        lambda: server.api.job(clone.job)["data"]["bytes_done"] >= total / 4,
    )
    server.kill()
    api = machine.start(*LIMIT).api
    seen = follow(api, clone.job)
    check(api, seen, total)
    check_time_left(seen, total)


@pytest.mark.long
def test_holes_are_no_work(machine: Machine, blocks: int) -> None:
    """One drive that is mostly holes: only its data count, and take time."""
    api = machine.start(*LIMIT).api
    clone = api.clone(api.upload(striped(2 * blocks)))
    seen = follow(api, clone.job)
    check(api, seen, 2 * blocks * BLOCK)
    check_time_left(seen, 2 * blocks * BLOCK)


@pytest.mark.long
def test_a_reflink_is_done_at_once(machine: Machine, reflinking_disk: Path) -> None:
    """Where the file system can share blocks, all is there in a moment."""
    api = machine.start(*LIMIT, "--verify-copies", pools=[f"main={reflinking_disk}"]).api
    clone = clone_of(api, *(data_blocks(32, seed) for seed in range(4)))
    seen = follow(api, clone.job)
    check(api, seen, 4 * 32 * BLOCK)
    check_time_left(seen, 4 * 32 * BLOCK)


def test_quick_copies_count(machine: Machine) -> None:
    """They never reported, and yet the bytes of their parent do not fall, nor those of the day."""
    api = machine.start("--copy-rate", "2M", "--copies-per-pool", "1").api
    images = [data_blocks(8, 1), data_blocks(64, 2), data_blocks(8, 3)]
    clone = clone_of(api, *images)
    seen = follow(api, clone.job)
    check(api, seen, 80 * BLOCK)
    buckets = api.get("/jobs/statistics/?hours=1")["buckets"]
    assert sum(bucket["copied_bytes"] for bucket in buckets) == 80 * BLOCK
