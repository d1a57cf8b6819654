"""A process of one node that records progress updates; arguments: `URL DIRECTORY CALLERS EACH`.

It prints `ready` once its first updates are recorded, waits for a line, and then prints its results
as JSON.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from api.composition import open_ledger
from scripts.benchmarks.updates import Updating


class NodeUpdated(msgspec.Struct, frozen=True):
    """A node's updates."""

    latencies_s: list[float]


async def update(url: str, directory: Path, callers: int, each: int) -> NodeUpdated:
    async with open_ledger(directory, url=url) as opened:
        updating = await Updating.begin(opened.ledger, callers, prepared=True)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        updated = await updating.round(each)
    return NodeUpdated(updated.latencies_s)


if __name__ == "__main__":
    url, directory, callers, each = sys.argv[1:]
    done = asyncio.run(update(url, Path(directory), int(callers), int(each)))
    print(msgspec.json.encode(done).decode(), flush=True)
